"""The progress of a run: its finished epochs, and the sums over the steps of the current one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from longtail.files.parquet import write_parquet


class Diverged(ValueError):
    """A loss is not finite. The message says where, and what to change."""

    def __init__(self, what: str, learning_rate: float):
        super().__init__(
            f"{what}, at learning rate {learning_rate:g}; lower train.learning_rate (or "
            "models.NAME.train.learning_rate), or use warmup_epochs"
        )


@dataclass(kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch: how many epochs are finished.
        history: a row for each of them: epoch, train_loss, train_acc1, val_loss, val_acc1, the score that the epoch is
            selected by where that is another one, and learning_rate; nan for what an epoch without a validation lacks.
        timing: their seconds, their speed, and the threads that computed them.
        best_epoch: the epoch, from 1, whose weights are kept; 0 before there is one.
        best_weights: these weights, on the CPU.
        ended_early: whether no epoch was better for as long as the recipe's `patience`, which ends training.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    timing: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    finished: bool = False
    ended_early: bool = False

    def is_best(self, by: str) -> bool:
        """Whether the last epoch has a larger value in this column of the history than each one before it.

        Of equal values, the larger top-1 accuracy counts: as long as a group has no right answer, the worst group says
        nothing of what is learned. An epoch without a validation, whose value is nan, is never the best.
        """
        *earlier, last = ((row[by], row["val_acc1"]) for row in self.history)
        validated = [values for values in earlier if not math.isnan(values[0])]
        return not math.isnan(last[0]) and last > max(validated, default=(-1.0, -1.0))

    def state(self) -> dict[str, Any]:
        """The attributes, in a mapping that later epochs leave as it is."""
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        return state | {"history": list(self.history), "timing": list(self.timing)}


class Tally:
    """The sums over the steps of an epoch. They stay on the device, so that no step waits for the host.

    Attributes:
        step: steps taken.
        sums: float64: the sum of all images' losses, and the number of images that were recognised.
        losses: the loss of each step, nan before it is taken.
    """

    def __init__(self, steps: int, device: torch.device):
        self.step = 0
        self.sums = torch.zeros(2, device=device, dtype=torch.float64)
        self.losses = torch.full((steps,), float("nan"), device=device)

    def add(self, loss: torch.Tensor, hits: torch.Tensor, images: int) -> None:
        """Count a step: the mean loss over its images, and how many of them were recognised."""
        self.losses[self.step] = loss
        self.sums += torch.stack((loss.double() * images, hits.double()))
        self.step += 1

    def check_finite(self, epoch: int, learning_rate: float) -> None:
        """Raise `Diverged`, naming the first such step, where a loss is not finite."""
        bad = (~torch.isfinite(self.losses[: self.step])).nonzero()
        if len(bad):
            step = int(bad[0])
            raise Diverged(
                f"the loss is {self.losses[step].item()} in epoch {epoch + 1}, step {step + 1} of {len(self.losses)}",
                learning_rate,
            )

    def state(self) -> dict[str, Any]:
        """The state of the tally, as `restore` takes it."""
        return {"step": self.step, "sums": self.sums, "losses": self.losses[: self.step]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state` gave."""
        self.step = state["step"]
        self.sums.copy_(state["sums"])
        self.losses[: self.step].copy_(state["losses"])


def write_history(path: str | Path, history: Sequence[Mapping[str, float]]) -> None:
    """One row per epoch, from 1; nothing in it depends on time, so equal runs give equal bytes."""
    write_parquet(pd.DataFrame(list(history)), path)
