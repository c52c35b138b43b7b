"""Stop a job early when somebody asks for it, or when the workflow that started the job is gone.

Snakemake names itself to its jobs in a variable of the environment, and the frame of all programs heeds it: see
`stoppable`. The variable says which process it is, when that began (a number may be given to another process later),
where that number counts, and the file whose lock its jobs share.

Every job holds that lock until it has ended, however it ends, and a Snakemake that starts in the folder waits until
nobody holds it any more. So no job of a killed Snakemake can write anything after the next one has begun.
"""

import fcntl
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from longtail.machine.processes import began

RESUME = 75
"""Exit code of a job that was stopped and wants to be started again (EX_TEMPFAIL of sysexits.h)."""
WORKFLOW = "LONGTAIL_WORKFLOW"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
"""What asks a job to stop: Ctrl-C, preemption and time limits, a terminal that is closed."""
UNWINDING = 3.0
"""Seconds that a program without a state to save gets to remove its temporary files."""
GRACE = 30.0
"""Seconds after which a job whose workflow is gone ends without having saved its state."""

Handler = Callable[[int, FrameType | None], Any] | int | None


def heed(handler: Handler) -> dict[signal.Signals, Handler]:
    """Have the handler called on `SIGNALS`, but for those that are ignored, as `nohup` has it; the handlers before."""
    before: dict[signal.Signals, Handler] = {number: signal.getsignal(number) for number in SIGNALS}
    heeded = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    for number in heeded:
        signal.signal(number, handler)
    return heeded


class StopRequest:
    """Whether a signal that asks to stop has arrived since `install`.

    The handler only takes a note. The training loop finishes its step, saves its state and ends with `RESUME`.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def install(self) -> None:
        heed(self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or signal.Signals(number)  # Ctrl-C may be followed by Snakemake's SIGTERM

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stoppable() -> Iterator[None]:
    """End the block with exit code `RESUME` on a signal, and when the workflow that started this process ends.

    The block is left by an exception, so that temporary files are removed. The kernel ends the process where that
    takes longer than `UNWINDING`. A block with a state to save installs a `StopRequest` instead.
    """
    before = heed(_end)
    try:
        stop_with_workflow()
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    heed(lambda number, frame: None)  # a second signal must not interrupt the removal of temporary files
    _say(f"stopped by {signal.Signals(number).name}")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, UNWINDING)
    raise SystemExit(RESUME)


def name_workflow(jobs_lock: Path | None) -> None:
    """Tell all jobs of this process that it is the workflow they belong to.

    Args:
        jobs_lock: the file whose lock they share; None for jobs that may outlive the Snakemake that was started by
            hand, as those of a cluster do.
    """
    if Path("/proc/self/stat").exists():
        os.environ[WORKFLOW] = f"{own_name()} {jobs_lock.absolute() if jobs_lock else ''}"


def own_name() -> str:
    """What tells this process from every other one: its number, when it began, and where that number counts.

    Raises:
        OSError: there is no /proc.
    """
    return f"{os.getpid()} {began(os.getpid())} {_where()}"


def has_ended(name: str) -> bool:
    """Whether the process of this `own_name` has ended; False, too, where that cannot be known from here.

    Raises:
        ValueError: this is no such name.
    """
    number, start, where = name.split(" ")
    if not Path("/proc/self/stat").exists() or where != _where():
        return False
    if (descriptor := _descriptor(int(number), start)) is None:
        return True
    os.close(descriptor)
    return False


def disown_jobs() -> None:
    """Let every job that this workflow still starts end at once."""
    if WORKFLOW in os.environ:
        _, _, rest = os.environ[WORKFLOW].split(" ", 2)
        os.environ[WORKFLOW] = f"{os.getpid()} 0 {rest}"


def stop_with_workflow() -> bool:
    """Share the lock of the workflow's jobs, and send this process SIGTERM when the workflow dies, even by SIGKILL.

    A child outlives its killed parent, and a trainer that nobody waits for would hold its GPU for hours. Nothing is
    done where this program was started by hand, or in a container with process numbers of its own.

    Returns:
        Whether there is such a workflow.

    Raises:
        OSError: the lock cannot be taken.
    """
    named = os.environ.get(WORKFLOW)
    if named is None:
        return False
    number, start, where, lock = named.split(" ", 3)
    if where != _where():
        return False
    if lock:
        # First the lock, then the question whether the workflow lives: the next one looks the other way round.
        fcntl.flock(os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666), fcntl.LOCK_SH)
    workflow, main = int(number), threading.get_ident()

    def stop() -> None:
        _say(f"the workflow (process {workflow}) has ended: stopping")
        # Python runs handlers in its main thread alone. A signal to the whole process may reach another thread, after
        # SIGCONT for instance, and then nothing wakes the main one out of what it waits for.
        signal.pthread_kill(main, signal.SIGTERM)

    descriptor = _descriptor(workflow, start)
    if descriptor is None:
        stop()
        return True

    def stop_or_end() -> None:
        stop()
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)

    _when_ended(descriptor, stop_or_end)
    return True


def end_with_parent() -> None:
    """End this process at once when the one that started it has ended."""
    parent = os.getppid()
    try:
        descriptor = os.pidfd_open(parent)
    except (OSError, AttributeError):
        descriptor = None
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    if descriptor is not None:
        _when_ended(descriptor, lambda: os.kill(os.getpid(), signal.SIGKILL))


def _descriptor(process: int, start: str) -> int | None:
    """A pidfd of the process of that number that began then; None: it has ended."""
    with suppress(OSError):
        descriptor = os.pidfd_open(process)
        if began(process) == start and not select.select([descriptor], [], [], 0)[0]:
            return descriptor
        os.close(descriptor)
    return None


def _when_ended(descriptor: int, then: Callable[[], None]) -> None:
    """Call `then` in a thread of its own as soon as the process behind a pidfd has ended."""

    def wait() -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
        then()

    threading.Thread(target=wait, name="end-watch", daemon=True).start()


def _where() -> str:
    """Where the number of a process means what it means here: which start of which machine, and which namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def _say(text: str) -> None:
    """Write a line at once; a handler of signals must not use a stream that it may have interrupted."""
    with suppress(OSError):  # the terminal is gone, and nobody reads it
        os.write(2, f"{text}\n".encode())
