"""The grid of runs behind tables, figures and statistics: the runs that should exist, the missing ones, the scores."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from longtail.data.split.sets import TEST_SETS, tested_sets
from longtail.experiment.runs import RUN, Run

COLUMNS = [*RUN, "test_set", "metric", "value", "n"]
OVER_SEEDS = {"mean": "mean", "sd": "std", "runs": "count", "expected": "size"}
"""How the values of the seeds become one row: mean, standard deviation (n - 1; NaN for one run), and how many there are
and should be."""


class Refusal(ValueError):
    """The data cannot support this statistic; the message is one sentence that says what would be needed."""


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

        It cannot know a model, loss or seed of which no run has ended. Use the planned grid where there is one.
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
    """The values of one metric, with one row per run of the grid and test set. Missing runs have no row.

    Args:
        evaluation: columns model, loss, train_set, seed, test_set, metric, value, n.

    Returns:
        Columns model, loss, train_set, seed, test_set, value, n.

    Raises:
        ValueError: a column is missing, or a run occurs twice.
    """
    require(evaluation, COLUMNS, "the evaluation")
    wanted = (evaluation["metric"] == metric) & evaluation["value"].notna()
    for column, names in zip(RUN, (grid.models, grid.losses, grid.train_sets, grid.seeds), strict=True):
        wanted &= evaluation[column].isin(names)
    chosen = evaluation[wanted]
    keys = [*RUN, "test_set"]
    if (twice := chosen.duplicated(keys)).any():
        *run, test_set = chosen.loc[twice, keys].iloc[0]
        raise ValueError(f"the evaluation holds {metric} twice for {Run(*run)} on '{test_set}'")
    return chosen[[*keys, "value", "n"]].reset_index(drop=True)


def missing_runs(found: pd.DataFrame, grid: Grid) -> list[Run]:
    """The runs of the grid that have no row in `found` (columns model, loss, train_set, seed)."""
    there = set(zip(*(found[name] for name in RUN), strict=True))
    return [run for run in grid.runs if run not in there]


def without(frame: pd.DataFrame, value: str) -> list[Run]:
    """The runs of the smallest grid around a frame that have no number in its column `value`."""
    return missing_runs(frame[frame[value].notna()], Grid.of(frame))


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


def without_repeats(found: pd.DataFrame, grid: Grid, train_set: str) -> tuple[Grid, str]:
    """The grid of one training set with each run once, and a note on the losses that only repeat another one.

    Some losses are the same where all classes are equally large: softmax, weighted softmax and class-balanced train the
    same network there. Counted three times, it would look like three that agree. A loss repeats another one if all its
    accuracies, on every test set, are the same to the last digit.

    Args:
        found: as `scores` returns them.
    """
    own = found[found["train_set"] == train_set]
    wide = own.pivot(index=["model", "seed", "test_set"], columns="loss", values="value").round(12)
    first: dict[tuple, str] = {}
    repeats = defaultdict(list)
    for loss in (name for name in grid.losses if name in wide and wide[name].notna().any()):
        values = tuple(wide[loss].fillna(-1.0))
        if values in first:
            repeats[first[values]].append(loss)
        else:
            first[values] = loss
    again = {loss for own in repeats.values() for loss in own}
    listed = "; ".join(" = ".join([loss, *names]) for loss, names in repeats.items())
    note = f"losses with the same accuracies everywhere count once: {listed}" if again else ""
    losses = tuple(loss for loss in grid.losses if loss not in again)
    return Grid(grid.models, losses, (train_set,), grid.seeds), note


def repeats(found: pd.DataFrame, grid: Grid) -> list[tuple[str, str]]:
    """The training sets and losses that only repeat another loss, as `without_repeats` finds them."""
    distinct = {name: without_repeats(found, grid, name)[0].losses for name in grid.train_sets}
    return [(name, loss) for name, losses in distinct.items() for loss in grid.losses if loss not in losses]


def by_set(
    found: pd.DataFrame,
    grid: Grid,
    compute: Callable[[pd.DataFrame], Sequence[pd.DataFrame]],
    *columns: list[str],
) -> list[pd.DataFrame]:
    """Make analyses for each training set and test set. A refusal becomes a row of each result.

    Args:
        found: as `scores` returns them.
        compute: takes the rows of one training and test set and returns the frame of each analysis.
        columns: those of each analysis; the last is `note`.

    Returns:
        For each analysis all its frames in one, with the columns train_set and test_set in front. A refusal is a row
        with nothing but its sentence in `note`. The notes also name the runs that are missing.
    """
    collected: list[list[pd.DataFrame]] = [[] for _ in columns]
    distinct = {train_set: without_repeats(found, grid, train_set) for train_set in grid.train_sets}
    for train_set, test_set in itertools.product(grid.train_sets, tested_sets(found["test_set"])):
        expected, repeats = distinct[train_set]
        own = found[(found["train_set"] == train_set) & (found["test_set"] == test_set)]
        own = own[own["loss"].isin(expected.losses)]
        try:
            if own.empty:
                raise Refusal("no run has a result here: the test set has no image, or no run has ended")
            frames = compute(own)
            absent = name_missing(missing_runs(own, expected))
            notes = [[join_notes(note, repeats, absent) for note in frame["note"]] for frame in frames]
        except Refusal as refusal:
            frames = [pd.DataFrame(index=[0])] * len(columns)
            notes = [[join_notes(str(refusal), repeats)]] * len(columns)
        for analysis, frame, own_notes in zip(collected, frames, notes, strict=True):
            analysis.append(frame.assign(note=own_notes, train_set=train_set, test_set=test_set))
    return [
        pd.concat(analysis, ignore_index=True).reindex(columns=["train_set", "test_set", *own])
        for analysis, own in zip(collected, columns, strict=True)
    ]


def select(frame: pd.DataFrame, **chosen: str | None) -> pd.DataFrame:
    """The rows of the chosen model, training set or loss; None chooses all.

    Raises:
        ValueError: there is no such row; the message lists the names that exist.
    """
    for column, name in chosen.items():
        if name is None:
            continue
        require(frame, [column], "the table of the results")
        names = list(frame[column].unique())
        if name not in names:
            raise ValueError(
                f"{column} '{name}' is not among the results; there are: {', '.join(map(str, names))}"
            )
        frame = frame[frame[column] == name]
    return frame


def every_run(evaluation: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """A row for every run of the grid, test set and metric; where the run or its value is missing, it has NaN.

    Args:
        evaluation: columns model, loss, train_set, seed, test_set, metric, value, n (test images); a missing run
            has NaN or no rows.

    Returns:
        Columns model, loss, train_set, seed, test_set, metric, value, n, and clusters where the evaluation has it;
        test sets in their usual order.

    Raises:
        ValueError: a column is missing, or a value is there twice.
    """
    require(evaluation, COLUMNS, "evaluation")
    keys = [*RUN, "test_set", "metric"]
    found = evaluation[evaluation["metric"].isin(metrics)]
    values: dict[tuple, float] = {}
    for cell, value in zip(zip(*(found[name] for name in keys), strict=True), found["value"], strict=True):
        if cell in values:
            raise ValueError(f"the evaluation holds two values of {cell}; one run was added twice")
        values[cell] = value
    sizes = evaluation.groupby("test_set")[[name for name in ("n", "clusters") if name in evaluation]].max()
    test_sets = [name for name in TEST_SETS if name in sizes.index]
    order = [
        (*run, *cell) for run in Grid.of(evaluation).runs for cell in itertools.product(test_sets, metrics)
    ]
    table = pd.DataFrame(order, columns=keys)
    table["value"] = [values.get(cell, np.nan) for cell in order]
    return table.assign(**{name: table["test_set"].map(sizes[name]).astype("int64") for name in sizes})


def accuracies(evaluation: pd.DataFrame) -> pd.DataFrame:
    """Top-1 accuracy of every run of the grid, as `every_run` has it, on every test set that has images.

    Returns:
        Columns model, loss, train_set, seed, test_set, accuracy (in percent), n, and clusters where the evaluation
        has it; test sets in their usual order.

    Raises:
        ValueError: as `every_run`; or no run has an accuracy.
    """
    table = every_run(evaluation, ["acc1"]).drop(columns="metric")
    measured = table.loc[table["value"].notna(), "test_set"]
    if measured.empty:
        raise ValueError(
            "the evaluation holds no top-1 accuracy (metric 'acc1'): not one run has been evaluated"
        )
    table = table[table["test_set"].isin(measured)].reset_index(drop=True)
    table.insert(5, "accuracy", 100 * table.pop("value"))
    return table


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds that ran, and how many did.

    Returns:
        Columns model, loss, train_set, test_set, mean, sd (n - 1; NaN for one run), runs, expected.
    """
    groups = table.groupby(["model", "loss", "train_set", "test_set"], sort=False)["accuracy"]
    return groups.agg(**OVER_SEEDS).reset_index()


def across(summary: pd.DataFrame, name: str) -> pd.DataFrame:
    """For each `name` (`model` or `loss`): mean and standard deviation, over the other of the two, of the seeds' means.

    Returns:
        Columns `name`, train_set, test_set, mean, sd, runs, expected.
    """
    groups = summary.groupby([name, "train_set", "test_set"], sort=False)
    return groups.agg(
        mean=("mean", "mean"), sd=("mean", "std"), runs=("runs", "sum"), expected=("expected", "sum")
    ).reset_index()


def require(frame: pd.DataFrame, columns: list[str], name: str) -> None:
    """Check that the frame has these columns.

    Raises:
        ValueError: it lacks one of them.
    """
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise ValueError(
            f"{name} lacks the columns {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}"
        )
