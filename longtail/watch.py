"""How far every run is: `python -m longtail.watch results`, beside a local or SLURM workflow or after it.

Reads only files below the results folder (logs of training, records and histories of finished runs), so that it
can look on from any machine that sees them. A live table on a terminal; plain lines of what changed elsewhere.
"""

import argparse
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from longtail.files.sealed_json import unseal

STATES = ("running", "failed", "stopped", "silent", "starting", "waiting", "finished")
"""In the order of the table: what a person looks for first."""
STYLES = {
    "running": "green",
    "failed": "bold red",
    "stopped": "yellow",
    "silent": "yellow",
    "finished": "dim",
}
EPOCH = re.compile(
    r"^epoch (?P<epoch>\d+)/(?P<epochs>\d+): .*validation loss \S+, top-1 (?P<accuracy>[\d.]+);"
    r".* (?P<speed>\d+) images/s; (?P<left>\d+) s left$",
    re.MULTILINE,
)
RESUMED = re.compile(r"^resuming after epoch (\d+)", re.MULTILINE)
STOPPED = re.compile(r"^stopped by .* in epoch (\d+); the state is saved$", re.MULTILINE)
FAILED = re.compile(r"^(?:error: |Traceback )", re.MULTILINE)
PATIENCE = 120.0
"""Seconds without a line after which a run may be dead, at least; five epochs where those take longer."""
FIRST_PATIENCE = 3600.0
"""The same before the first epoch has ended, with nothing to compare it with."""


@dataclass(frozen=True)
class Status:
    """What the files tell of one run."""

    run: str
    state: str = "waiting"
    epoch: int = 0
    epochs: int = 0
    accuracy: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    """Of the whole training; an estimate where it has not ended."""
    seconds_left: float | None = None
    resumed: bool = False

    @property
    def active(self) -> bool:
        return self.state in ("running", "starting")


def statuses(results: Path, now: float | None = None) -> list[Status]:
    """The status of every run that the results folder knows of.

    Raises:
        FileNotFoundError: it is not a results folder, or the workflow has not begun to fill it.
    """
    now = time.time() if now is None else now
    runs = known_runs(results)
    if not runs:
        raise FileNotFoundError(
            f"{results} knows of no run yet. Give the results folder of a workflow that has started, "
            "such as results/demo"
        )
    return [status(results, run, now) for run in runs]


def known_runs(results: Path) -> list[str]:
    """Names of the runs: those of the grid as the workflow listed them, and others with a log or a record."""
    names = {}
    listed = results / "lists/folders.txt"
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8").split("\n")
        names |= dict.fromkeys("/".join(Path(line).parts[-4:]) for line in lines if line)
    if not names:
        for folder, pattern in (
            (results / "logs/train", "*/*/*/seed*.log"),
            (results / "runs", "*/*/*/seed*"),
        ):
            names |= dict.fromkeys(
                path.relative_to(folder).as_posix().removesuffix(".log")
                for path in sorted(folder.glob(pattern))
            )
    return list(names)


def status(results: Path, run: str, now: float) -> Status:
    """The status of one run, such as `balanced/resnet8/focal/seed42`."""
    record, log = results / "runs" / run / "run.json", results / "logs/train" / f"{run}.log"
    try:
        return _finished(run, record, record.stat().st_mtime_ns)
    except FileNotFoundError:
        pass
    try:
        written, text = log.stat().st_mtime, log.read_text(encoding="utf-8", errors="replace")
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
        last = epochs[-1]
        epoch, total, left = int(last["epoch"]), int(last["epochs"]), float(last["left"])
        each = left / (total - epoch) if epoch < total else 0.0
        patience = max(PATIENCE, 5 * each)
        found = replace(
            found,
            state="running",
            epoch=epoch,
            epochs=total,
            accuracy=float(last["accuracy"]),
            images_per_second=float(last["speed"]),
            seconds=each * total or None,
            seconds_left=max(0.0, left - silence),
        )
    elif text:
        found = replace(found, state="running")
    if stopped := STOPPED.findall(text):
        return replace(
            found, state="stopped", epoch=max(found.epoch, int(stopped[-1]) - 1), seconds_left=None
        )
    if FAILED.search(text):
        return replace(found, state="failed", seconds_left=None)
    return replace(found, state="silent", seconds_left=None) if silence > patience else found


@cache
def _finished(run: str, path: Path, written: int) -> Status:
    """From the files of a finished run, which are read once for each time they were written."""
    from longtail.files.parquet import read_parquet  # imports pandas, which unfinished runs do not need

    record = unseal(path.read_bytes(), path)
    speeds = [epoch["train_images_per_second"] for epoch in record["epochs"]]
    history = read_parquet(path.with_name("history.parquet"), ["epoch", "val_acc1"])
    kept = history.loc[history["epoch"] == record["best_epoch"], "val_acc1"]
    return Status(
        run,
        "finished",
        epoch=len(history),
        epochs=len(history),
        accuracy=float(kept.iloc[0]),
        images_per_second=statistics.median(speeds),
        seconds=record["seconds"],
        seconds_left=0.0,
    )


