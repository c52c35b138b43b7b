"""Mean, standard deviation and 95 % interval of every metric over the seeds."""

import numpy as np
import pandas as pd
from scipy.stats import t
from statsmodels.stats.proportion import proportion_confint

from longtail.analysis.grid import Grid, join_notes, scores
from longtail.data.split.sets import TEST_SETS

CELL = ["train_set", "model", "loss", "test_set", "metric"]


def describe(evaluation: pd.DataFrame, grid: Grid, level: float = 0.95) -> pd.DataFrame:
    """One row per training set, model, loss, test set and metric, missing ones included.

    The two kinds of interval answer different questions. With several seeds the interval is Student's t over the
    seeds: it says where the mean of further training runs would lie, on these test images. With one seed and the
    metric `acc1` it is Wilson's for the share of correct images: it says where this one network would lie on further
    images, and nothing of what another seed would have given.

    Returns:
        Columns train_set, model, loss, test_set, metric, seeds (runs that ended), n (test images of each), mean,
        sd (n - 1 in the denominator), low, high, interval ("t over seeds", "Wilson" or ""), note.
    """
    rows = [
        cell
        for metric in evaluation["metric"].unique()
        for cell in _cells(scores(evaluation, grid, metric), grid, metric, level)
    ]
    table = pd.DataFrame(rows)
    order = {"train_set": grid.train_sets, "model": grid.models, "loss": grid.losses, "test_set": TEST_SETS}
    return table.sort_values(
        CELL, ignore_index=True, kind="stable", key=lambda names: names.map(_rank(order.get(names.name)))
    )[[*CELL, "seeds", "n", "mean", "sd", "low", "high", "interval", "note"]]


def t_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean of at least two values."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    reach = t.ppf((1 + level) / 2, len(values) - 1) * error
    return np.mean(values) - reach, np.mean(values) + reach


def wilson_interval(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, 1927, JASA 22, 209-212)."""
    return proportion_confint(correct, n, alpha=1 - level, method="wilson")


def _cells(found: pd.DataFrame, grid: Grid, metric: str, level: float) -> list[dict]:
    groups = dict(iter(found.groupby(["train_set", "model", "loss", "test_set"])))
    test_sets = [name for name in TEST_SETS if name in set(found["test_set"])]
    return [
        {"train_set": train_set, "model": model, "loss": loss, "test_set": test_set, "metric": metric}
        | _describe(groups.get((train_set, model, loss, test_set), found.iloc[:0]), grid, metric, level)
        for train_set in grid.train_sets
        for model in grid.models
        for loss in grid.losses
        for test_set in test_sets
    ]


def _describe(group: pd.DataFrame, grid: Grid, metric: str, level: float) -> dict:
    values = group["value"].to_numpy()
    absent = [str(seed) for seed in grid.seeds if seed not in set(group["seed"])]
    note = f"missing: seed {', '.join(absent)}" if absent else ""
    row = {"seeds": len(values), "n": group["n"].max(), "interval": "", "note": note}
    row |= dict.fromkeys(("mean", "sd", "low", "high"), np.nan)
    if not len(values):
        return row
    row["mean"] = values.mean()
    if len(values) > 1:
        low, high = t_interval(values, level)
        return row | {"sd": values.std(ddof=1), "low": low, "high": high, "interval": "t over seeds"}
    if metric == "acc1":
        n = int(group["n"].iloc[0])
        low, high = wilson_interval(round(values[0] * n), n, level)
        return row | {"low": low, "high": high, "interval": "Wilson"}
    return row | {"note": join_notes("one seed: an interval needs at least two", note)}


def _rank(names: tuple[str, ...] | None):
    return (lambda name: name) if names is None else {name: place for place, name in enumerate(names)}.get
