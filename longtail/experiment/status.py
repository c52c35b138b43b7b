"""How far every run is, read from the files below the results folder alone.

For a run that has not ended the log of its training tells it, for a finished run its record and history. So any machine
that sees the folder can look on, and nothing has to run beside the workflow.
"""

import re
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from longtail.experiment.lock import signed_runs
from longtail.experiment.record import read_record
from longtail.experiment.runs import HISTORIES, HISTORY, RECORD, Run, found_in
from longtail.files.regular import read_bytes
from longtail.files.sealed_json import REMEDY

EPOCH = re.compile(
    r"^epoch (?P<epoch>\d+)/(?P<epochs>\d+): .*(?:validation loss \S+, top-1 (?P<accuracy>[\d.]+)|not validated);"
    r".* (?P<speed>\d+) images/s; (?P<left>\d+) s left$",
    re.MULTILINE,
)
RESUMED = re.compile(r"^resuming after epoch (\d+)", re.MULTILINE)
STOPPED = re.compile(r"^stopped by \S+(?: in epoch (\d+); the state is saved)?$", re.MULTILINE)
FAILED = re.compile(r"^(?:error: |Traceback )", re.MULTILINE)
PATIENCE = 120.0
"""Seconds without a line after which a run may be dead, at least; five epochs where those take longer."""
FIRST_PATIENCE = 3600.0
"""The same before the first epoch has ended, with nothing to compare it with."""


@dataclass(frozen=True)
class Status:
    """The status of one run, as far as its files show it."""

    run: str
    state: str = "waiting"
    epoch: int = 0
    epochs: int = 0
    accuracy: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    """How long the whole training takes; an estimate where it has not ended."""
    seconds_left: float | None = None
    resumed: bool = False
    reason: str = ""
    """Why its files cannot be read, where the state is `unreadable`."""

    @property
    def active(self) -> bool:
        return self.state in ("running", "starting")


def statuses(results: Path) -> list[Status]:
    """The status of every run that the results folder knows of.

    Raises:
        FileNotFoundError: this is no results folder, or the workflow has not begun to fill it.
    """
    runs = known_runs(results)
    if not runs:
        raise FileNotFoundError(
            f"{results} knows of no run yet. Give the results folder of a workflow that has started, "
            "such as results/demo"
        )
    return [_readable(results, run, time.time(), old) for run, old in runs.items()]


def _readable(results: Path, run: str, now: float, old: int | None) -> Status:
    """The status of a run; files that this project did not write so hide no other run."""
    try:
        return status(results, run, now, old)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        return Status(run, "unreadable", reason=str(error) or repr(error))


def known_runs(results: Path) -> dict[str, int | None]:
    """The runs of the Snakemake that works on the results or last did, as `signed_runs` gives them.

    Where none has signed them, these are the runs of the grid as it was listed last, else those with a log or a record.
    """
    if signed := signed_runs(results):
        return signed
    names: dict[str, int | None] = {}
    listed = results / "lists/folders.txt"
    if listed.is_file():
        lines = read_bytes(listed).decode(errors="replace").split("\n")
        try:
            names |= dict.fromkeys(str(Run.of(line)) for line in lines if line)
        except ValueError as error:
            raise ValueError(f"{listed}: {error}. {REMEDY}") from None
    if not names:
        for folder, ending in ((results / "logs/train", ".log"), (results / "runs", "")):
            found = (path.as_posix().removesuffix(ending) for path in found_in(folder, ending))
            names |= dict.fromkeys(str(Run.of(name)) for name in found)
    return names


