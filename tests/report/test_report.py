"""The report of a finished experiment, opened in a real browser without a network."""

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from results_folder import write_results
from workspace import Workspace, report_parts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium")
CONFIG = {
    "grid": {"train_sets": ["longtailed"], "models": ["resnet8"], "losses": ["softmax", "focal"]},
    "models": {"resnet8": {"pretrained": False}},
    "data": {"source": "digits", "train_per_class": 40, "test_per_class": 20, "imbalance_factor": 0.1},
    "seeds": [1, 2],
}
# The stages up to the evaluation take theirs from a folder of given results; all that comes after is made for real.
GIVEN = """
import shutil as _shutil, sys as _sys
from pathlib import Path as _Path
for _word, _name in zip(_sys.argv, _sys.argv[1:]):
    if _word.startswith("--output"):
        _Path(_name).parent.mkdir(parents=True, exist_ok=True)
        _given = _Path("given", _Path(_name).relative_to("results"))
        _shutil.copy(_given, _name) if _given.is_file() else _Path(_name).touch()
_sys.exit()
"""
STAGES = ("images", "subsets", "split", "groups", "tensors", "train", "predict", "evaluation")
TARGETS = ("results/tables/model_summary.md", "results/figures/tradeoff.png")
# The advice that Snakemake's own template draws from its style sheet.
TAILWIND = "cdn.tailwindcss.com should not be used in production"
# Opens the first figure and then the first table as a reader does, and notes what shows.
READER = """
<script>
const wait = () => new Promise(done => setTimeout(done, 300));
async function read(category, subcategory, selector) {
  app.setView({ navbarMode: "subcategory", category: category, subcategory: subcategory });
  await wait();
  document.querySelector("table tbody a").click();
  await wait();
  return document.querySelector(selector);
}
(async () => {
  await wait();
  // A request of our own, which the list of requests below has to show, or it would show none.
  await fetch("https://example.org/probe", { mode: "no-cors" }).catch(() => null);
  const seen = { start: document.body.innerText };
  seen.top = document.querySelector("#long-tailed-recognition h1").getBoundingClientRect().top;
  seen.figure = (await read("Figures", "All runs", "#app img[src^='data:image/png']")).naturalWidth;
  document.querySelectorAll("table tbody a")[1].click();
  await wait();
  seen.caption = document.body.innerText;
  seen.table = (await read("Tables", "All runs", "iframe")).src.slice(0, 14);
  seen.asked = performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:"));
  const note = document.createElement("pre");
  note.id = "seen";
  note.textContent = JSON.stringify(seen);
  document.body.append(note);
})();
</script>
"""
# Sorts a table by its last column, up and then down.
SORTER = """
<script>
const head = [...document.querySelectorAll("thead th")].pop();
const column = () => [...document.querySelectorAll("tbody tr")].map(row => row.lastElementChild.textContent);
const orders = [];
for (const turn of [1, 2]) { head.click(); orders.push(column()); }
document.body.innerHTML = `<pre id="seen"></pre>`;
document.querySelector("pre").textContent = JSON.stringify(orders);
</script>
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("report") / "workspace")
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    right, grid = {"head": 30, "middle": 12, "tail": 3}, CONFIG["grid"]
    write_results(
        workspace.folder / "given",
        lambda model, loss, train_set, seed, group: right[group] + seed + (loss == "focal"),
        grid["models"],
        grid["losses"],
        CONFIG["seeds"],
        grid["train_sets"],
    )
    workspace.stub(GIVEN, *STAGES)
    workspace.snakemake(*TARGETS)
    return workspace


@pytest.fixture(scope="module")
def page(finished):
    # No address that a proxy could serve: the report needs no network to be built either.
    finished.snakemake(*TARGETS, "--report", "results/report.html", https_proxy="http://127.0.0.1:9")
    return finished.folder / "results/report.html"


def show(tmp_path: Path, page: str, *arguments: str) -> tuple[object, str]:
    """What the page's script noted, and the console's messages; a failed request is one. No host has an address."""
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    options = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    options += " disable-component-update disable-sync disable-dev-shm-usage window-size=1400,1000"
    options += " enable-logging=stderr virtual-time-budget=20000 dump-dom"
    done = subprocess.run(
        [
            CHROMIUM,
            *(f"--{option}" for option in options.split()),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            *arguments,
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=180,
    )
    seen = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert seen, done.stderr
    console = "\n".join(
        line for line in done.stderr.splitlines() if "CONSOLE" in line and TAILWIND not in line
    )
    text = seen[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(text), console


def test_a_figure_has_its_own_caption(finished, page):
    for file, entry in report_parts(page)[0].items():
        if file.endswith(".png"):
            caption = (finished.folder / file).with_suffix(".txt").read_text(encoding="utf-8")
            words = re.sub(r"<[^>]+>", " ", entry["caption"])
            assert caption.split()[:5] == words.split()[:5], file
            assert "system-message" not in entry["caption"], entry["caption"]


def test_the_zip_holds_the_files_beside_the_page(finished):
    finished.snakemake(*TARGETS, "--report", "results/report.zip")
    with zipfile.ZipFile(finished.folder / "results/report.zip") as archive:
        names = archive.namelist()
    assert "report/report.html" in names
    assert any(name.endswith("/tradeoff.png") for name in names)
    assert any(name.endswith("/model_summary.html") for name in names)


@browser
def test_the_report_opens_without_a_network_and_shows_a_figure_and_a_table(page, tmp_path):
    # The last one: the scripts in the page hold that word too.
    above, _, below = page.read_text(encoding="utf-8").rpartition("</body>")
    seen, console = show(tmp_path, f"{above}{READER}</body>{below}")
    assert "4 of 4 runs finished" in seen["start"] and "training seeds: 1, 2" in seen["start"]
    assert "torch" in seen["start"] and "imbalance_factor: 0.1" in seen["start"]
    assert "cifar100" not in seen["start"], "settings of images that were not used"
    assert str(page.parents[1]) not in seen["start"]
    assert seen["top"] >= 0, "the title lies above the window, where no scrolling reaches it"
    assert seen["figure"] > 300
    assert "For print" in seen["caption"]
    assert seen["table"] == "data:text/html"
    assert console == ""
    assert seen["asked"] == ["https://example.org/probe"]


@browser
def test_a_table_sorts_by_value_with_missing_numbers_last(tmp_path):
    from longtail.report.webpage import webpage

    cells = ["9.50", "**100.00**", "", "-1.25", "10.00"]
    rows = "\n".join(f"| row{i} | {cell} |" for i, cell in enumerate(cells))
    table = f"A caption.\n\n| Name | Value |\n|:--|--:|\n{rows}\n"
    orders, console = show(tmp_path, webpage(table, "t").replace("</html>", f"{SORTER}</html>"))
    assert orders == [["-1.25", "9.50", "10.00", "100.00", ""], ["100.00", "10.00", "9.50", "-1.25", ""]]
    assert console == ""


@pytest.mark.parametrize("align", [":--", "--:", "--"])
@pytest.mark.parametrize(
    ("cell", "broken"),
    [
        ("what is to be said of it in a whole sentence, which says why", True),
        ("a <b> & c, in a whole sentence that has marks which are spelt", True),
        ("97.50 [93.4, 97.4]", False),
        ("Heliconius charitonius", False),
        ("", False),
    ],
)
def test_sentences_in_a_table_are_broken_into_lines_and_numbers_are_not(align, cell, broken):
    from longtail.report.webpage import webpage

    page = webpage(f"| Short | Cell |\n|--|{align}|\n| 1 | {cell} |\n", "t")
    assert page.count('<td class="text"') == broken
    assert page.count("<td") == 2 and "th, td.text { white-space: normal; }" in page


def test_markup_in_a_cell_is_shown_as_text():
    from longtail.report.webpage import webpage

    page = webpage("| Loss |\n|:--|\n| <script>alert(1)</script> |\n", "<b>")
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert "<title>&lt;b&gt;</title>" in page
