"""Which runs there should be, which there are, and the scores of one training and test set."""

import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import pandas as pd

from longtail.analysis.statistics.refusal import Refusal

GROUPS = ("head", "middle", "tail")
TEST_SETS = ("balanced", "longtailed", *GROUPS)
COLUMNS = ("model", "loss", "train_set", "seed", "test_set", "metric", "value", "n")


class Run(NamedTuple):
    """One training run; the columns of the evaluation that name it."""

    model: str
    loss: str
    train_set: str
    seed: int

    def __str__(self) -> str:
        return f"{self.train_set}/{self.model}/{self.loss}/seed{self.seed}"


@dataclass(frozen=True)
class Grid:
    """Every combination that the results should hold; runs outside it are ignored."""

    models: tuple[str, ...]
    losses: tuple[str, ...]
    train_sets: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, evaluation: pd.DataFrame) -> Self:
        """The smallest grid around the runs of an evaluation.

        A model, loss or seed of which no run ended is unknown to it: give the grid itself where it is known.
        """
        names = (evaluation[column].unique().tolist() for column in ("model", "loss", "train_set", "seed"))
        return cls(*map(tuple, names))

    @property
    def runs(self) -> list[Run]:
        return [Run(*run) for run in itertools.product(self.models, self.losses, self.train_sets, self.seeds)]


def compared(grid: Grid, reference: str) -> list[str]:
    """The losses that are compared with the reference.

    Raises:
        Refusal: the reference, or any loss beside it, is not in the grid.
    """
    losses = [loss for loss in grid.losses if loss != reference]
    if reference not in grid.losses or not losses:
        raise Refusal(
            f"paired differences need the reference loss '{reference}' and another one, but the losses are: "
            f"{', '.join(grid.losses)}"
        )
    return losses


def scores(evaluation: pd.DataFrame, grid: Grid, metric: str = "acc1") -> pd.DataFrame:
    """The values of one metric, one row per run of the grid and test set; only those that are there.

    Args:
        evaluation: columns model, loss, train_set, seed, test_set, metric, value, n.

    Returns:
        Columns model, loss, train_set, seed, test_set, value, n.

    Raises:
        ValueError: a column is missing, or a run is there twice.
    """
    if absent := [name for name in COLUMNS if name not in evaluation.columns]:
        raise ValueError(
            f"the evaluation lacks the columns {', '.join(absent)}; it has {list(evaluation.columns)}"
        )
    chosen = evaluation[(evaluation["metric"] == metric) & evaluation["value"].notna()]
    runs = pd.MultiIndex.from_frame(chosen[list(Run._fields)])
    chosen = chosen[runs.isin(grid.runs)]
    keys = [*Run._fields, "test_set"]
    if (twice := chosen.duplicated(keys)).any():
        *run, test_set = chosen.loc[twice, keys].iloc[0]
        raise ValueError(f"the evaluation holds {metric} twice for {Run(*run)} on '{test_set}'")
    return chosen[[*keys, "value", "n"]].reset_index(drop=True)


def missing_runs(found: pd.DataFrame, grid: Grid) -> list[Run]:
    """The runs of the grid that have no row in `found` (columns model, loss, train_set, seed)."""
    there = set(found[list(Run._fields)].itertuples(index=False, name=None))
    return [run for run in grid.runs if run not in there]


def name_missing(runs: list[Run]) -> str:
    """The missing runs as one phrase; empty if there are none."""
    seeds = defaultdict(list)
    for run in runs:
        seeds[run.train_set, run.model, run.loss].append(str(run.seed))
    losses = defaultdict(list)
    for (train_set, model, loss), own in seeds.items():
        losses[train_set, model, ", ".join(own)].append(loss)
    named = [
        f"{model} trained on {train_set} with {', '.join(own)} (seed {which})"
        for (train_set, model, which), own in losses.items()
    ]
    return f"missing and in no number: {'; '.join(named)}" if named else ""


def join_notes(*notes: str) -> str:
    """The notes that are not empty, as one text."""
    return "; ".join(note for note in notes if note)


def by_set(
    found: pd.DataFrame, grid: Grid, compute: Callable[[pd.DataFrame], pd.DataFrame], columns: list[str]
) -> pd.DataFrame:
    """One analysis for each training set and test set, refusals among its results.

    Args:
        found: as `scores` returns them.
        compute: from the rows of one training and test set to a frame with `columns`.
        columns: the last is `note`.

    Returns:
        The frames under each other, after the columns train_set and test_set. A refusal is a row with nothing
        but its sentence in `note`; runs that are missing are named in the notes of their rows.
    """
    frames = []
    for train_set, test_set in itertools.product(grid.train_sets, TEST_SETS):
        own = found[(found["train_set"] == train_set) & (found["test_set"] == test_set)]
        expected = Grid(grid.models, grid.losses, (train_set,), grid.seeds)
        try:
            if own.empty:
                raise Refusal("no run has a result here: the test set has no image, or no run has ended")
            frame = compute(own)
            absent = name_missing(missing_runs(own, expected))
            frame = frame.assign(note=[join_notes(note, absent) for note in frame["note"]])
        except Refusal as refusal:
            frame = pd.DataFrame([{"note": str(refusal)}])
        frames.append(frame.assign(train_set=train_set, test_set=test_set))
    return pd.concat(frames, ignore_index=True).reindex(columns=["train_set", "test_set", *columns])
