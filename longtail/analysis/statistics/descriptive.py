"""Mean, standard deviation and 95 % interval of every metric over the seeds."""

import itertools

import numpy as np
import pandas as pd
from scipy.stats import t
from statsmodels.stats.proportion import proportion_confint

from longtail.analysis.grid import Grid, join_notes, scores
from longtail.data.split.sets import TEST_SETS

CELL = ["train_set", "model", "loss", "test_set", "metric"]


def describe(evaluation: pd.DataFrame, grid: Grid, level: float = 0.95) -> pd.DataFrame:
    """Describe every metric in one row per training set, model, loss and test set. Missing runs have rows too.

    The two kinds of interval answer different questions. With several seeds the interval is Student's t over the
    seeds: it says where the mean of further training runs would lie, on these test images. With one seed and the
    metric `acc1` it is Wilson's interval of the share of correct images: it says where this one network would lie on
    further images, but not how another seed would have done.

    Returns:
        Columns train_set, model, loss, test_set, metric, seeds (runs that ended), n (test images of each), mean,
        sd (n - 1 in the denominator), low, high, interval ("t over seeds", "Wilson" or ""), note.
    """
    values = {name: scores(evaluation, grid, name) for name in sorted(evaluation["metric"].unique())}
    groups = {
        (*cell, metric): group for metric, found in values.items() for cell, group in found.groupby(CELL[:-1])
    }
    measured = {(test_set, metric) for *_, test_set, metric in groups}
    cells = itertools.product(grid.train_sets, grid.models, grid.losses, TEST_SETS, values)
    rows = [
        dict(zip(CELL, cell, strict=True))
        | _describe(groups.get(cell, evaluation.iloc[:0]), grid, cell[-1], level)
        for cell in cells
        if cell[-2:] in measured
    ]
    columns = [*CELL, "seeds", "n", "mean", "sd", "low", "high", "interval", "note"]
    return pd.DataFrame(rows, columns=columns)


def t_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean of at least two values."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    reach = t.ppf((1 + level) / 2, len(values) - 1) * error
    return np.mean(values) - reach, np.mean(values) + reach


def wilson_interval(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, 1927, JASA 22, 209-212)."""
    return proportion_confint(correct, n, alpha=1 - level, method="wilson")


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
