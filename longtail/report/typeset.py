"""One table as csv for programs, and as Markdown, LaTeX and a web page for people."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from longtail.files.atomic import write_text
from longtail.files.csv import write_csv
from longtail.files.text import in_csv, markdown_table
from longtail.report.catalogue import STATISTIC_FORMATS, TABLE_FORMATS
from longtail.report.webpage import webpage

LONG = 60
"""With more rows, LaTeX has to break the table over pages."""
WIDE = 8
"""With more columns, LaTeX has to turn the page."""
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\ensuremath{<}",
        ">": r"\ensuremath{>}",
        "±": r"\ensuremath{\pm}",
        "−": r"\ensuremath{-}",
        "≥": r"\ensuremath{\geq}",
        "≤": r"\ensuremath{\leq}",
        "†": r"\textsuperscript{\dag}",
        "–": "--",
        "…": r"\ldots{}",
    }
)


@dataclass(frozen=True)
class Table:
    """A table's numbers and how they are printed.

    Attributes:
        data: the numbers in full precision, tidy: what the csv holds.
        text: the cells as they are printed, strings; the first `keys` columns name the row.
        caption: plain text, printed above the table.
        keys: number of columns that name the row.
        bold: bool, of the shape of `text`; None for no bold cell.
        notes: plain sentences, printed below the table.
    """

    data: pd.DataFrame
    text: pd.DataFrame
    caption: str
    keys: int = 1
    bold: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


def write_table(table: Table, folder: str | Path, name: str, label: str | None = None) -> None:
    """Write `name`.csv, .md, .html and, given a label, .tex into the folder, each whole or not at all.

    Args:
        label: what LaTeX refers to the table by, after "tab:"; unique among the tables of one document.
    """
    text = markdown(table)
    contents = {"csv": csv(table), "md": text, "html": webpage(text, name, _back(Path(folder, name)))}
    if label is not None:
        contents["tex"] = latex(table, label)
    for suffix in STATISTIC_FORMATS if label is None else TABLE_FORMATS:
        write_text(Path(folder) / f"{name}.{suffix}", contents[suffix])


def _back(path: Path) -> str:
    """Where the page of all results shows a table, as seen from the table's own page; empty: it has no such page."""
    for depth, folder in enumerate(path.parents[:3], 1):
        if folder.name in ("tables", "statistics"):
            below = path.relative_to(folder)
            # Those of one model stand with all else of that model.
            place = f"{folder.name}/{below}" if depth == 1 else below.parent.as_posix()
            return f"{'../' * depth}index.html#{quote(place)}"
    return ""


def csv(table: Table) -> str:
    """The numbers with all their digits; a missing number is an empty field. Names are what no spreadsheet runs."""
    text = StringIO()
    write_csv(table.data.rename(columns=in_csv), text, lineterminator="\n")
    return text.getvalue()


def markdown(table: Table) -> str:
    """The table in Markdown, below its caption and above its notes."""
    text = _emphasised(table, table.text, "**{}**")
    return "\n\n".join([table.caption, pipe_table(text, table.keys), *table.notes]) + "\n"


def pipe_table(text: pd.DataFrame, keys: int | None = None, right: Container[int] = ()) -> str:
    """Strings as a table in Markdown. Columns after the first `keys` align right; without `keys`, those of `right`."""
    rows = ([cell.replace("|", r"\|") for cell in row] for row in text.itertuples(index=False))
    aligned = right if keys is None else range(keys, text.shape[1])
    return "\n".join(markdown_table(text.columns, rows, aligned))


def latex(table: Table, label: str) -> str:
    """A table with the lines of booktabs: floating, over several pages if it is long, landscape if it is wide.

    All text is escaped. The notes follow the caption. A name that repeats the one above it is left out, except in the
    last of the columns that name a row.
    """
    long = len(table.text) > LONG
    text = table.text if long else _without_repeats(table)
    text = _emphasised(table, text.map(_escaped), r"\textbf{{{}}}")
    body = text.rename(columns=_escaped).to_latex(
        index=False,
        escape=False,
        caption=_escaped(" ".join([table.caption, *table.notes])),
        label=f"tab:{label}",
        column_format="l" * table.keys + "r" * (text.shape[1] - table.keys),
        longtable=long,
        position=None if long else "htbp",
    )
    wide = text.shape[1] > WIDE
    if wide:
        body = f"\\begin{{landscape}}\n\\scriptsize\n{body}\\end{{landscape}}\n"
    packages = ["booktabs", *["longtable"] * long, *["pdflscape"] * wide]
    return f"% needs \\usepackage{{{','.join(packages)}}}\n{body}"


def _escaped(text: str) -> str:
    return text.translate(LATEX)


def _emphasised(table: Table, text: pd.DataFrame, form: str) -> pd.DataFrame:
    return text if table.bold is None else text.mask(table.bold, text.map(form.format))


def _without_repeats(table: Table) -> pd.DataFrame:
    text = table.text.copy()
    repeats = pd.Series(True, index=text.index)
    for name in text.columns[: table.keys - 1]:
        repeats &= table.text[name] == table.text[name].shift()
        text[name] = text[name].mask(repeats, "")
    return text


def fill(document: str, tables: Mapping[str, pd.DataFrame | str]) -> str:
    """The document with each table, or text, put between `<!-- table: NAME -->` and `<!-- end -->`.

    Raises:
        ValueError: the document asks for a table that there is not, or lacks one.
    """
    names = re.findall(r"<!-- table: (\S+) -->", document)
    if sorted(names) != sorted(tables):
        raise ValueError(f"the document has places for {sorted(names)}, but the tables are {sorted(tables)}")

    def place(match: re.Match[str]) -> str:
        table = tables[match[1]]
        text = table if isinstance(table, str) else pipe_table(table)
        return f"<!-- table: {match[1]} -->\n\n{text}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\S+) -->.*?<!-- end -->", place, document, flags=re.DOTALL)
