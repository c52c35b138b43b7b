"""Tables as csv, for people and for other programs."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from longtail.files.regular import check_regular
from longtail.files.text import in_csv

NAMES = (
    *("model", "loss", "train_set", "test_set", "metric", "reference"),
    *("term", "factor", "a", "b", "method", "note"),
    *("class_name", "group", "path", "kind", "found", "action", "other"),
    *("protocol", "backbone", "pretraining", "dataset", "source"),
    *("precision", "processor", "versions", "commit"),
    *("name", "changes", "settings", "file", "papers", "golden"),
)
"""The columns of our tables that hold text."""


def read_csv(path: str | Path, *, numbers: bool = True, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a csv of ours, each column with its type; only an empty cell is a missing value.

    By itself pandas takes a loss called None, null, NA or nan for a missing one, and a model called 1e3 for a number.

    Args:
        numbers: whether the other columns become numbers; if not, every cell is text as it is written.
        text: further columns that hold text.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no csv, or was cut off; names it.
    """
    check_regular(path)
    _check_whole(path)
    types: Any = dict.fromkeys((*NAMES, *text), str) if numbers else str
    try:
        return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    except ValueError as error:  # pandas and UTF-8 have kinds of it
        raise ValueError(f"{path} is no csv of this project ({error})") from None


def _check_whole(path: str | Path) -> None:
    """Refuse a csv that was cut off, whose last row pandas would fill up, or that has rows of other lengths.

    Raises:
        ValueError: names file and line.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            text = file.read()
        rows = csv.reader(io.StringIO(text), strict=True)
        names = next(rows, [])
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{path} has the column {twice[0]!r} more than once; keep one of them")
        cells = len(names)
        for row in rows:
            if row and len(row) != cells:
                raise ValueError(
                    f"{path}, line {rows.line_num}: found {len(row)} cells under {cells} names; it may be cut off"
                )
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no csv of this project (no UTF-8: {error.reason} at byte {error.start}); save it in UTF-8"
        ) from None
    except csv.Error as error:
        raise ValueError(f"{path} is no csv of this project ({error})") from None
    if text and not text.endswith(("\n", "\r")):
        raise ValueError(
            f"{path} may be cut off: its last line does not end. If it is whole, add the end of that line"
        )


def write_csv(frame: pd.DataFrame, file: Path | TextIO, **options: Any) -> None:
    """Write the frame without its index; its text becomes what no terminal obeys and no spreadsheet runs."""
    text = {
        name: column.map(in_csv, na_action="ignore")
        for name, column in frame.items()
        if pd.api.types.is_string_dtype(column)
    }
    frame.assign(**text).to_csv(file, index=False, **options)
