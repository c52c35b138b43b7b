"""How far every run is: `longtail watch results`, beside a local or SLURM workflow or after it.

Reads only files below the results folder (logs of training, records and histories of finished runs), so that it
can look on from any machine that sees them. A live table on a terminal; plain lines of what changed elsewhere.

It waits for the first run, and ends when all are finished. On the machine of the workflow it ends after the workflow,
too: with exit status 1, and the runs that are not finished.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from longtail.experiment.lock import workflow_has_ended
from longtail.experiment.status import Status, known_runs, seconds_left, statuses
from longtail.files.text import printable, without_middle
from longtail.machine.terminal import Help, heard
from longtail.settings import path_argument

PATIENCE = 15.0
"""Seconds for which a workflow must be gone, so that one that is about to begin is waited for."""
MOST_NAMES = 20
COLUMNS = ("state", "epoch", "val top-1", "images/s", "left")
LEAST_NAME = 12
"""Letters of a run's name that are shown, however narrow the terminal is."""
STATES = ("running", "failed", "unreadable", "stopped", "silent", "starting", "waiting", "finished")
"""In the order of the table: what a person looks for first."""
STYLES = {
    "running": "green",
    "failed": "bold red",
    "unreadable": "bold red",
    "stopped": "yellow",
    "silent": "yellow",
    "finished": "dim",
}


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
    runs = f"{len(found)} run{'' if len(found) == 1 else 's'}"
    if left == 0.0:
        return f"{runs}: {states}"
    if not any(one.active for one in found):
        return f"{runs}: {states}; nothing trains now, {duration(left)} of training left"
    return f"{runs}: {states}; all trained in {duration(left)}"


def duration(seconds: float | None) -> str:
    if seconds is None or not seconds < 1e10:  # a log may say anything
        return "unknown time"
    return str(timedelta(seconds=round(seconds)))


def table(found: list[Status], height: int, width: int) -> Table:
    """The live table: the runs that matter most now, as many as fit, and the grid's line below.

    Where the names of runs do not fit the width, they lose their middle, and no other column loses anything.
    """
    ordered = sorted(found, key=lambda one: STATES.index(one.state))
    room = max(1, height - 5)
    shown = ordered if len(ordered) <= room else ordered[: room - 1]
    drawn = Table(caption=summary(found), caption_justify="left", box=SIMPLE_HEAD)
    rows = [cells(one) for one in shown]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    room = max(LEAST_NAME, width - sum(widths) - 3 * (1 + len(widths)))
    drawn.add_column("run", no_wrap=True, overflow="ellipsis")
    for name, least in zip(COLUMNS, widths, strict=True):
        justify: Literal["left", "right"] = "left" if name == "state" else "right"
        drawn.add_column(name, justify=justify, no_wrap=True, min_width=least)
    for one, row in zip(shown, rows, strict=True):
        drawn.add_row(
            Text(without_middle(printable(one.run), room)), *map(Text, row), style=STYLES.get(one.state)
        )
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
                printable(one.run),
                ", ".join(a + cell + b for a, cell, b in zip(names, cells(one), units, strict=True) if cell)
                + (f" ({printable(one.reason)})" if one.reason else ""),
            ]
        )
        for one in found
    ]


def watch(results: Path, every: float) -> list[Status]:
    """Show the table until all runs are finished, or the workflow has ended without them; how they are then."""
    console = Console()
    found: list[Status] = []
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=False) as live:
            for found in _looks(results, every):
                live.update(table(found, console.height, console.width), refresh=True)
        return found
    told: dict[str, tuple] = {}
    for found in _looks(results, every):
        changed = [one for one in found if told.get(one.run) != (one.state, one.epoch)]
        told |= {one.run: (one.state, one.epoch) for one in changed}
        if changed:
            print("\n".join([*lines(changed), summary(found)]), flush=True)
    return found


def _looks(results: Path, every: float) -> Iterator[list[Status]]:
    """The statuses of all runs, again and again until no workflow will change them: a failed run may be tried again."""
    yield (found := _first_look(results, every))
    since = time.monotonic()
    while any(one.state != "finished" for one in found):
        # Jobs of a cluster may go on without their Snakemake.
        if any(one.active for one in found) or not workflow_has_ended(results):
            since = time.monotonic()
        elif time.monotonic() - since >= PATIENCE:
            return
        time.sleep(every)
        yield (found := statuses(results))


def _first_look(results: Path, every: float) -> list[Status]:
    """The statuses of all runs, as soon as there is a run.

    Raises:
        NotADirectoryError: a file is where the results should be.
    """
    told = False
    while not known_runs(results):
        if results.exists() and not results.is_dir():
            raise NotADirectoryError(f"{results} is no folder. Give the results folder of a workflow")
        if not told:
            print(printable(f"Waiting for the first run in {results} (Ctrl-C ends this)"), file=sys.stderr)
            told = True
        time.sleep(every)
    return statuses(results)


def left(found: Iterable[Status]) -> str:
    """The runs that a workflow has not finished, by state, as one sentence; empty: none."""
    found = list(found)
    by_state = {state: [one.run for one in found if one.state == state] for state in STATES}
    named = [
        f"{state}: {', '.join(map(printable, runs[:MOST_NAMES]))}"
        + (f" and {len(runs) - MOST_NAMES:,} more" if len(runs) > MOST_NAMES else "")
        for state, runs in by_state.items()
        if runs and state != "finished"
    ]
    return f"the workflow has ended without these runs: {'; '.join(named)}" if named else ""


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"found {text}, allowed: more than 0, and at most 86400 (a day)")
    return value


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="longtail watch",
        description=__doc__,
        formatter_class=Help,
    )
    parser.add_argument(
        "results",
        nargs="?",
        type=path_argument,
        default="results",
        help="folder of the results (default: results)",
    )
    parser.add_argument("--once", action="store_true", help="show what is now, and end")
    parser.add_argument("--every", type=_seconds, default=2.0, metavar="SECONDS", help="(default: 2)")
    return parser


def main(words: Sequence[str] | None = None) -> None:
    args = parser().parse_args(words)
    results = Path(args.results)
    try:
        if not args.once:
            if told := left(watch(results, args.every)):
                sys.exit(f"error: {told}")
        elif (console := Console()).is_terminal:
            console.print(table(statuses(results), sys.maxsize, console.width))
        else:
            found = statuses(results)
            print("\n".join([*lines(found), summary(found)]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"error: {printable(str(error))}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    sys.exit(heard(main))
