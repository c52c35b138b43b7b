"""Short runs on the digits, in the process of the tests, and their model files."""

import json
from pathlib import Path

import torch

from longtail.data.tensors.files import load_tensors
from longtail.models.file import save_model
from longtail.training.checkpoint import StateFolder
from longtail.training.outputs import model_card
from longtail.training.progress import Progress
from longtail.training.run import Stopped, Trainer
from longtail.training.settings import RunSettings


class StopAfter:
    """A request to stop that comes after so many steps."""

    def __init__(self, steps: int):
        self.left, self.signal = steps, None

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0


def train_here(
    digits: Path,
    arguments: list[str],
    work: Path,
    *,
    stop_after: int | None = None,
    start: Path | None = None,
    teacher: Path | None = None,
) -> tuple[Progress, Trainer]:
    """Train by the arguments of train.py, stopped and resumed after each so many steps."""
    settings = json.loads(arguments[arguments.index("--settings") + 1])
    train_set, val_set = (load_tensors(digits / f"{part}.pth") for part in ("train", "val"))
    work.mkdir(exist_ok=True)
    stops = 0
    while True:
        trainer = Trainer(
            RunSettings.from_settings(settings, seed=1),
            train_set,
            val_set,
            device=torch.device("cpu"),
            states=StateFolder(work),
            start=start,
            teacher=teacher,
            stop=StopAfter(stop_after) if stop_after else None,
        )
        try:
            progress = trainer.train()
        except Stopped:
            stops += 1
        else:
            assert bool(stops) == bool(stop_after)
            return progress, trainer


def save_run(trainer: Trainer, digits: Path, path: Path) -> Path:
    """The path, after the model of a finished run was written there."""
    card = model_card(trainer, load_tensors(digits / "train.pth").class_names)
    save_model(path, trainer.progress.best_weights, card)
    return path


def same_weights(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)
