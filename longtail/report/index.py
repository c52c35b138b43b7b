"""index.html in the results: the answers, and all figures, tables, runs and logs that they lead to.

`index` makes the page, which links to what lies beside it. `packed` makes one file of it that opens anywhere, with all
of that inside, and `archive` a zip of the page and those files.
"""

import base64
import json
import mimetypes
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from urllib.parse import quote, unquote

import pandas as pd
from PIL import Image

from longtail.analysis.grid import Grid, missing_runs, scores
from longtail.data.split.sets import tested_sets
from longtail.experiment.runs import RUN, Run
from longtail.files.text import in_markdown, markdown_table
from longtail.report.captions import count
from longtail.report.catalogue import CLASS_TABLES, STATISTICS, title
from longtail.report.labels import label
from longtail.report.webpage import BACK, page_of, rendered

NAME = "index.html"
LONG = 100_000
"""A table of more characters stands on a page of its own alone, since the index has to open at once."""
OPEN = 2
"""All figures are unfolded where there are at most so many models, each counted once for each training set."""
COLUMNS = {
    "Model": "model",
    "Loss function": "loss",
    "Training set": "train_set",
    "Trained on": "train_set",
    "Seed": "seed",
}
"""The headings of tables that name what a run is of."""
SENT = (".html", ".csv", ".md", ".tex", ".pdf", ".png", ".json", ".log")
"""The endings of files that the page takes with it; models and predictions stay where they are."""
STYLE = """
body { max-width: 84rem; margin: 0 auto; padding: 1rem clamp(.8rem, 3vw, 2.5rem) 4rem; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: .6rem 0; border-bottom: 1px solid var(--line); }
h2 { margin-top: 2.8rem; }
summary { cursor: pointer; padding: .35rem 0; }
summary h3 { display: inline; }
.leads { font-size: .9em; }
tr:target { outline: 2px solid var(--link); outline-offset: -2px; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); gap: 1.5rem; }
.gallery figure { scroll-margin-top: 1rem; }
.gallery img { width: 100%; height: 13rem; object-fit: contain; background: #fff; border: 1px solid var(--line); }
.gallery p { margin: .2rem 0; overflow: hidden; }
.gallery p { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4; }
dialog { width: min(96vw, 90rem); max-height: 96vh; border: 0; padding: 1rem; }
dialog { background: var(--paper); color: inherit; }
dialog::backdrop { background: #000b; }
dialog img { display: block; margin: 0 auto; max-width: 100%; max-height: 74vh; background: #fff; }
dialog button { font: inherit; padding: .3rem .9rem; }
"""
# A thumbnail opens large, with its caption in full; the arrow keys go on. A link to something folded unfolds it.
SCRIPT = """
const box = document.querySelector("dialog"), shown = [...document.querySelectorAll(".gallery figure")];
let place = 0;
function show(to) {
  place = (to + shown.length) % shown.length;
  const image = shown[place].querySelector("img");
  box.querySelector("img").src = image.src;
  box.querySelector("img").alt = image.alt;
  box.querySelector("p").textContent = shown[place].querySelector("p").textContent;
  if (!box.open) box.showModal();
}
shown.forEach((figure, at) => figure.querySelector("a").addEventListener("click", event => {
  event.preventDefault();
  show(at);
}));
const [before, after, close] = box.querySelectorAll("button");
before.onclick = () => show(place - 1);
after.onclick = () => show(place + 1);
close.onclick = () => box.close();
box.addEventListener("click", event => { if (event.target === box) box.close(); });
box.addEventListener("keydown", event => {
  if (event.key === "ArrowLeft") show(place - 1);
  if (event.key === "ArrowRight") show(place + 1);
});
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let outer = target; outer; outer = outer.parentElement) if (outer.tagName === "DETAILS") outer.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();
"""
# A file that the page took with it opens from its bytes; what a browser does not show is saved.
UNPACK = """
const files = JSON.parse(document.getElementById("files").textContent);
document.addEventListener("click", event => {
  const link = event.target.closest("a[href]"), name = link && link.getAttribute("href");
  if (!name || !(name in files) || event.defaultPrevented) return;
  event.preventDefault();
  const [kind, data] = files[name];
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const opened = document.createElement("a");
  opened.href = URL.createObjectURL(new Blob([bytes], { type: kind }));
  if (/html|pdf|png|json|plain/.test(kind)) opened.target = "_blank";
  else opened.download = name.split("/").pop();
  opened.click();
});
"""


