"""Markdown as a page of its own: one HTML file that loads nothing, whose tables sort."""

import re
from html import escape

from markdown_it import MarkdownIt

LONG = 48
"""From as many characters on, a cell may be broken into lines: numbers with their intervals and names are shorter."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a; background: #fff; }
p, li, h1, h2 { max-width: 60rem; }
table { border-collapse: collapse; margin: 1.5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
th, td.text { white-space: normal; }
td.text { min-width: 18rem; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #333; position: sticky; top: 0; background: #fff; cursor: pointer; }
th[aria-sort=ascending]::after { content: " ▲"; }
th[aria-sort=descending]::after { content: " ▼"; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
figure { margin: 0; font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
figure img { width: 100%; max-width: 16rem; image-rendering: pixelated; display: block; }
figure.plot { max-width: 60rem; }
figure.plot img { max-width: 100%; width: auto; image-rendering: auto; }
"""
# A click on a heading sorts by the number that a cell begins with ("< 0.001", "97.50 ± 0.31"); empty cells come last.
SCRIPT = r"""
const number = text => parseFloat(text.replace(/^[<>≤≥]\s*/, "").replace(/,(?=\d{3})/g, "").replace("−", "-"));
function order(a, b) {
  const [x, y] = [number(a), number(b)];
  return isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y;
}
const empty = text => text === "" || text === "–";
for (const head of document.querySelectorAll("thead th")) {
  const sort = () => {
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    for (const other of head.parentNode.children) other.ariaSort = null;
    head.ariaSort = sign === 1 ? "ascending" : "descending";
    const body = head.closest("table").tBodies[0], cell = row => row.cells[head.cellIndex].textContent.trim();
    body.append(...[...body.rows].sort((a, b) =>
      empty(cell(a)) - empty(cell(b)) || sign * order(cell(a), cell(b))));
  };
  head.tabIndex = 0;
  head.title = "Sort by this column";
  head.addEventListener("click", sort);
  head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
}
"""


def webpage(markdown: str, title: str) -> str:
    """Markdown as a page with that title. HTML within the Markdown is shown as text."""
    return page_of(rendered(markdown), title)


def rendered(markdown: str) -> str:
    """Markdown as HTML; HTML within it is shown as text."""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    return re.sub(rf"<td(?=[^<>]*>[^<]{{{LONG}}})", '<td class="text"', html)


def page_of(body: str, title: str) -> str:
    """HTML as a page with that title."""
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n{body}<script>{SCRIPT}</script>\n</html>\n"
    )
