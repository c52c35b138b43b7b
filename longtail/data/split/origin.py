"""What a split's list holds, as a hash, and of which collection and settings it is the split.

A list that is written says that it is the split of this collection by these settings. Named by `data.split.file` for
the same collection and settings, it asks for the split that is there, so no key changes.
"""

import csv
import hashlib
import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from longtail.files.regular import check_regular

ORIGIN = "origin"
"""The column with the origin; a list may lack it."""
DRAWN = "drawn"
"""What stands there for the list that a split was made with, where it was made without one."""


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
        ValueError: it is no such list, or not in UTF-8.
    """
    check_regular(path)
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, strict=True)
        try:
            found = [(row["path"], row["split"], row["sha256"], row.get(ORIGIN)) for row in table]
            rows = rows_hash(row[:3] for row in found)
        except (KeyError, TypeError, csv.Error) as error:
            raise ValueError(f"{path} is no list of a split ({error})") from None
    origins = {row[3] for row in found}
    made_with = (origins.pop() or "").rpartition("-")[0] if len(origins) == 1 else ""
    if not made_with or found[0][3] != origin(made, made_with, rows):
        return rows
    return None if made_with == DRAWN else made_with


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]