def index(
    results: Path,
    evaluation: pd.DataFrame | None,
    figures: Sequence[str],
    tables: Sequence[str],
    made_with: Mapping[str, str],
) -> str:
    """The page of a folder of results. What is named and not there is left out.

    Args:
        results: the folder, which the page will lie in.
        evaluation: the metrics of all runs, missing ones included; None where nothing is trained.
        figures: the names of the figures of all runs.
        tables: the names of the tables of all runs.
        made_with: texts that are shown as they are at the end, by their headings.
    """
    answers = results / "summary.md"
    grid = Grid.of(evaluation) if evaluation is not None else Grid((), (), (), ())
    body = "<h1>Results</h1>\n"
    if evaluation is not None:
        absent = missing_runs(scores(evaluation, grid), grid)
        body += f"<p>{len(grid.runs) - len(absent):,} of {count(len(grid.runs), 'run')} finished.</p>\n"
    if answers.is_file():
        body += rendered(answers.read_text(encoding="utf-8").removeprefix("# Summary"))
    statistics = STATISTICS if evaluation is not None else {}
    body += _gallery("Figures of all runs", results, [f"figures/{name}" for name in figures])
    body += _tables("Tables of all runs", results, [f"tables/{name}" for name in tables])
    body += _tables("Statistics", results, [f"statistics/{name}" for name in statistics])
    body = _to_runs(body, grid)
    of_models = [(train_set, model) for train_set in grid.train_sets for model in grid.models]
    for train_set, model in of_models:
        body += _of_model(results, evaluation, grid, train_set, model, opened=len(of_models) <= OPEN)
    if made_with:
        body += "<h2>Made with</h2>\n"
    for heading, text in made_with.items():
        body += f"<details><summary>{escape(heading)}</summary><pre>{escape(text)}</pre></details>\n"
    body = _leading_on(body, results)
    large = (
        '<dialog><img alt=""><p></p><button title="the figure before">←</button> '
        '<button title="the next figure">→</button> <button>Close</button></dialog>\n'
    )
    return page_of(f"<main>\n{body}</main>\n{large}", "Results", STYLE, SCRIPT)


def _gallery(heading: str, results: Path, names: Sequence[str]) -> str:
    """Thumbnails with captions below a heading; nothing where there is no figure."""
    figures = "".join(_figure(results, name) for name in names if (results / f"{name}.png").is_file())
    return f'<h2>{escape(heading)}</h2>\n<div class="gallery">\n{figures}</div>\n' if figures else ""


def _figure(results: Path, name: str, leads: str = "") -> str:
    caption = (results / f"{name}.txt").read_text(encoding="utf-8").strip()
    with Image.open(results / f"{name}.png") as image:
        size = 'width="{}" height="{}"'.format(*image.size)
    *_, parent, stem = name.split("/")
    heading = title(stem) if parent not in name.split("/")[3:] else f"{title(stem)}, {label(parent)}"
    picture, shown = quote(f"{name}.png"), escape(heading)
    return (
        f'<figure id="{escape(name)}">'
        f'<a href="{picture}"><img src="{picture}" {size} loading="lazy" alt="{shown}"></a>'
        f'<figcaption><b>{shown}</b> <a href="{quote(name)}.pdf">pdf</a>{leads}<p>{escape(caption)}</p></figcaption>'
        "</figure>\n"
    )


def _tables(heading: str, results: Path, names: Sequence[str]) -> str:
    """Tables below a heading, each folded, with its files; nothing where there is none."""
    parts = [_table(results, name) for name in names if (results / f"{name}.md").is_file()]
    return f"<h2>{escape(heading)}</h2>\n{''.join(parts)}" if parts else ""


def _table(results: Path, name: str) -> str:
    text = (results / f"{name}.md").read_text(encoding="utf-8")
    shown = rendered(text) if len(text) <= LONG else "<p>This table is long and stands on its own page.</p>\n"
    return (
        f'<details id="{escape(name)}"><summary>{escape(title(Path(name).name))}</summary>\n{shown}'
        f"{_files(results, name)}</details>\n"
    )


def _files(results: Path, name: str) -> str:
    """The files of a table as links."""
    kinds = {".html": "own page", ".csv": "csv", ".tex": "LaTeX", ".md": "Markdown"}
    links = [
        f'<a href="{quote(name + ending)}">{told}</a>'
        for ending, told in kinds.items()
        if (results / f"{name}{ending}").is_file()
    ]
    return f'<p class="leads">{" · ".join(links)}</p>\n'


