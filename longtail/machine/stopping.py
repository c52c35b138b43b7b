"""Stop a job early when a scheduler asks for it, or when the workflow that started the job is gone."""

import os
import select
import signal
import sys
import threading
from pathlib import Path

RESUME = 75
"""Exit code of a job that saved its state and wants to be started again (EX_TEMPFAIL of sysexits.h)."""


class StopRequest:
    """Whether SIGTERM or SIGUSR2 (preemption, a time limit) has arrived since `install`.

    The handler only takes a note. The training loop finishes its step, saves its state and ends with `RESUME`.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.signal = signal.Signals(number)

    def __bool__(self) -> bool:
        return self.signal is not None


def stop_with_workflow(parent: int | None = None) -> int | None:
    """Send this process SIGTERM when the Snakemake that started it dies, even by SIGKILL.

    A child outlives its killed parent, and a trainer that nobody waits for would hold its GPU for hours. The
    workflow is found by name among the ancestors, and the kernel reports its end through a pidfd.

    Args:
        parent: the process that started this one. If it is no longer this one's parent, it ended while this program
            was being loaded, which takes seconds. Then there is no ancestor left to find.

    Returns:
        The process id of the workflow; None where this program was started by hand, or on a platform without pidfd,
        which is any but Linux.
    """
    ancestor = _snakemake_ancestor()
    descriptor = None
    if ancestor is not None and hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(ancestor)
        except ProcessLookupError:
            parent = ancestor
    # This is asked only after the pidfd is open. A workflow that ended before shows here, a later end in the pidfd.
    if parent is not None and os.getppid() != parent:
        print(f"the workflow (process {parent}) has ended: stopping", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        return ancestor
    if descriptor is None:
        return None

    def wait() -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
        print(f"the workflow (process {ancestor}) has ended: stopping", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="workflow-watch", daemon=True).start()
    return ancestor


def _snakemake_ancestor() -> int | None:
    process = os.getppid()
    while process > 1:
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return None
        # Snakemake must be the program, or the script or module of a Python. A shell whose command mentions it is not.
        if not words[0].endswith((b"bash", b"sh")) and any(b"snakemake" in word for word in words[:3]):
            return process
        process = parent
    return None
