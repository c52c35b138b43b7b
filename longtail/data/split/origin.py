"""What a split's list holds, its hash, and of which collection and settings it is the split.

A list that is written says that it is the split of this collection by these settings. Named by `data.split.file` for
the same collection and settings, it asks for the split that is there, so no key changes.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from longtail.data.lists.rows import simple
from longtail.data.lists.text import read_text, table_of

COLUMNS = ["path", "label", "split", "sha256"]
"""The path in the collection, the class there, the set, and the hash of the file."""
ORIGIN = "origin"
"""The column with the origin; a list may lack it."""
DRAWN = "drawn"
"""What stands there for the list that a split was made with, where it was made without one."""


def listed(path: str | Path) -> tuple[list[tuple[str, dict[str, str]]], str]:
    """The rows of a list, whatever program saved it: of any separator and encoding, or a workbook.

    Returns:
        The place of each row and its cells by COLUMNS and ORIGIN, if it has that; and the words in which the
        encoding was guessed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such table; names it and what is wrong.
    """
    path = Path(path)

    def fits(names: list[str]) -> bool:
        return {*COLUMNS} <= {*map(simple, names)}

    text = read_text(path, fits)
    table = table_of(text.text, path, fits).lowered()
    if twice := [name for name in COLUMNS if table.columns.count(name) > 1]:
        raise ValueError(f"{path} has the column {twice[0]!r} more than once; keep one of them")
    if lacking := [name for name in COLUMNS if name not in table.columns]:
        raise ValueError(
            f"{path} has no column {lacking[0]!r}; expected a data/split.csv that finished results have, with the "
            f"columns {', '.join(COLUMNS)}"
        )
    rows = [
        (place, {name: row[name] for name in (*COLUMNS, ORIGIN) if name in row})
        for place, row in table.records()
    ]
    for _, row in rows:
        row |= {name: row[name].strip().lower() for name in ("split", "sha256")}
    return rows, text.doubtful


def rows_hash(rows: Iterable[tuple[str, str, str]]) -> str:
    """A hash of path, set and hash of the file of every image, in whatever order and with whatever else beside them.

    File systems write accented letters in two ways; both are the same path.
    """
    rows = sorted((unicodedata.normalize("NFC", path), subset, content) for path, subset, content in rows)
    return _hash(rows)


def origin(made: str, made_with: str | None, rows: str) -> str:
    """What a list says of its origin: the list that it was made with, and a hash that holds for this list alone.

    Args:
        made: the key of the division of the collection by these settings without a list.
        made_with: what `frozen_content` gave for the list that it was made with; None: there was none.
        rows: the hash of its rows.
    """
    made_with = made_with or DRAWN
    return f"{made_with}-{_hash([made, made_with, rows])}"


def frozen_content(path: str | Path, made: str) -> str | None:
    """The hash of the rows of a list; if it is the split that is there without it, of the list of that, if any.

    Args:
        made: as for `origin`.

    Returns:
        None where the split was made without a list, as it would be now.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such list.
    """
    found, _ = listed(path)
    rows = rows_hash((row["path"], row["split"], row["sha256"]) for _, row in found)
    origins = {row.get(ORIGIN, "").strip() for _, row in found}
    said = origins.pop() if len(origins) == 1 else ""
    made_with = said.rpartition("-")[0]
    if not made_with or said != origin(made, made_with, rows):
        return rows
    return None if made_with == DRAWN else made_with


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]