def _of_model(
    results: Path, evaluation: pd.DataFrame, grid: Grid, train_set: str, model: str, *, opened: bool
) -> str:
    """All there is of one model after one training: tables, figures, and its runs with their records and logs."""
    folder = f"{train_set}/{model}"
    names = ["top1", "full", *(f"{table}_{loss}" for loss in grid.losses for table in CLASS_TABLES)]
    tables = [name for name in names if (results / f"tables/{folder}/{name}.html").is_file()]
    links = [
        f'<a href="{quote(f"tables/{folder}/{name}.html")}">{escape(_table_title(name))}</a>'
        for name in tables
    ]
    figures = [(name, "") for name in _names(results, f"figures/{folder}")]
    for loss in grid.losses:
        run = Run(model, loss, train_set, grid.seeds[0])
        leads = f' <a href="#runs/{escape(str(run))}">runs</a>'
        figures += [(name, leads) for name in _names(results, f"figures/{folder}/{loss}")]
    shown = "".join(_figure(results, *figure) for figure in figures)
    heading = f"{label(model)}, trained on the {label(train_set).lower()} set"
    parts = [
        f'<h2 id="{escape(folder)}">{escape(heading)}</h2>',
        f"<details{' open' if opened else ''}><summary>Figures</summary>",
        f'<div class="gallery">{shown}</div></details>',
        f"<details><summary>Tables</summary><p>{' · '.join(links)}</p></details>",
        "<details><summary>Runs</summary>",
        f"{_runs(results, evaluation, grid, train_set, model)}</details>\n",
    ]
    return "\n".join(parts)


def _table_title(name: str) -> str:
    for table in CLASS_TABLES:
        if name.startswith(f"{table}_"):
            return f"{title(table)}, {label(name.removeprefix(f'{table}_'))}"
    return title(name)


def _names(results: Path, folder: str) -> list[str]:
    return sorted(f"{folder}/{path.stem}" for path in (results / folder).glob("*.txt"))


def _runs(results: Path, evaluation: pd.DataFrame, grid: Grid, train_set: str, model: str) -> str:
    """The runs of a model with their accuracies, the record of their training, and their logs."""
    found = scores(evaluation, grid)
    own = found[(found["train_set"] == train_set) & (found["model"] == model)]
    wide = own.pivot(index=RUN, columns="test_set", values="value")
    test_sets = tested_sets(found["test_set"])
    rows, names = [], []
    for loss in grid.losses:
        for seed in grid.seeds:
            run = Run(model, loss, train_set, seed)
            values = wide.loc[run] if run in wide.index else {}
            shares = [values.get(name, float("nan")) for name in test_sets]
            files = {"record": f"runs/{run}/run.json"} | {
                f"log of {rule}": f"logs/{rule}/{run}.log" for rule in ("train", "adjust", "predict")
            }
            leads = [f"[{told}]({quote(file)})" for told, file in files.items() if (results / file).is_file()]
            cells = ["missing" if pd.isna(share) else f"{100 * share:.1f}" for share in shares]
            rows.append([in_markdown(label(loss)), str(seed), *cells, ", ".join(leads)])
            names.append(escape(str(run)))
    headings = ["Loss function", "Seed", *map(label, test_sets), "Files"]
    lines = markdown_table(headings, rows, right=range(1, len(headings) - 1))
    above, begin, body = rendered("\n".join(["Top-1 accuracy in percent.", "", *lines])).partition("<tbody>")
    places = iter(names)
    return above + begin + re.sub("<tr>", lambda _: f'<tr id="runs/{next(places)}">', body)


