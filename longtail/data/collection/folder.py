"""The pictures in a folder and below, and what is passed over, by one rule for training and prediction.

A picture is what is named like one, and of the others what begins like one: what a file holds decides when it is
decoded. The workflow reads folders each time it plans, so nothing heavy is imported, and of a file at most the first
bytes are read.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from longtail.files.regular import other_kind

SUFFIXES = frozenset(
    [
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    ]
)
"""The endings, in lower case, of the files in a folder that are taken for images."""
RAW_SUFFIXES = frozenset(
    [
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".gpr", ".iiq", ".kdc", ".mef"),
        *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"),
        *(".srw", ".x3f"),
    ]
)
"""The endings of what cameras write without developing it. Such a file gets a row, which says what to do."""
RAW_STARTS = (b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_STARTS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", *RAW_STARTS),
)
"""How pictures begin whose beginning alone tells them."""
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""The brands, in the bytes 8 to 12 of a file, of HEIC and HEIF."""
HEIF_READERS = ("pi_heif", "pillow_heif")
"""The modules by which Pillow reads HEIC and HEIF; one suffices. Wheels of the second hold an encoder under the GPL."""
_BRANDS = (*HEIF_BRANDS, b"avif", b"avis", b"crx ")
MAX_DEPTH = 100
"""The most folders within one another that are read."""
MAX_LIST_BYTES = 2**30
"""The largest list of images that is read, 1 GiB: ten million lines of a hundred bytes."""
_MADE_BY_SYSTEMS = frozenset(
    [
        *("__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information"),
        *("lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    ]
)
"""Names, in lower case, that systems and network drives give to folders and files that they do not show."""

Note = Callable[[str, str, str, str, bool], None]
"""Takes what is told about a path: the path in the folder, kind, found, action and refused, as in a `Finding`."""


class Tree(NamedTuple):
    """What is in a folder and below, as paths in it with `/`, sorted."""

    pictures: list[str]
    folders: list[str]
    """The folders that were read, without the one where all began."""


def is_hidden(name: str) -> bool:
    """Whether the name of a file or folder says that people do not see it: `.git`, `._a.jpg`, `@eaDir`, `Thumbs.db`."""
    return name.startswith(".") or name.lower() in _MADE_BY_SYSTEMS


def is_picture(name: str) -> bool:
    """Whether a file is named like an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES | RAW_SUFFIXES


def begins_like_picture(path: Path) -> bool:
    """Whether the first bytes of a regular file are those of a picture; False if it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(32)
    except OSError:
        return False
    return (
        start.startswith(_STARTS)
        or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[:2] == b"BM" and start[6:10] == bytes(4))
        or re.match(rb"P[1-6]\s+(#|\d+\s+\d)", start) is not None
    )


def check_list(path: Path) -> None:
    """Refuse a list of images that would never end or fill the memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no regular file, or has more than MAX_LIST_BYTES.
    """
    status = path.stat()
    if kind := other_kind(status.st_mode):
        raise ValueError(f"{path} is a {kind}; a list of images is a file")
    if status.st_size > MAX_LIST_BYTES:
        raise ValueError(
            f"{path} has {status.st_size:,} bytes; a list of images has at most {MAX_LIST_BYTES:,}, so divide it or "
            "name another file"
        )


def check_encoding(name: str) -> None:
    """Refuse a name whose letters mean other bytes on this machine than on most, so that ids and splits would differ.

    Raises:
        ValueError: it has letters beside ASCII, and this Python takes names of files for another encoding than UTF-8.
    """
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and not name.isascii():
        # In letters that an output in that encoding has too.
        shown = os.fsencode(name).decode(errors="replace").encode("ascii", "backslashreplace").decode()
        raise ValueError(
            f"{shown}: this Python takes the names of files for {encoding}, by the locale, and this name has other "
            "letters; set PYTHONUTF8=1 for it, or LC_ALL=C.UTF-8, and start again"
        )


def read_tree(root: Path, note: Note) -> Tree:
    """Find the pictures in a folder and below.

    Hidden files and folders are left out at every depth, and so is what neither is named like an image nor begins like
    one, or is no file.
    Links are followed, but each folder is read once: where it lies, or else at the first link to it by name.

    Args:
        note: called for all that is left out. Hidden files of one folder are told together.

    Raises:
        ValueError: a name that `check_encoding` refuses.
    """
    tree = Tree([], [])
    waiting: list[str] = [""]
    links: list[str] = []
    # A link to a folder that holds this one would lead back here.
    read: dict[tuple[int, int], str | None] = {_identity(folder): None for folder in root.resolve().parents}
    while waiting or links:
        if not waiting:
            links.sort(reverse=True)
        name = waiting.pop() if waiting else links.pop()
        try:
            here = _identity(root / name)
            items = [] if here in read else sorted(os.scandir(root / name), key=lambda item: item.name)
        except OSError as error:
            if not name:
                raise
            note(name, "unreadable", f"a folder that cannot be read: {error.strerror}", "left out", True)
            continue
        if here in read:
            other = read[here]
            inside = not other or f"{name}/".startswith(f"{other}/")
            kind, found = "link", f"a link to {other}, which is read there"
            if inside:
                kind, found = "loop", "a link to a folder that it lies in"
            note(name, kind, found, "not followed", True)
            continue
        if name.count("/") >= MAX_DEPTH:
            note(name, "deep", f"a folder that lies in {MAX_DEPTH} others", "left out", True)
            continue
        read[here] = name
        if name:
            tree.folders.append(name)
        hidden = [item.name for item in items if is_hidden(item.name)]
        _note_hidden(root, name, hidden, note)
        for item in items:
            path = f"{name}/{item.name}" if name else item.name
            if is_hidden(item.name):
                continue
            check_encoding(path)
            try:
                kind = other_kind(item.stat().st_mode)
            except OSError:
                note(path, "broken link", "a link that leads nowhere", "left out", True)
                continue
            if kind == "folder":
                (links if item.is_symlink() else waiting).append(path)
            elif kind and is_picture(item.name):
                note(path, "no file", f"is a {kind}", "left out", True)
            elif kind:
                note(path, "other file", "a file that is not named like an image", "left out", False)
            elif is_picture(item.name) or begins_like_picture(root / path):
                tree.pictures.append(path)
            else:
                found = "is neither named like an image nor begins like one"
                note(path, "other file", found, "left out", False)
    return Tree(sorted(tree.pictures), sorted(tree.folders))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _note_hidden(root: Path, name: str, hidden: list[str], note: Note) -> None:
    """Tell each hidden folder in a folder, with the number of pictures in it, and all hidden files at once."""
    files = []
    for each in hidden:
        path = root / name / each
        if path.is_symlink() or not path.is_dir():
            files.append(each)
            continue
        count = sum(is_picture(file) for _, _, inner in os.walk(path) for file in inner)
        found = f"a hidden folder with {count} files that are named like images"
        note(f"{name}/{each}" if name else each, "hidden", found, "left out", False)
    if files:
        found = f"has {len(files)} hidden files, such as {files[0]}"
        note(name or ".", "hidden", found, "left out", False)
