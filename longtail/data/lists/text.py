"""A file as text or as a table, in whatever encoding and with whatever separator people have it."""

import codecs
import csv
import io
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from longtail.data.collection.folder import check_list
from longtail.data.lists.rows import listed, simple
from longtail.data.lists.workbook import STARTS, sheet_of

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_DECLARED = re.compile(rb"""<\?xml\s[^>]{0,100}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
"""How XML says its encoding (W3C, Extensible Markup Language 1.0, section 4.3.3)."""
_NO_CHARSETS = ("idna", "punycode", "raw-unicode-escape", "unicode-escape")
"""Names that Python knows beside those of encodings, some of which take very long."""


@dataclass(frozen=True)
class Text:
    """The text of a file.

    Attributes:
        guessed: whether nothing in the file says its encoding and it is no UTF-8, so that Windows-1252 was taken.
    """

    text: str
    guessed: bool = False

    @property
    def doubtful(self) -> str:
        """The first words that the guess decides; empty where nothing was guessed."""
        words = dict.fromkeys(re.findall(r"[\w'-]*[^\x00-\x7f][\w'-]*", self.text)) if self.guessed else {}
        return ", ".join(list(words)[:5])[:100]


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        columns: as they are written, without spaces around them.
        rows: the place of each row and its cells, as many as columns.
    """

    columns: list[str]
    rows: list[tuple[str, list[str]]]

    def records(self) -> list[tuple[str, dict[str, str]]]:
        """The place of each row and its cells by their columns."""
        return [(place, dict(zip(self.columns, cells, strict=True))) for place, cells in self.rows]

    def lowered(self) -> "Table":
        """The same, with the columns in lower case."""
        return replace(self, columns=[*map(simple, self.columns)])


def read_text(path: Path, fits: Callable[[list[str]], bool] | None = None) -> Text:
    """Read a list: a sheet of a workbook, UTF-8, UTF-16, what XML says of itself, or else Windows-1252.

    Latin-1 is a part of the last one.

    Args:
        fits: as `sheet_of` takes it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no regular file, is too large, is no text, or is a workbook that `sheet_of` refuses.
    """
    check_list(path)
    content = path.read_bytes()
    if content.startswith(STARTS):
        return Text(sheet_of(path, fits))
    stated = _stated(content)
    for each in ("utf-8", "cp1252") if stated in (None, "utf-8") else (stated,):
        try:
            text = content.decode(each)
        except UnicodeDecodeError as error:
            problem = f"it is no text in {each} ({error.reason} at byte {error.start})"
            continue
        if "\0" in text:
            problem = "it has NUL characters"
            break
        return Text(text, guessed=each == "cp1252" != stated)
    raise ValueError(f"{path} cannot be read as text: {problem}; save it in UTF-8")


def _stated(content: bytes) -> str | None:
    """The encoding that the bytes of a file say by themselves; None: none that Python knows."""
    for mark, name in _BOMS.items():
        if content.startswith(mark):
            return name
    for zero, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        # A list begins with a letter or sign of ASCII, whose other byte is 0.
        if content[zero::2][:2] == b"\0\0" and b"\0" not in content[1 - zero :: 2][:2]:
            return name
    if declared := _DECLARED.match(content):
        with suppress(LookupError, UnicodeError):
            name = codecs.lookup(declared[1].decode()).name
            b"a".decode(name)  # some turn bytes into bytes
            return None if name in _NO_CHARSETS else name
    return None


def table_of(text: str, path: Path, fits: Callable[[list[str]], bool], *, quoted: bool = True) -> Table:
    """Read a table whose separator shows in its first line.

    Rows without any text are passed over. The line `sep=;` that Excel understands may stand before the header.

    Args:
        text: of the file.
        path: its name, for errors.
        fits: whether these columns are those that the caller needs. The separator that gives them is meant; where none
            does, the one that gives most columns.
        quoted: whether cells may stand in quotes.

    Raises:
        ValueError: a row has more or fewer cells than the header, quotes are not closed, a column stands there twice,
            or several separators give what is needed.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as older programs of the Macintosh end their lines
    first, _, rest = text.partition("\n")
    given = first.strip().strip('"')[4:5] if first.strip().strip('"').lower().startswith("sep=") else ""
    text = rest if given else text
    separators = [given] if given in SEPARATORS else list(SEPARATORS)
    headers = {each: _rows(text, path, each, quoted, at_most=1) for each in separators}
    columns = {each: [name.strip() for name in rows[0]] if rows else [] for each, rows in headers.items()}
    fitting = [each for each, names in columns.items() if fits(names)]
    if len({tuple(columns[each]) for each in fitting}) > 1:
        found = " and by ".join(SEPARATORS[each] for each in fitting)
        raise ValueError(
            f"{path} can be read as separated by {found}; put names that hold either into quotes"
        )
    best = fitting[0] if fitting else max(separators, key=lambda each: len(columns[each]))
    names = columns[best]
    while names and not names[-1]:  # A separator at the end of each line gives a column without a name.
        names.pop()
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{path} has the column {twice!r} more than once; keep one of them")
    rows = []
    for number, cells in enumerate(_rows(text, path, best, quoted)[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
            raise ValueError(
                f"{path}, row {number}: it has more or fewer fields than the header, {listed(names):.200}; quote "
                f"{SEPARATORS[best]}, and remove what stands above the names of the columns"
            )
        rows.append((f"row {number}", cells[: len(names)]))
    return Table(names, rows)


def _rows(text: str, path: Path, separator: str, quoted: bool, at_most: int | None = None) -> list[list[str]]:
    """The cells of each line that is not empty; with `at_most`, of so many."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=quoted,
    )
    rows: list[list[str]] = []
    try:
        for cells in reader:
            if cells:
                rows.append(cells)
            if len(rows) == at_most:
                break
    except csv.Error as error:
        # Another separator may be the right one, so a header that cannot be read is one without columns.
        if at_most is None:
            raise ValueError(f"{path} cannot be read as a csv: {error} (line {reader.line_num})") from None
    return rows


def beside(path: Path, *names: str) -> Path | None:
    """The file beside another one that has one of these names, in any case; None if there is none."""
    with os.scandir(path.parent) as items:
        found = {item.name.lower(): item.name for item in items}
    return next((path.parent / found[name] for name in names if name in found), None)
