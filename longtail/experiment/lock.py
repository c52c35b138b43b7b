"""The lock by which one Snakemake at a time works in a folder.

The profiles turn Snakemake's own lock off: it stays behind when Snakemake is killed, and a second instance that ends
removes the first one's. The kernel drops this one with its process, however that ends.
"""

import os
import socket
import time
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 5.0
"""Seconds to wait for the name of a holder that has only just taken the lock."""
_HELD: list[FileLock] = []
"""The locks of this process: a lock that nothing refers to is given back."""


def lock_folder(folder: Path = Path(".snakemake")) -> None:
    """Take the lock and hold it until the process ends; a note beside it says who has it.

    Raises:
        BlockingIOError: another process holds it; names that process.
    """
    lock, holder = FileLock(folder / "longtail.lock", timeout=0), folder / "longtail.holder"
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"Another Snakemake ({_name_in(holder)}) is working in this folder. Wait for it, or stop it."
        ) from None
    _HELD.append(lock)
    holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")


def _name_in(holder: Path) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if name := holder.read_text() if holder.is_file() else "":
            return name
        time.sleep(0.1)
    return "which has not said its number"
