"""Files that are either whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name only when the block ends without an error.

    The content is on disk (fsync of the file and of its folder) before the new name appears, so a crash at any
    moment leaves the old file or the new one, never a part. The temporary name keeps the suffix, since writers
    choose their format by it. The folder of `path` is made if need be.

    Raises:
        OSError: the disk is full, the folder is read-only, …; names the file and leaves nothing behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            move_into_place(temporary, path)
        finally:
            with suppress(OSError):  # on a disk that fails, the error that is on its way says more
                temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a file of text in UTF-8, whole or not at all.

    Raises:
        OSError: as `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Let every error of the disk in this block name the file that it is about.

    Raises:
        OSError: with `path` and the cause.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OSError(error.errno, f"{path} could not be written: {reason}", str(path)) from error


def move_into_place(temporary: Path, path: Path) -> None:
    """Give a whole file its final name; first its content is brought to disk, and last its name."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
