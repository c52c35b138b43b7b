"""What is no regular file: a FIFO or a device would be read for ever, and a folder is nothing to read."""

import stat
from pathlib import Path


def other_kind(mode: int) -> str:
    """What something is that is no regular file, by its `st_mode`; empty for a regular file."""
    kinds = {stat.S_IFREG: "", stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def read_bytes(path: str | Path) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no regular file; names it.
    """
    check_regular(path)
    return Path(path).read_bytes()


def check_regular(path: str | Path) -> None:
    """Refuse what is there and is no regular file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no regular file; names it.
    """
    if kind := other_kind(Path(path).stat().st_mode):
        raise ValueError(
            f"{path} is a {kind}, and a file is needed; move it away, and run the same command again"
        )
