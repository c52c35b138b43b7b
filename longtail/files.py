"""Files that are either whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name only when the block ends without an error.

    The content is on disk (fsync of the file and of its folder) before the new name appears, so a crash at any
    moment leaves the old file or the new one, never a part. The temporary name keeps the suffix, since writers
    choose their format by it.

    Raises:
        OSError: the disk is full, the folder is read-only, …; names the file and leaves nothing behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"{path} could not be written: {error.strerror}", str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
