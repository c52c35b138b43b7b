"""Markdown as a page of its own: one HTML file that loads nothing, whose tables sort."""

import re
from functools import cache
from html import escape

from markdown_it import MarkdownIt

LONG = 48
"""From as many characters on, a cell may be broken into lines: numbers with their intervals and names are shorter."""
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #ddd; --rule: #333; --link: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6e8; --paper: #17191c; --line: #3b3f45; --rule: #9aa0a6; --link: #8ab4f8; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: clamp(.8rem, 3vw, 2rem); }
body { color: var(--ink); background: var(--paper); }
a { color: var(--link); }
p, li, h1, h2 { max-width: 60rem; overflow-wrap: anywhere; }
pre { overflow-x: auto; }
.scroll { overflow: auto; max-height: 90vh; margin: 1.5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th, td.text { white-space: normal; }
td.text { min-width: 18rem; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid var(--rule); position: sticky; top: 0; background: var(--paper); cursor: pointer; }
th[aria-sort=ascending]::after { content: " ▲"; }
th[aria-sort=descending]::after { content: " ▼"; }
figure { margin: 0; font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
.sheet img { width: 100%; max-width: 16rem; image-rendering: pixelated; display: block; }
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


BACK = re.compile(rb'<nav class="back">.*?</nav>\n')


def webpage(markdown: str, title: str, back: str = "") -> str:
    """Markdown as a page with that title. HTML within the Markdown is shown as text.

    Args:
        back: the address of the page of all results, as seen from this one; empty: there is none.
    """
    leads = f'<nav class="back"><a href="{escape(back)}">← all results</a></nav>\n' if back else ""
    return page_of(leads + rendered(markdown), title)


def rendered(markdown: str) -> str:
    """Markdown as HTML; HTML within it is shown as text. A link to a file of Markdown leads to the page of its name."""
    html = _parser().render(markdown)
    html = re.sub(r'href="((?!\w+:)[^"]+)\.md"', r'href="\1.html"', html)
    html = html.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    return re.sub(rf"<td(?=[^<>]*>[^<]{{{LONG}}})", '<td class="text"', html)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def page_of(body: str, title: str, style: str = "", script: str = "") -> str:
    """HTML as a page with that title; style and script are its own, after those of every page."""
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}{style}</style>\n{body}<script>{SCRIPT}{script}</script>\n</html>\n"
    )
