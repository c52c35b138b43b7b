"""Small runs of a method on scikit-learn's digits, without a workflow, for `longtail.testing.check_method`."""

from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail.batches.mixup import Targets
from longtail.config.load import load_config
from longtail.config.methods import merged
from longtail.data.sources.digits import load_images
from longtail.data.split.sets import frequency_groups
from longtail.data.tensors.files import LabelledImages
from longtail.experiment.jobs import Experiment
from longtail.experiment.runs import Run
from longtail.inference.logits import predict
from longtail.inference.variants import changed_card, vary
from longtail.machine.readback import ReadBacks
from longtail.machine.stopping import StopRequest
from longtail.models.file import load_model, save_model
from longtail.training.checkpoint import StateFolder
from longtail.training.outputs import model_card
from longtail.training.run import Stopped, Trainer
from longtail.training.settings import RunSettings

COUNTS = tuple(60 - 6 * label for label in range(10))
"""Training images of each digit."""
TESTED = 40
"""Test images of each digit."""
DIGITS: dict[str, Any] = {
    "grid": {"train_sets": ["longtailed"], "models": ["resnet8"]},
    "models": {"resnet8": {"pretrained": False}},
    "data": {"source": "digits", "train_per_class": COUNTS[0], "test_per_class": TESTED},
    "train": {
        **{
            "epochs": 4,
            "batch_size": 32,
            "learning_rate": 0.005,
            "schedule": "constant",
            "precision": "fp32",
        },
        **{"image_size": 8, "padding": 1, "flip": False, "select": "last", "validate_every": 4},
        **{"mean": [0.3053] * 3, "std": [0.3762] * 3, "calibrate": False},
    },
}
"""What a method is trained on and with, as far as its own configuration says nothing else."""
SECTIONS = ("losses", "variants", "models", "train")
"""The sections of a configuration that define a method."""


class WatchedTrainer(Trainer):
    """A trainer that notes in `seen` what its steps read back from the device."""

    seen: ReadBacks | None = None

    def train_step(self, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        with self.seen or nullcontext():
            return super().train_step(images, targets)


class StopAfter(StopRequest):
    """A request to stop that comes after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0


class Trial:
    """The runs of a method, and of those that it starts from or learns from, which are trained once.

    Args:
        name: of the method, a loss or a variant.
        configuration: as of `longtail.testing.check_method`.
        folder: gets the files.

    Attributes:
        read_backs: where a step of the method read a number back from the device.
    """

    def __init__(
        self, name: str, configuration: Mapping[str, Any], device: torch.device, folder: Path
    ) -> None:
        self.name, self.configuration, self.device, self.folder = name, configuration, device, folder
        self.read_backs = ReadBacks()
        self._finished: dict[Run, Path] = {}
        self._files, self._watched = 0, False

    @property
    def is_variant(self) -> bool:
        return self.name in (self.configuration.get("variants") or {})

    def settings(self, **wrong: Any) -> dict[str, Any]:
        """The whole configuration; settings that are `wrong` are put into the entry of the method."""
        own = {name: self.configuration[name] for name in SECTIONS if self.configuration.get(name)}
        grid = dict(DIGITS["grid"], losses=["softmax" if self.is_variant else self.name])
        if models := (self.configuration.get("grid") or {}).get("models"):
            grid["models"] = list(models)[:1]
        section = "variants" if self.is_variant else "losses"
        return merged(
            merged(DIGITS, own), {"grid": grid, section: {self.name: wrong}} if wrong else {"grid": grid}
        )

    @cached_property
    def experiment(self) -> Experiment:
        """The jobs of the configuration.

        Raises:
            ConfigError: it is wrong.
        """
        return Experiment(load_config(self.settings()))

    @cached_property
    def sets(self) -> tuple[LabelledImages, LabelledImages]:
        """The training and the test images."""
        every = load_images()
        rows = [torch.nonzero(every.labels == label).flatten() for label in range(len(COUNTS))]
        chosen = (
            torch.cat([own[:count] for own, count in zip(rows, COUNTS, strict=True)]),
            torch.cat([own[COUNTS[0] : COUNTS[0] + TESTED] for own in rows]),
        )
        train, test = (
            LabelledImages(every.images[ids], every.labels[ids], ids, every.class_names) for ids in chosen
        )
        return train, test

    def outcome(self, *, stop_after: int | None = None) -> tuple[dict[str, Tensor], Tensor]:
        """A new run of the method: the weights of its model, and the logits of the test images, all on the CPU.

        Args:
            stop_after: the run is stopped after each so many steps, and goes on with a new trainer.

        Raises:
            ValueError, FileNotFoundError: as of `Trainer`.
        """
        (name,) = self.experiment.config.grid.models
        model, card = load_model(self._made(Run(name, self.name, "longtailed", 1), stop_after))
        logits = predict(model.to(self.device), self.sets[1], card, self.device)
        return {name: tensor.cpu() for name, tensor in model.state_dict().items()}, logits.cpu()

    def _made(self, run: Run, stop_after: int | None = None) -> Path:
        """The model file of a new run, after those of the runs before it."""
        jobs, self._files = self.experiment, self._files + 1
        path = self.folder / f"{self._files}.safetensors"
        start, teacher = (before and self._once(before) for before in (jobs.start(run), jobs.teacher(run)))
        if start and jobs.is_variant(run):
            model, card = load_model(start)
            train, test = self.sets
            images = {"train": train, "val": test, "test": test}.get(
                jobs.config.variant(run.loss).images or ""
            )
            variant = vary(model, card, jobs.adjust_settings(run.loss), images, self.device)
            save_model(path, model.cpu().state_dict(), changed_card(card, model, variant))
            return path
        distill = jobs.config.loss(run.loss).distill
        files = {"start": start, "teacher": teacher or (distill and distill.path)}
        given = {name: str(file) for name, file in files.items() if file}
        trainer = self._trained(run, path.with_suffix(".work"), given, stop_after)
        names = self.sets[0].class_names
        save_model(path, trainer.progress.best_weights, model_card(trainer, names, **given))
        return path

    def _once(self, run: Run) -> Path:
        if run not in self._finished:
            self._finished[run] = self._made(run)
        return self._finished[run]

    def _trained(self, run: Run, work: Path, files: Mapping[str, str], stop_after: int | None) -> Trainer:
        settings = RunSettings.from_settings(self.experiment.train_settings(run.model, run.loss), run.seed)
        work.mkdir()
        with redirect_stdout(StringIO()):
            while True:
                trainer = WatchedTrainer(
                    settings,
                    *self.sets,
                    device=self.device,
                    states=StateFolder(work),
                    stop=StopAfter(stop_after) if stop_after else None,
                    groups=np.array(frequency_groups(COUNTS, "thirds")),
                    **files,  # type: ignore[arg-type]
                )
                trainer.seen = None if self._watched or run.loss != self.name else self.read_backs
                try:
                    trainer.train()
                except Stopped:
                    continue
                self._watched |= run.loss == self.name
                return trainer
