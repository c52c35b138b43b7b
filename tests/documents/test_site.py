"""The documents as a site: what is made of schema, docstrings and pages, and that it builds without a warning."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from longtail import settings
from tools import links, site_pages

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8"))


def test_the_page_of_settings_has_every_setting_of_the_shipped_configuration():
    page = site_pages.settings_page(SCHEMA)
    for name in (
        "seeds",
        "data.imbalance_factor",
        "train.learning_rate",
        "grid.losses",
        "predict.temperature",
    ):
        assert (f"| `{name}` " in page) == (name.partition(".")[2] in settings_of(name.partition(".")[0])), (
            name
        )
    assert "## train" in page and "| `train.epochs`" in page and "`90`" in page
    assert all(f"## {name}\n" in page for name in SCHEMA["properties"])


def settings_of(section: str) -> set[str]:
    rule = SCHEMA["properties"][section]
    own = SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]] if "$ref" in rule else rule
    return {*own.get("properties", {})} or {""}


def test_a_made_up_schema_becomes_rows_with_type_range_default_and_meaning():
    schema = {
        "$defs": {
            "Train": {"properties": {"rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.1}}}
        },
        "properties": {
            "train": {"$ref": "#/$defs/Train", "description": "How <it> trains."},
            "models": {"additionalProperties": {"$ref": "#/$defs/Train"}},
            "kind": {
                "anyOf": [{"enum": ["a|b", "c"]}, {"type": "null"}],
                "default": None,
                "description": "Which.",
            },
            "seeds": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 1}},
        },
    }
    page = site_pages.settings_page(schema)
    rows = [re.split(r"(?<!\\) *\| *", line)[1:-1] for line in page.splitlines() if line.startswith("| `")]
    assert rows == [
        ["`train.rate`", "number > 0", "`0.1`", ""],
        ["`models.NAME.rate`", "number > 0", "`0.1`", ""],
        ["`kind`", r"a\|b, c or null", "`null`", "Which."],
        ["`seeds`", "list of integer ≥ 1 or null", "", ""],
    ]
    assert r"How \<it> trains." in page


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (settings.NonNegative, "number ≥ 0"),
        (settings.Fraction, "number > 0, ≤ 1"),
        (settings.Count, "integer ≥ 1, ≤ 1000000000"),
        (settings.LocalPath, "string"),
        (int, "<class 'int'>"),
    ],
)
def test_a_type_with_a_range_is_written_as_on_the_page_of_settings(annotation, words):
    assert site_pages.type_in_words(str)(annotation) == words


def test_the_gallery_shows_every_picture_of_the_pages():
    page = site_pages.gallery_page(ROOT)
    shown = {path.name for path in (ROOT / "docs/figures").iterdir()}
    assert shown == set(re.findall(r"\]\(\.\./figures/([^)]+)\)", page))


def test_a_made_page_that_has_not_changed_is_left_alone_and_one_that_is_gone_is_removed(tmp_path):
    for name in ("config", "docs/figures", *(f"longtail/{room}" for room in site_pages.ROOMS)):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "config/schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "longtail/losses/focal.py").write_text("class Focal: ...\n")
    site_pages.write(tmp_path)
    page = tmp_path / site_pages.MADE / "interface/longtail.losses.focal.md"
    settings = tmp_path / site_pages.MADE / "settings.md"
    assert "automodule:: longtail.losses.focal" in page.read_text()
    before = settings.stat().st_mtime_ns
    (tmp_path / "longtail/losses/focal.py").unlink()
    site_pages.write(tmp_path)
    assert settings.stat().st_mtime_ns == before and not page.exists()


def test_every_page_that_the_navigation_names_is_there():
    for page in (page for pages in site_pages.NAVIGATION.values() for page in pages):
        made = page.startswith(site_pages.MADE)
        assert made or any((ROOT / f"{page}{ending}").is_file() for ending in (".md", ".ipynb")), page


def test_a_site_that_cannot_be_reached_is_no_broken_link():
    name = "Max retries exceeded (Caused by NameResolutionError(...))"
    link = {"filename": "README.md", "lineno": 3, "status": "broken", "uri": "https://a.org", "info": name}
    local = {**link, "uri": "#change-it", "status": "unchecked", "info": ""}
    wrong, told = links.judged([link, local])
    assert not wrong and told.endswith("1 of 1 could not be looked up, since there is no network")
    gone = {**link, "uri": "https://b.org/x", "info": "404 Client Error"}
    wrong, told = links.judged([link, gone, {**link, "status": "working", "info": ""}])
    assert wrong == ["README.md:3: https://b.org/x is broken: 404 Client Error"]
    assert "1 work, 1 are broken, and 1 of 3 could not be looked up, since their sites do not answer" in told


@pytest.mark.long
@pytest.mark.skipif(not find_spec("sphinx"), reason="no Sphinx: it is not installed yet")
def test_the_site_builds_without_a_warning_and_finds_its_pages(tmp_path):
    words = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        "docs",
        "-d",
        str(tmp_path / "trees"),
    ]
    done = subprocess.run([*words, ".", str(tmp_path / "html")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first = (tmp_path / "html/README.html").read_text(encoding="utf-8")
    for page in (page for pages in site_pages.NAVIGATION.values() for page in pages):
        assert (tmp_path / f"html/{page}.html").is_file() and f'href="{page}.html"' in first, page
    interface = (tmp_path / "html/docs/_made/interface/longtail.losses.ldam.html").read_text(encoding="utf-8")
    assert "class_counts" in interface
    pages = (tmp_path / "html/docs/_made/interface").rglob("*.html")
    assert not [page.name for page in pages if "Annotated[" in page.read_text(encoding="utf-8")]
    assert "imbalance_factor" in (tmp_path / "html/searchindex.js").read_text(encoding="utf-8")
