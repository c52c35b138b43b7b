"""The test images that each run got right. Every paired comparison starts from them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from longtail.analysis.frames import read_answers
from longtail.analysis.grid import Grid
from longtail.data.split.sets import CLUSTER, SPLIT, in_set, tested_sets, with_sets
from longtail.experiment.runs import Run

IMAGE = ["image_id", "label"]


@dataclass(frozen=True)
class Correctness:
    """The test images in one order, and for each run which of them it got right."""

    images: pd.DataFrame
    """Columns image_id, label, group, longtailed, and balanced and cluster where the split has them; N rows."""
    correct: dict[Run, np.ndarray]
    """Bool, N entries each."""

    @cached_property
    def cluster(self) -> np.ndarray | None:
        """The number of the group of each image (an individual, a night): int, N. None if each stands for itself."""
        if CLUSTER not in self.images or self.images[CLUSTER].is_unique:
            return None
        return np.unique(self.images[CLUSTER], return_inverse=True)[1]

    @cached_property
    def test_sets(self) -> tuple[str, ...]:
        """The names of the test sets, in their order."""
        return tested_sets(self.images["group"])

    def members(self, test_set: str) -> np.ndarray:
        """Whether each image belongs to a test set: bool, N entries."""
        return self._members[test_set]

    @cached_property
    def _members(self) -> dict[str, np.ndarray]:
        return {test_set: in_set(self.images, test_set).to_numpy() for test_set in self.test_sets}

    def differences(self, model: str, train_set: str, loss: str, reference: str, grid: Grid) -> np.ndarray:
        """Correct under `loss` minus correct under `reference`: int8, one row per seed that has both, N columns."""
        rows = [
            self.correct[own].astype(np.int8) - self.correct[other].astype(np.int8)
            for seed in grid.seeds
            if (own := Run(model, loss, train_set, seed)) in self.correct
            and (other := Run(model, reference, train_set, seed)) in self.correct
        ]
        return np.array(rows, dtype=np.int8).reshape(len(rows), len(self.images))


def read_correctness(runs: str | Path, split: str | Path, grid: Grid) -> Correctness:
    """Read `{train_set}/{model}/{loss}/seed{seed}/predictions.parquet` of every run of the grid that is there.

    Args:
        runs: the folder of all runs.
        split: split.parquet, which says which sets an image is in.

    Raises:
        FileNotFoundError: not one run of the grid has predictions.
        ValueError: a file is damaged, or holds other images than the first, or the split lacks one.
    """
    paths = {run: Path(runs) / str(run) / "predictions.parquet" for run in grid.runs}
    present = {run: path for run, path in paths.items() if path.exists()}
    if not present:
        raise FileNotFoundError(
            f"none of the {len(paths)} runs has predictions, such as {next(iter(paths.values()))}; train some first"
        )
    images, correct = None, {}
    for run, path in present.items():
        own, correct[run] = _read(path)
        if images is None:
            images = own
        elif not own.equals(images):
            raise ValueError(
                f"{path} holds other test images than {next(iter(present.values()))}; only runs on the same split "
                "can be paired: make the older predictions anew"
            )
    return Correctness(with_sets(images, SPLIT.read(split, [*IMAGE, "group", "longtailed"])), correct)


def _read(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    frame, logits = read_answers(path)
    return frame[IMAGE], logits.argmax(axis=1) == frame["label"].to_numpy()
