"""The content of files that the configuration names, as hashes, and what earlier processes found about files.

A path says nothing of a result: what stands in the file does. So a file that is moved changes no key, and one that is
rewritten does, whatever its time.
"""

import atexit
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar

from longtail.files.atomic import atomic_path
from longtail.files.regular import read_bytes
from longtail.files.sealed_json import SEAL, seal, unseal

HASHED_BEFORE = Path(".snakemake/longtail.contents.json")
"""The hashes of large files, by path, for the next plan."""
COLLECTION_BEFORE = Path(".snakemake/longtail.collection.json")
PICTURES_BEFORE = Path(".snakemake/longtail.pictures.json")
"""The hashes of the last collection, and of its pictures."""
SMALL = 2**20
"""The bytes up to which a file is read at each plan."""
END = 2**16
"""Bytes at the beginning and at the end of a file by which it is known without being read whole: where the formats of
this project have their checksums. A file of no more than twice that is known whole."""
HUGE = 2**28
"""Bytes from which on only the ends of a picture are read."""
READERS = 8
"""Pictures that are read at a time."""

T = TypeVar("T")


@cache
def content_hash(path: str | Path) -> str | None:
    """The SHA-256 of a file; None: there is no such file, or it cannot be read, which the job that needs it says.

    What is no regular file (a FIFO or a device would be read for ever) has none. A large file is read again when its
    size, its inode, or the time of its last change by the clock of the file system (ctime, which no program sets) is
    another than when it was read before.
    """
    path = Path(path).absolute()
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            return None
        if status.st_size <= SMALL:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        state = _state(str(path))
        known = _hashed_before()
        if str(path) not in known or known[str(path)][0] != state:
            with path.open("rb") as file:
                known[str(path)] = state, hashlib.file_digest(file, "sha256").hexdigest()
        return known[str(path)][1]
    except OSError:  # a text that is no path may be too long for one, and links may lead in a circle
        return None


def ends_hash(path: str | Path) -> str:
    """A hash of the size of a file and of its first and last bytes."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(b"%d " % size)
        digest.update(file.read(END))
        file.seek(max(END, size - END))
        digest.update(file.read())
    return digest.hexdigest()


def collection_hash(root: Path, names: Sequence[str]) -> str:
    """A hash of what the files of a collection hold, in this order.

    They are read once. Later plans read those again that changed by what the file system says (size, inode, mtime,
    ctime); where none did, not even the notes on each of them.
    """
    states = {name: _state(f"{root}/{name}") for name in names}
    place = str(root.absolute())
    all_states = _short(json.dumps([place, states]))
    known = remembered(COLLECTION_BEFORE.absolute(), "", str)
    if all_states not in known:
        contents = collection_contents(root, names, states)
        known.clear()
        known[all_states] = _short(json.dumps([contents[name] for name in names]))
    return known[all_states]


def collection_contents(
    root: Path, names: Sequence[str], states: dict[str, list[int]] | None = None
) -> dict[str, str]:
    """The first 20 digits of the SHA-256 of each file of a collection; of one of HUGE bytes and more, of its ends.

    Files that have not changed since an earlier plan, by what the file system says, are not read again.

    Args:
        states: what the file system says of each file, where that is known already.
    """
    states = states or {name: _state(f"{root}/{name}") for name in names}
    place = str(root.absolute())
    pictures = remembered(PICTURES_BEFORE.absolute(), place, _two)
    fresh = [name for name in names if name not in pictures or pictures[name][0] != _short(str(states[name]))]
    if (size := sum(states[name][0] for name in fresh)) > 1e9:
        print(f"Note: reading {len(fresh):,} pictures of {root}, {size / 1e9:.1f} GB, once", file=sys.stderr)
    with ThreadPoolExecutor(READERS) as readers:
        contents = readers.map(lambda name: _picture(f"{root}/{name}"), fresh)
        for name, found in zip(fresh, contents, strict=True):
            pictures[name] = _short(str(states[name])), found
    for name in pictures.keys() - states.keys():
        del pictures[name]
    return {name: pictures[name][1] for name in names}


def _picture(path: str) -> str:
    """A short hash of a file; empty where it is none or cannot be read, which the job that decodes it tells."""
    with suppress(OSError):
        size, *_ = state = _state(path)
        if len(state) == 1:
            return ""
        if size >= HUGE:
            return ends_hash(path)[:20]
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:20]
    return ""


def _state(path: str) -> list[int]:
    """What the file system says of a regular file, by which a change of it is known."""
    with suppress(OSError):
        stat = os.stat(path)  # noqa: PTH116 (there may be a million)
        if S_ISREG(stat.st_mode):
            return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
    return [0]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:20]


def _two(found: Any) -> tuple[str, str]:
    state, content = found
    return str(state), str(content)


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
        text = read_bytes(path)
        content = unseal(text, path)
        if SEAL.encode() in text and content["by"] == by:
            known = {name: entry(found) for name, found in content["files"].items()}
    before = dict(known)

    def keep() -> None:
        if known != before:
            with suppress(OSError), atomic_path(path) as temporary:
                # A name that is not UTF-8 has surrogates.
                temporary.write_bytes(seal({"by": by, "files": known}).encode(errors="surrogatepass"))

    atexit.register(keep)
    return known
