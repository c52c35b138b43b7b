"""The page of the results and the same as one file, opened in a real browser without a network."""

import base64
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from PIL import Image
from results_folder import write_results

from longtail.analysis.frames import read_evaluation
from longtail.commands import report
from longtail.report import index
from longtail.report.catalogue import CLASS_TABLES, STATISTICS, TABLES, title
from longtail.report.figures.sources import figures
from longtail.report.typeset import Table, write_table
from longtail.report.webpage import webpage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium")
MISSING = ("resnet8", "focal", "longtailed", 2)
SUMMARY = """# Summary

## Which model do I use?

**ResNet-8.** Its file: `runs/longtailed/resnet8/softmax/seed1/model.safetensors`, and no file: `runs/none`.

More: [Means](statistics/descriptive.md), [Trade-off](figures/tradeoff.png), [Images](tables/counts.md).
"""
TABLE = "Which **{}**.\n\n| Loss | Value |\n|:--|--:|\n| a <b> | 9.5 |\n| b | 10.0 |\n"
SORTED = ["-1.25", "9.50", "10.00", "100.00"]
# What a reader does: sees the colours, follows a link of an answer, sorts the table there, up and then down, opens a
# figure, goes on to the next one, opens a file; on a screen as wide as that of a telephone.
READER = """
<script>
const wait = () => new Promise(done => setTimeout(done, 300));
(async () => {
  // A request of our own, which the list of requests below has to show, or it would show none.
  await fetch("https://example.org/probe", { mode: "no-cors" }).catch(() => null);
  const look = getComputedStyle(document.body);
  const seen = { colours: [look.color, look.backgroundColor] };
  seen.folded = !document.getElementById("statistics/descriptive").open;
  document.querySelector('a[href="#statistics/descriptive"]').click();
  await wait();
  const table = document.getElementById("statistics/descriptive");
  seen.unfolded = table.open;
  const head = [...table.querySelectorAll("thead th")].pop();
  const values = () => [...table.querySelectorAll("tbody tr")].map(row => row.lastElementChild.textContent);
  seen.orders = [1, 2].map(() => { head.click(); return values(); });
  const pictures = [...document.querySelectorAll(".gallery img")];
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  for (const picture of pictures) { picture.loading = "eager"; while (!picture.complete) await wait(); }
  seen.pictures = pictures.map(picture => picture.naturalWidth);
  document.querySelector(".gallery figure a").click();
  await wait();
  const box = document.querySelector("dialog");
  seen.first = [box.open, box.querySelector("p").textContent];
  box.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
  seen.second = box.querySelector("p").textContent;
  box.querySelectorAll("button")[2].click();
  seen.closed = !box.open;
  seen.opened = [];
  HTMLAnchorElement.prototype.click = function () {
    seen.opened.push([this.href.slice(0, 5), this.target, this.download]);
  };
  const click = name => document.querySelector(`a[href="${name}"]`).dispatchEvent(
    new MouseEvent("click", { bubbles: true, cancelable: true }));
  // Beside the page these open by themselves, and nothing is noted.
  if (document.getElementById("files")) ["statistics/descriptive.csv", "statistics/descriptive.html"].forEach(click);
  document.body.style.cssText = "width: 390px; box-sizing: border-box; margin: 0";
  await wait();
  const wide = one => !one.closest(".scroll, pre") && one.getBoundingClientRect().right > 391;
  seen.wide = [...document.querySelectorAll("main *")].filter(wide).map(one => one.outerHTML.slice(0, 80));
  seen.asked = performance.getEntriesByType("resource").map(e => e.name).filter(n => !/^(data|file):/.test(n));
  const note = document.createElement("pre");
  note.id = "seen";
  note.textContent = JSON.stringify(seen);
  document.body.replaceChildren(note);
})();
</script>
"""


def picture(results: Path, name: str) -> None:
    path = results / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (600, 400)).save(path)
    path.with_suffix(".pdf").write_bytes(b"%PDF")
    path.with_suffix(".txt").write_text(f"Caption <i> of {name}.\n")


def table(results: Path, name: str, endings=("md", "csv", "html")) -> None:
    for ending in endings:
        path = results / f"{name}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TABLE.format(name))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = write_results(
        tmp_path_factory.mktemp("made"),
        lambda *run: 5,
        ["resnet8"],
        ["softmax", "focal"],
        [1, 2],
        ["longtailed"],
        missing=[MISSING],
    )
    (folder / "summary.md").write_text(SUMMARY)
    for name in ("tradeoff", "run_cost", "longtailed/resnet8/forest", "longtailed/resnet8/softmax/confusion"):
        picture(folder, f"figures/{name}")
    picture(folder, "figures/balanced/resnet20/forest")  # of an earlier grid
    for name in ("tables/counts", *(f"statistics/{name}" for name in STATISTICS)):
        table(folder, name)
    cells = ["9.50", "**100.00**", "", "-1.25", "10.00"]
    rows = "".join(f"| row{i} | {cell} |\n" for i, cell in enumerate(cells))
    (folder / "statistics/descriptive.md").write_text(f"Means.\n\n| Name | Value |\n|:--|--:|\n{rows}")
    for name in ("top1", "classes_softmax", "classes_ldam"):
        table(folder, f"tables/longtailed/resnet8/{name}")
    for name in ("runs/{}/model.safetensors", "runs/{}/run.json", "logs/train/{}.log", "logs/predict/{}.log"):
        path = folder / name.format("longtailed/resnet8/softmax/seed1")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return folder


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results")