def status(results: Path, run: str, now: float, old: int | None = None) -> Status:
    """The status of one run, such as `balanced/resnet8/focal/seed42`.

    Args:
        old: time (mtime, in ns) of the record of an earlier training, which says nothing of the one that is to come.
    """
    record, log = results / "runs" / run / RECORD, results / "logs/train" / f"{run}.log"
    try:
        finished = record.stat().st_mtime_ns
        if finished != old:
            return _finished(run, record, finished)
        if log.stat().st_mtime_ns <= finished:  # the log of the earlier training
            return Status(run)
    except FileNotFoundError:
        pass
    try:
        written, text = log.stat().st_mtime, read_bytes(log).decode(errors="replace").replace("\r", "\n")
    except FileNotFoundError:
        return Status(run)
    return from_log(run, text, now - written)


def from_log(run: str, text: str, silence: float) -> Status:
    """The status of a run that has not finished, from the log of its training.

    Args:
        silence: seconds since the last line was written.
    """
    resumed, epochs = RESUMED.findall(text), list(EPOCH.finditer(text))
    found = Status(run, "starting", epoch=int(resumed[-1]) if resumed else 0, resumed=bool(resumed))
    patience = FIRST_PATIENCE if text else PATIENCE
    if epochs:
        last, validated = epochs[-1], [each["accuracy"] for each in epochs if each["accuracy"]]
        epoch, total, left = int(last["epoch"]), int(last["epochs"]), float(last["left"])
        each = left / (total - epoch) if epoch < total else 0.0
        patience = max(PATIENCE, 5 * each)
        found = replace(
            found,
            state="running",
            epoch=epoch,
            epochs=total,
            accuracy=float(validated[-1]) if validated else None,
            images_per_second=float(last["speed"]),
            seconds=each * total or None,
            seconds_left=max(0.0, left - silence),
        )
    elif text:
        found = replace(found, state="running")
    if stopped := STOPPED.findall(text):
        # Without an epoch it was stopped before the first one began.
        epoch = max(found.epoch, int(stopped[-1] or 1) - 1)
        return replace(found, state="stopped", epoch=epoch, seconds_left=None)
    if FAILED.search(text):
        return replace(found, state="failed", seconds_left=None)
    return replace(found, state="silent", seconds_left=None) if silence > patience else found


@cache
def _finished(run: str, path: Path, written: int) -> Status:
    """The status of a finished run. Its files are read again only when they were written again."""
    record = read_record(path)
    history = HISTORIES.read(path.with_name(HISTORY), ["epoch", "val_acc1"])
    kept = history.loc[history["epoch"] == record.best_epoch, "val_acc1"]
    if kept.empty:
        raise ValueError(f"{path} keeps epoch {record.best_epoch}, and the history beside it has none such")
    return Status(
        run,
        "finished",
        epoch=len(history),
        epochs=len(history),
        accuracy=float(kept.iloc[0]),
        images_per_second=record.images_per_second,
        seconds=record.seconds,
        seconds_left=0.0,
    )


def seconds_left(found: Iterable[Status]) -> float | None:
    """Seconds until the whole grid is trained, at the present number of runs at a time; None where unknown.

    A waiting run is assumed to last as long as other runs of its model (else of any model) lasted or will last.
    Failed runs are left out.
    """
    found = list(found)
    todo = [s for s in found if s.state not in ("finished", "failed", "unreadable")]
    if not todo:
        return 0.0
    work = [_left(s, found) for s in todo]
    known = [seconds for seconds in work if seconds is not None]
    if len(known) < len(work):
        return None
    beside = max(1, sum(s.active for s in todo))
    # However many runs go on side by side, the grid is not finished before the longest of them.
    return max(sum(known) / beside, *known)


def _left(one: Status, found: list[Status]) -> float | None:
    if one.seconds_left is not None:
        return one.seconds_left
    whole = one.seconds
    if whole is None:
        model = Run.of(one.run).model
        known = [(Run.of(s.run).model == model, s.seconds) for s in found if s.seconds]
        of_model = [seconds for same, seconds in known if same]
        if not known:
            return None
        whole = statistics.median(of_model or [seconds for _, seconds in known])
    return whole * (1 - one.epoch / one.epochs) if one.epochs else whole
