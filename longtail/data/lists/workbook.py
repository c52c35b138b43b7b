"""The sheets of a workbook of Excel or LibreOffice as text."""

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from longtail.data.collection.folder import MAX_LIST_BYTES

STARTS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How workbooks begin: zip archives, which those of today are, and the older files of Excel."""
_REMEDY = "save its sheet as csv (in Excel: CSV UTF-8)"


def sheet_of(path: Path, fits: Callable[[list[str]], bool] | None = None) -> str:
    """The sheet that holds the list, as the text of a csv.

    Hidden sheets and empty ones do not count. Numbers without decimals have none, and dates are as in ISO 8601.

    Args:
        fits: whether these columns are those that the caller needs, which chooses among several sheets.

    Raises:
        ValueError: the reader is not installed, this is no workbook, or a damaged or a huge one, or several sheets may
            be meant; says what to do.
    """
    try:
        import python_calamine as calamine
    except ModuleNotFoundError:
        raise ValueError(
            f"{path} is a workbook of Excel or an archive. Workbooks need a package that is not installed: "
            f"pip install python-calamine, or {_REMEDY}. An archive has to be unpacked"
        ) from None
    _check_size(path)
    try:
        with calamine.load_workbook(str(path)) as workbook:
            visible = calamine.SheetVisibleEnum.Visible
            names = [sheet.name for sheet in workbook.sheets_metadata if sheet.visible == visible]
            sheets = {name: workbook.get_sheet_by_name(name).to_python() for name in names}
    except calamine.PasswordError:
        raise ValueError(f"{path} is protected by a password; {_REMEDY}, without one") from None
    except (calamine.CalamineError, OSError) as error:
        raise ValueError(
            f"{path} is an archive or a workbook that cannot be read ({error}); unpack it, or {_REMEDY}"
        ) from None
    filled = {name: text for name, rows in sheets.items() if (text := _csv(rows))}
    meant = {name: text for name, text in filled.items() if fits and fits(_columns(text))} or filled
    if len(meant) > 1:
        told = (
            "say its columns by data.image_folder.columns where they tell it from the others, "
            if fits
            else ""
        )
        raise ValueError(
            f"{path} has the sheets {', '.join(map(repr, meant))}, and any of them may be meant; {told}move the others "
            f"into another workbook, or {_REMEDY}"
        )
    return next(iter(meant.values()), "")


def _check_size(path: Path) -> None:
    """Refuse an archive that holds more than a list may have."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return  # It is an older file of Excel, or the reader says what is wrong.
    if size > MAX_LIST_BYTES:
        raise ValueError(
            f"{path} holds {size:,} bytes when unpacked; a list of images has at most {MAX_LIST_BYTES:,}, so divide it"
        )


def _csv(rows: list[list[Any]]) -> str:
    """The rows with every cell in quotes; "" where all are blank."""
    lines = [[_cell(value) for value in row] for row in rows]
    if not any(cell.strip() for row in lines for cell in row):
        return ""
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows(lines)
    return written.getvalue()


def _columns(text: str) -> list[str]:
    return [name.strip() for name in next(csv.reader(io.StringIO(text, newline="")))]


def _cell(value: Any) -> str:
    """What a cell shows; of a date, with or without a time, what ISO 8601 makes of it."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date | time) else str(value)
