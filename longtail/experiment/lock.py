"""The locks by which one Snakemake at a time works on results, and none before the jobs of an earlier one have ended.

The profiles turn Snakemake's own lock off: it stays behind when Snakemake is killed, and a second instance that ends
removes the first one's. The kernel drops these two with their processes, however those end.
"""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from longtail.experiment.runs import RECORD, Run
from longtail.files.atomic import write_text
from longtail.files.regular import read_bytes
from longtail.machine.processes import all_described, holders
from longtail.machine.stopping import has_ended, own_name

WORKER = "logs/workflow"
"""The file of a results folder that says which Snakemake last began to work on them."""
LOCK, HOLDER, JOBS = f"{WORKER}.lock", f"{WORKER}.holder", f"{WORKER}.jobs"
"""The files beside it: the lock of a Snakemake, who holds it, and the lock that all its jobs share (see
`longtail.machine.stopping`)."""
STORED = f"{WORKER}.storage"
"""The file that says where in storage the results are, if not in this folder."""
PATIENCE = 5.0
"""Seconds to wait for the name of a holder that has only just taken the lock."""
PATIENCE_WITH_JOBS = 60.0
"""Seconds to wait for jobs of a Snakemake that was killed; they end by themselves, within `stopping.GRACE`."""
_HELD: list[FileLock] = []
"""The locks of this process: a lock that nothing refers to is given back."""


def lock_results(results: Path, patience: float = PATIENCE_WITH_JOBS) -> None:
    """Take the lock and hold it until the process ends; a note beside it says who has it.

    Jobs of a Snakemake that was killed are waited for, since they could still write.

    Raises:
        BlockingIOError: another process holds it; names that process.
        OSError: the file system cannot lock, or the folder cannot be written.
    """
    (results / LOCK).parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(results / LOCK, timeout=0), results / HOLDER
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"Another Snakemake ({_name_in(holder)}) is working on the results in {results}. Wait for it, or stop it."
        ) from None
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        _wait_for_jobs(results / JOBS, patience)
    except OSError:
        lock.release()
        raise
    _HELD.append(lock)


def sign(results: Path, runs: Iterable[Run], anew: Iterable[Run] = (), storage: str = "") -> None:
    """Say in a results folder that it is this Snakemake that works on it, and on which runs.

    Args:
        runs: all that are trained, now or before.
        anew: those of them that this Snakemake trains. What is there of them is of an earlier training.
        storage: where in storage the results are, if not in this folder.

    Raises:
        OSError: the folder cannot be written.
    """
    if storage:
        write_text(results / STORED, f"{storage}\n")
        return
    (results / STORED).unlink(missing_ok=True)
    trained, lines = {*anew}, [own_name() if Path("/proc/self/stat").exists() else ""]
    for run in runs:
        record = results / "runs" / str(run) / RECORD
        old = record.stat().st_mtime_ns if run in trained and record.is_file() else ""
        lines.append(f"{run} {old}".rstrip())
    write_text(results / WORKER, "\n".join(lines) + "\n")


def signed_runs(results: Path) -> dict[str, int | None]:
    """The runs of the Snakemake that last signed these results, empty where nobody did.

    Each has the time (mtime, in ns) of the record of an earlier training that it replaces; None: it replaces none.

    Raises:
        OSError, ValueError: the file cannot be read, or makes no sense.
    """
    if (results / STORED).is_file():
        place = read_bytes(results / STORED).decode().strip()
        raise FileNotFoundError(
            f"the results of {results} are in storage, below {place}, where longtail watch cannot follow them: a log "
            "comes there when its job has ended. Snakemake itself says which jobs run and which have finished"
        )
    path = results / WORKER
    lines = read_bytes(path).decode().splitlines()[1:] if path.is_file() else []
    parts = [line.partition(" ") for line in lines]
    return {str(Run.of(run)): int(old) if old else None for run, _, old in parts}


def workflow_has_ended(results: Path) -> bool:
    """Whether the Snakemake that last signed these results has ended; False where that cannot be known from here.

    It cannot on another machine, nor where nobody signed.
    """
    try:
        return has_ended((results / WORKER).read_text().partition("\n")[0])
    except (OSError, ValueError):
        return False


def _wait_for_jobs(path: Path, patience: float) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        end, told = time.monotonic() + patience, False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                who = all_described(holders(descriptor))
            if time.monotonic() > end:
                raise BlockingIOError(
                    f"Jobs of an earlier Snakemake are still working on these results and do not end: {who}. "
                    "End them (kill -9 NUMBER), and give the command again."
                )
            if not told:
                print(f"Waiting for jobs of a Snakemake that was killed: {who}", file=sys.stderr, flush=True)
                told = True
            time.sleep(0.1)
    finally:
        os.close(descriptor)  # and with it the lock, which is for the jobs of this Snakemake to take


def _name_in(holder: Path) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if name := holder.read_text() if holder.is_file() else "":
            return name
        time.sleep(0.1)
    return "which has not said its number"
