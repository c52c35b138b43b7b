"""The content of files that the configuration names, as hashes, and what earlier processes found about files.

A path says nothing of a result: what stands in the file does. So a file that is moved changes no key, and one that is
rewritten does, whatever its time.
"""

import atexit
import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from longtail.files.atomic import atomic_path
from longtail.files.sealed_json import SEAL, seal, unseal

HASHED_BEFORE = Path(".snakemake/longtail.contents.json")
"""The hashes of large files, by path, for the next plan."""
SMALL = 2**20
"""The bytes up to which a file is read at each plan."""

T = TypeVar("T")


@cache
def content_hash(path: str | Path) -> str | None:
    """The SHA-256 of a file; None: there is no such file.

    A large file is read again when its size, its inode, or the time of its last change by the clock of the file system
    (ctime, which no program sets) is another than when it was read before.
    """
    path = Path(path).absolute()
    try:
        stat = path.stat()
        if stat.st_size <= SMALL:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        state = [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
        known = _hashed_before()
        if str(path) not in known or known[str(path)][0] != state:
            with path.open("rb") as file:
                known[str(path)] = state, hashlib.file_digest(file, "sha256").hexdigest()
        return known[str(path)][1]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


@cache
def _hashed_before() -> dict[str, tuple[list[int], str]]:
    def entry(found: Any) -> tuple[list[int], str]:
        state, digest = found
        return [int(number) for number in state], str(digest)

    return remembered(HASHED_BEFORE.absolute(), "", entry)


def remembered(path: Path, by: str, entry: Callable[[Any], T]) -> dict[str, T]:
    """What earlier processes noted in a file, which this one may add to. It is kept when this process ends.

    Where there is no file, or not a whole one, it is made again. Where it cannot be written, the next process finds
    everything out again.

    Args:
        by: what the notes depend on; those of another are not believed.
        entry: makes a note of what stands in the JSON.
    """
    known: dict[str, T] = {}
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        text = path.read_bytes()
        content = unseal(text, path)
        if SEAL.encode() in text and content["by"] == by:
            known = {name: entry(found) for name, found in content["files"].items()}
    before = dict(known)

    def keep() -> None:
        if known != before:
            with suppress(OSError), atomic_path(path) as temporary:
                temporary.write_text(seal({"by": by, "files": known}), encoding="utf-8")

    atexit.register(keep)
    return known