def seconds_left(found: Iterable[Status]) -> float | None:
    """Seconds until the whole grid is trained, at the present number of runs at a time; None where unknown.

    A run that waits is taken to last as long as those of its model, else of any model, did or are going to.
    Failed runs are left out.
    """
    found = list(found)
    todo = [s for s in found if s.state not in ("finished", "failed")]
    if not todo:
        return 0.0
    work = [_left(s, found) for s in todo]
    if any(seconds is None for seconds in work):
        return None
    beside = max(1, sum(s.active for s in todo))
    # No sooner than the longest of them, however many run beside one another.
    return max(sum(work) / beside, *work)


def _left(one: Status, found: list[Status]) -> float | None:
    if one.seconds_left is not None:
        return one.seconds_left
    whole = one.seconds
    if whole is None:
        model = one.run.split("/")[1]
        known = [(s.run.split("/")[1] == model, s.seconds) for s in found if s.seconds]
        of_model = [seconds for same, seconds in known if same]
        if not known:
            return None
        whole = statistics.median(of_model or [seconds for _, seconds in known])
    return whole * (1 - one.epoch / one.epochs) if one.epochs else whole


def cells(one: Status) -> list[str]:
    """What the table and the lines show of a run: state, epoch, accuracy, images/s, time left."""
    epoch = f"{one.epoch}/{one.epochs}" if one.epochs else str(one.epoch or "")
    return [
        one.state + (" (resumed)" if one.resumed and one.active else ""),
        epoch,
        "" if one.accuracy is None else f"{one.accuracy:.1%}",
        "" if one.images_per_second is None else f"{one.images_per_second:,.0f}",
        duration(one.seconds_left) if one.active and one.seconds_left is not None else "",
    ]


def summary(found: list[Status]) -> str:
    """One line on the grid: runs by state, and when it is trained."""
    counts = Counter(one.state for one in found)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    left = seconds_left(found)
    if left == 0.0:
        return f"{len(found)} runs: {states}"
    if not any(one.active for one in found):
        return f"{len(found)} runs: {states}; nothing trains now, {duration(left)} of training left"
    return f"{len(found)} runs: {states}; all trained in {duration(left)}"


def duration(seconds: float | None) -> str:
    return "unknown time" if seconds is None else str(timedelta(seconds=round(seconds)))


def table(found: list[Status], height: int) -> Table:
    """The live table: the runs that matter most now, as many as fit, and the grid's line below."""
    ordered = sorted(found, key=lambda one: STATES.index(one.state))
    room = max(1, height - 5)
    shown = ordered if len(ordered) <= room else ordered[: room - 1]
    drawn = Table(caption=summary(found), caption_justify="left", box=SIMPLE_HEAD)
    drawn.add_column("run", no_wrap=True, overflow="ellipsis")
    for name in ("state", "epoch", "val top-1", "images/s", "left"):
        drawn.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    for one in shown:
        drawn.add_row(one.run, *cells(one), style=STYLES.get(one.state))
    if len(shown) < len(ordered):
        rest = Counter(one.state for one in ordered[len(shown) :])
        drawn.add_row(
            "… and " + ", ".join(f"{number} {state}" for state, number in rest.items()), style="dim"
        )
    return drawn


def lines(found: Iterable[Status]) -> list[str]:
    """One line per run, for logs and pipes."""
    names = ("", "epoch ", "val top-1 ", "", "")
    units = ("", "", "", " images/s", " left")
    return [
        ": ".join(
            [
                one.run,
                ", ".join(a + cell + b for a, cell, b in zip(names, cells(one), units, strict=True) if cell),
            ]
        )
        for one in found
    ]


def watch(results: Path, every: float) -> None:
    """Show the table until all runs have ended."""
    console = Console()
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=False) as live:
            while True:
                found = statuses(results)
                live.update(table(found, console.height), refresh=True)
                if _ended(found):
                    return
                time.sleep(every)
    told: dict[str, tuple] = {}
    while True:
        found = statuses(results)
        changed = [one for one in found if told.get(one.run) != (one.state, one.epoch)]
        told |= {one.run: (one.state, one.epoch) for one in changed}
        if changed:
            print("\n".join([*lines(changed), summary(found)]), flush=True)
        if _ended(found):
            return
        time.sleep(every)


def _ended(found: list[Status]) -> bool:
    return all(one.state == "finished" for one in found)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m longtail.watch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results",
        nargs="?",
        type=Path,
        default=Path("results"),
        help="folder of the results (default: results)",
    )
    parser.add_argument("--once", action="store_true", help="show what is now, and end")
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="(default: 2)")
    args = parser.parse_args()
    try:
        if not args.once:
            watch(args.results, args.every)
        elif (console := Console()).is_terminal:
            console.print(table(statuses(args.results), sys.maxsize))
        else:
            found = statuses(args.results)
            print("\n".join([*lines(found), summary(found)]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
