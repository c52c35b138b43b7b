"""Csv files: what is written is read back as it was, and no name in them does anything."""

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from longtail.files.csv import NAMES, read_csv, write_csv
from longtail.files.text import as_code, in_csv, in_markdown, printable

ROOT = Path(__file__).parents[2]
MISTAKEN = ["None", "null", "NA", "nan", "N/A", "NaN", "1e3", "010", "True", "inf", "1"]


def test_names_are_never_missing_values_or_numbers(tmp_path):
    frame = pd.DataFrame(
        {
            "model": "1e3",
            "loss": MISTAKEN,
            "reference": "NA",
            "seed": 7,
            "value": [0.5, None, 1 / 3] + [2.0] * 8,
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), frame)


def test_only_an_empty_cell_is_missing(tmp_path):
    (tmp_path / "t.csv").write_text("loss,note,value\nNone,,\n,nan,3\n")
    found = read_csv(tmp_path / "t.csv")
    assert found.isna().to_numpy().tolist() == [[False, True, True], [True, False, False]]
    assert found["loss"][0] == "None"
    assert found["note"][1] == "nan"
    assert found["value"].dtype == float


def test_numbers_stay_as_they_are_printed_where_they_are_text(tmp_path):
    (tmp_path / "t.csv").write_text("loss,top1\nNone,38.30\n")
    assert read_csv(tmp_path / "t.csv", numbers=False).iloc[0].tolist() == ["None", "38.30"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n"1'])
def test_what_is_no_csv_is_named(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.csv is no csv of this project"):
        read_csv(tmp_path / "t.csv")


def test_every_column_of_text_of_the_shipped_tables_is_known():
    for path in (ROOT / "resources").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                text = {name for name, cell in row.items() if cell and not re.fullmatch(r"-?[\d.]+", cell)}
                assert text <= {*NAMES, "epochs"}  # of a publication they may be a sum


def test_every_csv_of_ours_goes_through_the_one_reader():
    for folder in ("longtail", "workflow", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            if path != ROOT / "longtail/files/csv.py":
                assert "pd.read_csv" not in path.read_text(encoding="utf-8"), path


# -- names that would do something


FORMULAS = ['=cmd|"/c calc"!A0', "@SUM(1)", "+1+1", "-1+cmd", "=", "-", "+x", "\t=1", "\r=1"]


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_begins_like_a_formula(name):
    file = io.StringIO()
    write_csv(pd.DataFrame({"class_1": [name], "probability_1": [-0.5]}), file)
    (row,) = csv.DictReader(io.StringIO(file.getvalue()))
    assert row["class_1"][0] not in "=+-@\t\r"
    assert row["probability_1"] == "-0.5"


def test_no_two_names_become_one_in_a_csv():
    names = [before + name for before in ("", "'", "''") for name in (*FORMULAS[:-2], "x", "-1")]
    assert len({in_csv(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    "name", ["-1", "+1", "-0.5", "1e3", "ape", "ape, small", "a=b", "'tis", "ćma/тест", ""]
)
def test_harmless_names_stay_as_they_are_in_a_csv(name):
    assert in_csv(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;PWN\x07\x1b[31mred", r"\x1b]0;PWN\x07\x1b[31mred"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202ex", r"\u202ex"),
        ("\ud800", r"\ud800"),
        ("犬 ćma می‌خواهم 🐕", "犬 ćma می‌خواهم 🐕"),
    ],
)
def test_no_terminal_obeys_a_name(name, shown):
    assert printable(name) == shown


def test_a_name_shows_in_markdown_as_it_is():
    for name in ("``x`` | <b>", "`", "a``````b", "plain", "<img src=x onerror=alert(1)>", "a\nb"):
        html = rendered(f"| a |\n|---|\n| {as_code(name)} |\n")
        assert re.findall(r"<code>(.*?)</code>", html, re.DOTALL) == [escaped(printable(name))]
    for name in ("<img src=x>", "[a](javascript:b)", "a `b` | c", "\\", "x\x1b[31m"):
        html = rendered(f"| a |\n|---|\n| {in_markdown(name)} |\n")
        assert f"<td>{escaped(printable(name))}</td>" in html


def rendered(text: str) -> str:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