def write_page(results: Path) -> str:
    page = index.index(
        results,
        read_evaluation(results / "evaluation.parquet"),
        ["run_cost", "tradeoff", "loss_comparison"],
        ["counts"],
        {"Configuration": "a: <b>\n"},
    )
    (results / index.NAME).write_text(page, encoding="utf-8")
    return page


@pytest.fixture
def page(results):
    return write_page(results)


def show(tmp_path: Path, page: str, script: str, *arguments: str) -> tuple[object, str]:
    """What the page's script noted, and the console's messages; a failed request is one. No host has an address."""
    (tmp_path / "page.html").write_text(page.replace("</html>", f"{script}</html>"), encoding="utf-8")
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
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    text = seen[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(text), console


def addresses(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]+)"', page)


def test_every_link_of_the_page_leads_somewhere(results, page):
    found = addresses(page)
    assert len(found) > 20
    places = set(re.findall(r'id="([^"]+)"', page))
    for address in found:
        there = address[1:] in places if address.startswith("#") else (results / unquote(address)).is_file()
        assert there, address


def test_a_row_of_a_table_leads_to_its_runs_and_these_to_their_logs(results):
    rows = "| Trained on | Model | Loss function | Mean |\n|:--|:--|:--|--:|\n"
    rows += "| Long-tailed | ResNet-8 | Focal | **9.5** |\n| Balanced | ResNet-8 | Focal | 1 |\n"
    (results / "statistics/descriptive.md").write_text(f"Means.\n\n{rows}")
    counts = "| Model | Mean |\n|:--|--:|\n| ResNet-8 | 9.5 |\n| ResNet-50 | 9.5 |\n"
    (results / "tables/counts.md").write_text(f"Models.\n\n{counts}")
    page = write_page(results)
    (loss,) = re.findall(r'<a href="#(runs[^"]+)" title="([^"]+)">Focal</a>', page)
    assert loss == (
        "runs/longtailed/resnet8/focal/seed1",
        "the runs of ResNet-8, trained on the long-tailed set",
    )
    assert re.findall(r'<a href="#([^"]+)" title="[^"]+">ResNet-[^<]+</a>', page) == ["longtailed/resnet8"]
    row = re.search(r'<tr id="runs/longtailed/resnet8/softmax/seed1">(.*?)</tr>', page, re.DOTALL)[1]
    assert ">1</td>" in row and 'href="logs/train/longtailed/resnet8/softmax/seed1.log"' in row
    assert page.count('<tr id="runs/') == 4
    assert (
        '<a href="#runs/longtailed/resnet8/softmax/seed1">runs</a>' in page
    )  # below the figures of that loss
    test_every_link_of_the_page_leads_somewhere(results, page)


@pytest.mark.parametrize(
    ("place", "back"),
    [
        ("statistics/t", "../index.html#statistics/t"),
        ("tables/t", "../index.html#tables/t"),
        ("tables/longtailed/resnet8/t", "../../../index.html#longtailed/resnet8"),
        ("elsewhere/t", None),
    ],
)
def test_the_page_of_a_table_leads_back_but_not_from_within_one_file(results, place, back):
    text = pd.DataFrame({"Loss": ["Focal"], "Value": ["1"]})
    path = results / place
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(Table(text, text, "Caption."), path.parent, path.name)
    own = path.with_suffix(".html").read_text()
    found = re.findall(r'<nav class="back"><a href="([^"]+)">', own)
    assert found == ([back] if back else [])
    (results / "own.html").write_text(own)
    one_file = index.packed('<a href="own.html">x</a></html>', results)
    (packed,) = re.findall(r'"own.html": \["[^"]+", "([^"]+)"', one_file)
    assert "<nav" not in base64.b64decode(packed).decode()


def test_the_answers_come_first_and_lead_to_tables_figures_runs_and_logs(page):
    assert page.index("<h2") == page.index('<h2 id="which-model-do-i-use"')
    answers = page[: page.index('id="figures-of-all-runs"')]
    assert set(addresses(answers)) > {
        "#statistics/descriptive",
        "#figures/tradeoff",
        "#tables/counts",
        "runs/longtailed/resnet8/softmax/seed1/model.safetensors",
    }
    run = page[page.index(">Runs<") :]
    assert {
        "runs/longtailed/resnet8/softmax/seed1/run.json",
        "logs/train/longtailed/resnet8/softmax/seed1.log",
        "logs/predict/longtailed/resnet8/softmax/seed1.log",
    } <= set(addresses(run))
    assert "3 of 4 runs finished" in page and run.count(">missing<") == 5


