"""One Ctrl-C ends Snakemake and all its jobs within seconds, their states saved; SIGTERM and SIGHUP do the same.

By itself Snakemake waits for its running jobs on SIGTERM, dies alone on SIGHUP, and takes Ctrl-C for a failure, after
which it would show what is there.

The profiles run this file before Snakemake reads the workflow, so that its start can be interrupted too. That is why
it imports nothing else of this project.
"""

import atexit
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

GRACE = 20.0
"""Seconds that jobs get to save their states. After that they are killed, and go on from their last epoch next time."""
ONE_PRESS = 1.0
"""Seconds within which a second signal is taken for the first: it may reach this process and its group."""


class Interruption:
    """The end of this Snakemake on a signal.

    Args:
        workflow: Snakemake's, where it is there already.
        disown: called first, so that no further job starts its work.
        quiet: whether another Snakemake, which started this one, says it all.
    """

    def __init__(self, workflow: Any = None, disown: Callable[[], object] = bool, quiet: bool = False):
        self.workflow, self.disown, self.quiet = workflow, disown, quiet
        self.began: float | None = None

    def install(self) -> None:
        """Be called on the signals from now on, but for those that are ignored, as `nohup` has it."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.began is None:
            self.began = time.monotonic()
            try:
                self._end(number)
            except Exception as error:
                self._say(f"error: {error}")
            finally:  # Snakemake must not go on with its jobs
                os._exit(128 + number)
        elif time.monotonic() - self.began > ONE_PRESS:
            _end_jobs(0)
            self._say(
                "Interrupted again: what still ran was killed, and goes on from its last epoch next time."
            )
            os._exit(128 + number)

    def _end(self, number: int) -> None:
        # However long the rest takes, this process ends.
        last = threading.Timer(2 * GRACE, os._exit, [128 + number])
        last.daemon = True
        last.start()
        logging.getLogger("snakemake.logging").disabled = True  # the jobs that end now are no failures
        scheduler = getattr(self.workflow, "scheduler", None)
        if os.isatty(2):
            self._say("")  # after the ^C that the terminal shows
        self._say(f"Interrupted by {signal.Signals(number).name} while {_doing(scheduler)}.")
        self.disown()
        _cancel_jobs_of_cluster(scheduler)
        killed = _end_jobs(GRACE)
        lost = f" ({killed} of their jobs took over {GRACE:.0f} s and lost the begun epoch)" if killed else ""
        self._say(f"Finished files and the states of unfinished runs are kept{lost}.")
        without = ", without the option that forces" if _forces(self.workflow) else ""
        self._say(f"To go on, give the same command again{without}: {_command()}")
        logging.raiseExceptions = False  # a handler may be only half made
        atexit._run_exitfuncs()  # they remove the temporary folders of Snakemake

    def _say(self, text: str) -> None:
        # A handler must not use a stream that it may have interrupted. Where the terminal is gone, nobody reads it.
        if not self.quiet:
            with suppress(OSError):
                os.write(2, f"{text}\n".encode())


def _doing(scheduler: Any) -> str:
    running = scheduler.running if scheduler else []
    jobs = sorted(" ".join([job.name, *getattr(job, "wildcards", ())]) for job in running)
    if not jobs:
        return "no job was running"
    return f"running {', '.join(jobs[:3])}{f' and {len(jobs) - 3} more' if len(jobs) > 3 else ''}"


def _cancel_jobs_of_cluster(scheduler: Any) -> None:
    executor: Any = getattr(scheduler, "_executor", None)
    if jobs := list(getattr(executor, "active_jobs", ())):
        executor.cancel_jobs(jobs)


def _forces(workflow: Any) -> bool:
    settings = getattr(workflow, "dag_settings", None)
    return bool(settings and (settings.forceall or settings.forcetargets or settings.forcerun))


def _command() -> str:
    # While Snakemake's profile runs a file of this package, that file stands first.
    of_profile = Path(sys.argv[0]).resolve().is_relative_to(Path(__file__).resolve().parents[1])
    name = ["snakemake"] if of_profile or "snakemake" in sys.argv[0] else ["python", sys.argv[0]]
    return shlex.join([*name, *sys.argv[1:]])


def _end_jobs(seconds: float) -> int:
    """Ask the programs below this process to end, kill those that have not after so many seconds, and count them."""
    import psutil  # Snakemake needs it too

    def ours(process: Any) -> bool:
        # The shells around programs end with them. Commands of a cluster, such as scancel, have to finish.
        with suppress(psutil.Error):
            words = process.cmdline()
            return "partial=true" in words or any(word.startswith("workflow/scripts/") for word in words)
        return False

    asked: list[Any] = []
    end = time.monotonic() + seconds
    while True:
        below = psutil.Process().children(recursive=True)
        new = [process for process in below if process not in asked and ours(process)]
        for process in new:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        asked += new
        living = list(filter(_lives, asked))
        if not living:
            return 0
        if time.monotonic() > end:
            for process in living:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            return len(living)
        time.sleep(0.05)


def _lives(process: Any) -> bool:
    import psutil

    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


if __name__ == "__main__":
    Interruption().install()
