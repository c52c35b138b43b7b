"""Other processes of this machine, as the kernel knows them: when one began, what it is, and which hold a lock.

Nothing here is read from a file that another user could write.
"""

import os
import pwd
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from longtail.files.text import printable

LONGEST_COMMAND = 100


def began(process: int) -> str:
    """The moment at which a process began, which tells it from a later one with the same number.

    Raises:
        OSError: there is no such process, or no /proc.
    """
    # The first two fields are passed over, since the second may hold spaces.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]


def described(process: int) -> str:
    """The process for people: its number, its command, its user and since when it runs."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
        user = Path(f"/proc/{process}").stat().st_uid
        ticks = int(began(process)) / os.sysconf("SC_CLK_TCK")
        start = int(Path("/proc/stat").read_text().partition("btime ")[2].split()[0])
    except OSError:
        return f"process {process}"
    name = str(user)
    with suppress(KeyError):  # a user without a name, as in a container
        name = pwd.getpwuid(user).pw_name
    command = printable(" ".join(words).strip())
    if len(command) > LONGEST_COMMAND:
        command = f"{command[:LONGEST_COMMAND]}…"
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(start + ticks))
    return f"process {process} of user {name}, since {since}: {command}"


def all_described(processes: Iterable[int]) -> str:
    """The processes for people, or that none can be seen."""
    return "; ".join(map(described, processes)) or "a process that cannot be seen from here"


def holders(descriptor: int) -> list[int]:
    """The processes that hold an flock(2) of an open file and can be seen from here, but for this one."""
    status = os.fstat(descriptor)
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return []
    # A row that begins with an arrow is of a process that waits for the lock.
    found = {int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == file}
    return sorted(process for process in found if process not in (-1, 0, os.getpid()))