def test_the_page_shows_what_belongs_to_these_runs_and_nothing_else(page):
    assert page.count("<figure ") == 4 and page.count('loading="lazy"') == 4
    assert "resnet20" not in page and "classes_ldam" not in page and "loss_comparison" not in page
    assert (
        "Caption &lt;i&gt; of figures/tradeoff" in page and "a: &lt;b&gt;" in page and "a &lt;b&gt;" in page
    )


def test_a_long_table_is_a_page_of_its_own(results):
    path = results / "statistics/descriptive.md"
    path.write_text(TABLE.format("x") + "| b | 10.0 |\n" * 10_000)
    page = write_page(results)
    assert (
        len(page) < 100_000 and "This table is long" in page and 'href="statistics/descriptive.html"' in page
    )


def test_lists_without_images_have_a_page_of_counts(results):
    page = index.index(results, None, ["tradeoff"], ["counts"], {})
    assert page.count("<figure ") == 1 and 'id="tables/counts"' in page
    assert "Statistics" not in page and "runs finished" not in page


def test_figures_and_tables_have_titles_of_their_own():
    for names in (figures(), TABLES, STATISTICS, CLASS_TABLES):
        assert len({title(name) for name in names}) == len(names)


def test_the_report_is_one_file_that_holds_what_it_leads_to(results, page, capsys):
    report.main([str(results)])
    text = (results / "report.html").read_text(encoding="utf-8")
    assert "report.html: " in capsys.readouterr().out
    inside = json.loads(re.search(r'id="files">(.*?)</script>', text)[1])
    for address in addresses(text):
        assert address in inside or address.startswith(("#", "data:")) or address.endswith(".png"), address
    assert "model.safetensors</code>" in text and not any("safetensors" in name for name in inside)
    assert {"statistics/descriptive.csv", "logs/train/longtailed/resnet8/softmax/seed1.log"} <= set(inside)


def test_the_zip_holds_the_page_and_the_files_that_it_leads_to(results, page, tmp_path):
    report.main([str(results), "--output", str(tmp_path / "x.zip")])
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        names = set(archive.namelist())
        assert archive.read("index.html").decode() == page
    assert names >= {"figures/tradeoff.png", "figures/tradeoff.pdf", "statistics/descriptive.html"}
    lost = {unquote(a) for a in addresses(page) if not a.startswith("#")} - names
    assert lost == {"runs/longtailed/resnet8/softmax/seed1/model.safetensors"}


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("x.pdf", "x.pdf: a report is a page (.html) or an archive (.zip)"),
        ("results/index.html", "is the page that the report is made of"),
    ],
)
def test_an_output_that_cannot_be_is_refused(output, told, results, page, tmp_path):
    with pytest.raises(SystemExit, match=re.escape(told)):
        report.main([str(results), "--output", str(tmp_path / output)])
    assert (results / "index.html").read_text() == page


def test_results_without_a_page_are_named(tmp_path):
    with pytest.raises(
        SystemExit, match=rf"error: {re.escape(str(tmp_path))}/index.html does not exist; let snake"
    ):
        report.main([str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


@browser
@pytest.mark.parametrize("sent", [False, True])
def test_a_reader_without_a_network_goes_from_the_answer_to_tables_and_figures(results, page, sent):
    """The page that is sent as one file is read on a dark screen."""
    shown = index.packed(page, results) if sent else page
    seen, console = show(results, shown, READER, *["--blink-settings=preferredColorScheme=0"] * sent)
    light, dark = ["rgb(26, 26, 26)", "rgb(255, 255, 255)"], ["rgb(228, 230, 232)", "rgb(23, 25, 28)"]
    assert seen["colours"] == (dark if sent else light)
    assert seen["folded"] and seen["unfolded"]
    assert seen["orders"] == [[*SORTED, ""], [*SORTED[::-1], ""]]  # by value, with missing numbers last
    assert seen["pictures"] == [600] * 4
    assert seen["first"] == [True, "Caption <i> of figures/run_cost."]
    assert seen["second"] == "Caption <i> of figures/tradeoff." and seen["closed"]
    opened = [["blob:", "", "descriptive.csv"], ["blob:", "_blank", ""]]
    assert seen["opened"] == (opened if sent else [])
    assert seen["wide"] == []
    assert console == "" and seen["asked"] == ["https://example.org/probe"]


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
    page = webpage(f"| Short | Cell |\n|--|{align}|\n| 1 | {cell} |\n", "t")
    assert page.count('<td class="text"') == broken
    assert page.count("<td") == 2 and "th, td.text { white-space: normal; }" in page


def test_markup_in_a_cell_is_shown_as_text():
    page = webpage("| Loss |\n|:--|\n| <script>alert(1)</script> |\n", "<b>")
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert "<title>&lt;b&gt;</title>" in page
