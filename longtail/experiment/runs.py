"""One training run of the grid: its name, its folder, and the files that its folder holds."""

import math
import re
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

PATTERN = "{train_set}/{model}/{loss}/seed{seed}"
"""A run's folder below `results/runs`, and the name of its logs; Snakemake's wildcards have these names."""
MODEL = "model.safetensors"
HISTORY = "history.parquet"
RECORD = "run.json"
PREDICTIONS = "predictions.parquet"
IN_PATH = re.compile(r"([^/]+)/([^/]+)/([^/]+)/seed(\d+)$")


class Run(NamedTuple):
    """One training run; its fields are the first columns of every table of results."""

    model: str
    loss: str
    train_set: str
    seed: int

    def __str__(self) -> str:
        return PATTERN.format_map(self._asdict())

    @classmethod
    def of(cls, folder: str | Path) -> "Run":
        """The run whose folder, or whose name, this is.

        Raises:
            ValueError: the path does not end as a run's folder does.
        """
        match = IN_PATH.search(Path(folder).as_posix())
        if not match:
            raise ValueError(f"{folder} is not the folder of a run, …/{PATTERN}")
        train_set, model, loss, seed = match.groups()
        return cls(model, loss, train_set, int(seed))

    @classmethod
    def of_file(cls, path: str | Path) -> "Run":
        """The run in whose folder this file lies.

        Raises:
            ValueError: the folder is not that of a run.
        """
        try:
            return cls.of(Path(path).parent)
        except ValueError:
            raise ValueError(f"{path} is not in the folder of a run, …/{PATTERN}/") from None


RUN = list(Run._fields)


def speed_of(record: Mapping[str, Any]) -> float:
    """The images that a run trained on per second, from its record: the median over the epochs.

    Raises:
        KeyError, TypeError, ValueError: the record has no epochs with a speed.
    """
    speed = statistics.median(epoch["train_images_per_second"] for epoch in record["epochs"])
    if not 0 < speed < math.inf:
        raise ValueError(f"it trained on {speed} images per second")
    return speed


def found_in(folder: Path, name: str = "") -> Iterator[Path]:
    """The folders of runs below `folder`, sorted. With `name`, the file of that name in each of them instead."""
    yield from sorted(folder.glob(f"{PATTERN.format(train_set='*', model='*', loss='*', seed='*')}{name}"))
