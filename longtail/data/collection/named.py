"""Find the files that the rows of a list name, however people and programs write paths."""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from longtail.data.collection.folder import SUFFIXES, check_encoding, other_kind

ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|[a-zA-Z]:[\\/]|\\\\|/")
"""How addresses and whole paths begin, also those of Windows."""


_SIZE = re.compile(r"(?:original|large|medium|small|square|thumb)(\.\w+)", re.IGNORECASE)
"""What the pictures of iNaturalist are called, each in a folder with the number of the photograph."""


def place_of(named: str) -> str:
    """Where an address or a path of another computer points to: the host and its path, without what is asked of it."""
    if "://" not in named:
        return named.strip().replace("\\", "/")
    address = urlsplit(named.strip())
    return f"{address.netloc}/{unquote(address.path).lstrip('/')}"


class Files:
    """The files of a collection by the names that a list gives them.

    A name is taken as it is written where there is such a file. If not, it is tried without spaces around it, with `/`
    for each backslash, in the other ways to write accented letters, and with the ending of a picture if it has none.
    Of an address, or of a whole path that is not there, the longest end that exists is meant: the computer that wrote
    it had the pictures in another place. Of an address such as `…/photos/123/medium.jpg`, the file may be `123.jpg`.
    """

    def __init__(self, root: Path):
        self.root = root
        self._folders: dict[str, dict[str, list[str]]] = {}

    def find(self, paths: tuple[str, ...]) -> tuple[str, str] | None:
        """The path of a file in the collection, and what it is if it is no regular file (a folder, a FIFO, …).

        Args:
            paths: names for it; the first that exists is meant.

        Returns:
            None: there is none.

        Raises:
            ValueError: a name without an ending stands for several files, or `check_encoding` refuses one.
        """
        for named in paths:
            check_encoding(named)
            for path in _writings(named):
                if (kind := self._kind(path)) is not None:
                    return path, kind
        for named in paths:
            for path in _writings(named):
                if found := self._with_ending(path):
                    return found, ""
        return None

    def _kind(self, path: str) -> str | None:
        try:
            return other_kind(os.stat(os.path.join(self.root, path)).st_mode)  # noqa: PTH116, PTH118 (may be a million)
        except (OSError, ValueError):  # The latter is for names that no system takes.
            return None

    def _with_ending(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        if not name or PurePosixPath(name).suffix.lower() in SUFFIXES:
            return None
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            try:
                with os.scandir(self.root / folder) as items:
                    for item in sorted(items, key=lambda item: item.name):
                        stem, ending = os.path.splitext(item.name)  # noqa: PTH122 (a name may end in a dot)
                        if ending.lower() in SUFFIXES:
                            names.setdefault(stem, []).append(item.name)
            except (OSError, ValueError):
                names = {}
            self._folders[folder] = names
        found = self._folders[folder].get(name, [])
        if len(found) > 1:
            raise ValueError(f"{path} may be {' or '.join(found)}; write its ending")
        return f"{folder}/{found[0]}" if folder and found else found[0] if found else None


def _writings(named: str) -> Iterator[str]:
    """The ways to write a path, the likeliest first."""
    seen: set[str] = set()
    for path in (named, named.strip(), named.strip().replace("\\", "/")):
        for form in ("", "NFC", "NFD"):
            written = unicodedata.normalize(form, path) if form else path  # type: ignore[arg-type]
            if written and written not in seen:
                seen.add(written)
                yield PurePosixPath(written).as_posix()
    if ELSEWHERE.match(named.strip()):
        parts = [part for part in place_of(named).split("/") if part and part != ".."]
        yield from ("/".join(parts[start:]) for start in range(len(parts)))
        if "://" in named and len(parts) > 1 and (size := _SIZE.fullmatch(parts[-1])):
            yield parts[-2] + size[1]
