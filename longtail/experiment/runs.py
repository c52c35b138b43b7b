"""One training run of the grid: its name, its folder, and the files that its folder holds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from longtail.data.split.sets import ID, LABEL, TRAIN_SETS
from longtail.files.table import Column, Table
from longtail.settings import NAME

PATTERN = "{train_set}/{model}/{loss}/seed{seed}"
"""A run's folder below `results/runs`, and the name of its logs; Snakemake's wildcards have these names."""
MODEL = "model.safetensors"
HISTORY = "history.parquet"
RECORD = "run.json"
PREDICTIONS = "predictions.parquet"
IN_PATH = re.compile(r"([^/]+)/([^/]+)/([^/]+)/seed([0-9]{1,19})$")


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
    def named(cls, text: str | Path) -> "Run | None":
        """The run whose name this is and nothing more, as programs are told of a missing one; None: another path."""
        return cls.of(text) if IN_PATH.fullmatch(Path(text).as_posix()) else None

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
RUN_COLUMNS = {
    "model": Column("text", like=NAME),
    "loss": Column("text", like=NAME),
    "train_set": Column("text", among=TRAIN_SETS),
    "seed": Column("whole", 0),
}
"""The columns that say which run a row is of."""
LOSS, SHARE = Column("number", gaps=True), Column("number", 0, 1, gaps=True)
HISTORIES = Table(
    {
        "epoch": Column("whole", 1),
        "train_loss": LOSS,
        "train_acc1": SHARE,
        "val_loss": LOSS,
        "val_acc1": SHARE,
        "learning_rate": Column("number", 0),
    },
    key=("epoch",),
)
"""The history of a run: a row for each epoch; without a value for what an epoch without a validation lacks."""
ANSWERS = Table({"image_id": ID, "label": LABEL}, key=("image_id",))
"""The predictions of a run: a row for each test image; its logits are a column of lists beside these."""


def found_in(folder: Path, name: str = "") -> Iterator[Path]:
    """The folders of runs below `folder`, sorted. With `name`, the file of that name in each of them instead."""
    yield from sorted(folder.glob(f"{PATTERN.format(train_set='*', model='*', loss='*', seed='*')}{name}"))
