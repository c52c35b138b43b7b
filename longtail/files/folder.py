"""A folder that is either whole or absent."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_new(path: str | Path) -> None:
    """Raise a ValueError where something is there already that would be lost; an empty folder is none."""
    path = Path(path)
    if os.path.lexists(path) and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is there already; name a new folder, or delete that one")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A folder beside `path` that takes its name when the block ends without an error, and else is gone.

    Raises:
        ValueError: as `check_new`.
    """
    path = Path(path)
    check_new(path)
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=f".{path.name}-") as temporary:
        inner = Path(temporary, "new")
        inner.mkdir()
        yield inner
        if path.exists():
            path.rmdir()
        inner.rename(path)
