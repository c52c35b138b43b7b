"""Report a run while it trains: a line per epoch, TensorBoard events, and a note of the progress."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from longtail.training.checkpoint import StateFolder
from longtail.training.recipe import Recipe
from longtail.training.selection import SCORES


class EpochLog:
    """Reports each finished epoch: a progress bar on a terminal, else a plain line; events and a note besides.

    Args:
        states: the folder that gets the note, for people who watch.
        events: folder of TensorBoard events; None: none are written.
        recipe: the recipe of the run.

    Raises:
        ValueError: events are wanted, and TensorBoard is not installed.
    """

    def __init__(self, states: StateFolder, events: str | Path | None, recipe: Recipe):
        self.states, self.epochs, self.validate_every = states, recipe.epochs, recipe.validate_every
        self.select = recipe.select
        self.events = Path(events) if events else None
        if events and not find_spec("tensorboard"):
            raise ValueError(
                f"the curves in {events} need TensorBoard: pip install tensorboard, or leave out --events"
            )
        self._writer: Any = None
        self._bar: Any = None

    def epoch(self, history: Sequence[Mapping[str, float]], timing: Sequence[Mapping[str, float]]) -> None:
        """Report the last epoch of these; both are as in `longtail.training.progress.Progress`."""
        row, times = history[-1], timing[-1]
        recent = [t["train_seconds"] + t["val_seconds"] for t in timing[-max(5, self.validate_every) :]]
        remaining = (self.epochs - row["epoch"]) * sum(recent) / len(recent)
        validated = [r["val_acc1"] for r in history if not math.isnan(r["val_acc1"])]
        self._show(row, times, remaining)
        self._write_events(history, times)
        self.states.report(
            epoch=row["epoch"],
            epochs=self.epochs,
            val_acc1=validated[-1] if validated else None,
            best_val_acc1=max(validated, default=None),
            images_per_second=times["train_images_per_second"],
            seconds_left=remaining,
            updated=time.time(),
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def _show(self, row: Mapping[str, float], times: Mapping[str, float], remaining: float) -> None:
        if sys.stderr.isatty():
            if self._bar is None:
                from tqdm import tqdm

                self._bar = tqdm(total=self.epochs, initial=row["epoch"] - 1, unit="epoch")
            self._bar.set_postfix(loss=f"{row['train_loss']:.3f}", val=f"{row['val_acc1']:.4f}")
            self._bar.update()
            return
        validation, score = "not validated", ""
        if not math.isnan(row["val_acc1"]):
            validation = f"validation loss {row['val_loss']:.4f}, top-1 {row['val_acc1']:.4f}"
            if self.select in SCORES:
                score = f"{SCORES[self.select].words} {row[f'val_{self.select}']:.4f}; "
        print(
            f"epoch {row['epoch']}/{self.epochs}: train loss {row['train_loss']:.4f}, top-1 {row['train_acc1']:.4f}; "
            f"{validation}; {score}lr {row['learning_rate']:g}; "
            f"{times['train_images_per_second']:.0f} images/s; {remaining:.0f} s left",
            flush=True,
        )

    def _write_events(self, history: Sequence[Mapping[str, float]], times: Mapping[str, float]) -> None:
        if self.events is None:
            return
        # A resumed run writes its earlier epochs anew, since its old event file is removed.
        missing = history[-1:] if self._writer else history
        if self._writer is None:
            for old in self.events.glob("events.out.tfevents.*"):
                old.unlink()
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self.events)
        for row in missing:
            for name, value in row.items():  # an epoch without a validation has some that are nan
                if name != "epoch" and not math.isnan(value):
                    self._writer.add_scalar(name, value, row["epoch"])
        self._writer.add_scalar("images_per_second", times["train_images_per_second"], history[-1]["epoch"])
        self._writer.flush()