def _to_runs(body: str, grid: Grid) -> str:
    """The body with a link from each row of a table to its runs, where these are of one model and training set.

    Without a column that says it, a row is of the long-tailed training set, if there is one.
    """
    by_names: dict[tuple[str, ...], dict[tuple[str, ...], list[Run]]] = {}

    def runs_of(names: tuple[str, ...]) -> dict[tuple[str, ...], list[Run]]:
        if names not in by_names:
            found = by_names[names] = {}
            for run in grid.runs:
                if (
                    "train_set" in names
                    or run.train_set == "longtailed"
                    or "longtailed" not in grid.train_sets
                ):
                    found.setdefault(tuple(label(str(getattr(run, name))) for name in names), []).append(run)
        return by_names[names]

    def table(match: re.Match[str]) -> str:
        head, begin, rows = match[0].partition("<tbody>")
        headings = [unescape(heading) for heading in re.findall("<th[^>]*>(.*?)</th>", head)]
        columns = {COLUMNS[heading]: at for at, heading in enumerate(headings) if heading in COLUMNS}
        own = "loss" if "loss" in columns else "model"
        if own not in columns:
            return match[0]
        known = runs_of(tuple(columns))

        def row(found: re.Match[str]) -> str:
            cells = re.split("(<td[^>]*>)(.*?)(?=</td>)", found[0])
            texts = [unescape(re.sub("<[^>]+>", "", cell)) for cell in cells[2::3]]
            runs = known.get(tuple(texts[at] for at in columns.values()), [])
            if len({(run.train_set, run.model) for run in runs}) != 1:
                return found[0]
            place = f"runs/{runs[0]}" if own == "loss" else f"{runs[0].train_set}/{runs[0].model}"
            at = 2 + 3 * columns[own]
            cells[at] = f'<a href="#{escape(place)}" title="{_told(runs[0])}">{cells[at]}</a>'
            return "".join(cells)

        return head + begin + re.sub("<tr>.*?</tr>", row, rows, flags=re.DOTALL)

    return re.sub("<table>.*?</table>", table, body, flags=re.DOTALL)


def _told(run: Run) -> str:
    return escape(f"the runs of {label(run.model)}, trained on the {label(run.train_set).lower()} set")


def _leading_on(body: str, results: Path) -> str:
    """The body with a name for each question, a list of them at its top, and links to all files that it names."""
    places: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        text = re.sub("<[^>]+>", "", match[2])
        own = re.search('id="([^"]+)"', match[1])
        anchor = own[1] if own else re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
        places[anchor] = text
        return f'<h2 id="{anchor}">{match[2]}</h2>'

    def file(match: re.Match[str]) -> str:
        return f'<a href="{quote(match[1])}">{match[0]}</a>' if (results / match[1]).is_file() else match[0]

    body = re.sub(r"<h2([^>]*)>(.*?)</h2>", named, body)
    body = re.sub(r"<code>((?:runs|tables|figures|data)/[^<>&]+)</code>", file, body)
    # What stands on this page is better seen in its place here.
    here = set(re.findall(r'<(?:figure|details) id="([^"]+)"', body))
    answers, first, rest = body.partition('<h2 id="figures-of-all-runs"')
    answers = re.sub(
        r'href="([^"#]+)\.(?:html|png)"',
        lambda link: f'href="#{link[1]}"' if unquote(link[1]) in here else link[0],
        answers,
    )
    links = "\n".join(f'<a href="#{anchor}">{text}</a>' for anchor, text in places.items())
    above, end, below = f"{answers}{first}{rest}".partition("</h1>\n")
    return f"{above}{end}<nav>\n{links}\n</nav>\n{below}"


def linked(page: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """The files beside a page that it shows or links to, each once, with the address that it has there."""
    for address in dict.fromkeys(re.findall(r'(?:href|src)="([^"#:]+)"', page)):
        path = folder / unquote(address)
        if path.suffix in SENT and path.is_file():
            yield address, path


def packed(page: str, folder: Path) -> str:
    """The page as one file: pictures stand in it, and what it links to opens from it. Other links become text.

    Args:
        folder: what the addresses of the page are relative to.
    """
    files = {}
    for address, path in linked(page, folder):
        # A page that opens from this one has nothing beside it to lead back to.
        content = BACK.sub(b"", path.read_bytes()) if path.suffix == ".html" else path.read_bytes()
        data = base64.b64encode(content).decode()
        kind = (
            "text/plain" if path.suffix in (".log", ".md") else mimetypes.guess_type(path)[0] or "text/plain"
        )
        if f'src="{address}"' in page:
            page = page.replace(f'src="{address}"', f'src="data:{kind};base64,{data}"')
        else:
            files[address] = [f"{kind};charset=utf-8" if kind.startswith("text") else kind, data]

    def kept(match: re.Match[str]) -> str:
        there = match[1].startswith(("#", "http:", "https:")) or match[1] in files or "<img" in match[2]
        return match[0] if there else match[2]

    page = re.sub(r'<a href="([^"]+)">(.*?)</a>', kept, page)
    inside = f'<script type="application/json" id="files">{json.dumps(files)}</script>\n<script>{UNPACK}</script>\n'
    return page.replace("</html>", f"{inside}</html>")


def archive(page: str, folder: Path, path: Path) -> None:
    """Write a zip of the page and of what it shows and links to, under the paths that these have beside it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(NAME, page)
        for address, linked_to in linked(page, folder):
            file.write(linked_to, unquote(address))
