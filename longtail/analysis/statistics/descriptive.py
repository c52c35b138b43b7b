"""Mean, standard deviation and 95 % interval of every metric over the seeds."""

import itertools

import numpy as np
import pandas as pd
from scipy.stats import t

from longtail.analysis.grid import Grid, join_notes, scores
from longtail.analysis.metrics import METRICS
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.score import wilson
from longtail.analysis.statistics.spread import LEVEL, spread, worth
from longtail.data.split.sets import TEST_SETS
from longtail.experiment.runs import Run

CELL = ["train_set", "model", "loss", "test_set", "metric"]


def describe(evaluation: pd.DataFrame, grid: Grid, correctness: Correctness | None = None) -> pd.DataFrame:
    """Describe every metric in one row per training set, model, loss and test set. Missing runs have rows too.

    The interval of `acc1` is Wilson's, on as many images as leave the same error. With one seed it says where this
    one network would lie on further images, but not how another seed would have done. With several it says where
    further training runs would lie on further images; that needs the answers of the runs.

    Of other metrics, and where there are no answers, several seeds have Student's t: it says where the mean of further
    training runs would lie on these test images. A share has no limit below 0 or above 1.

    Args:
        correctness: which images each run got right; None where the predictions are not left.

    Returns:
        Columns train_set, model, loss, test_set, metric, seeds (runs that ended), n (test images of each), mean,
        sd (n - 1 in the denominator), low, high, interval (its kind, or ""), note.
    """
    values = {name: scores(evaluation, grid, name) for name in sorted(evaluation["metric"].unique())}
    groups = {
        (*cell, metric): group for metric, found in values.items() for cell, group in found.groupby(CELL[:-1])
    }
    measured = {(test_set, metric) for *_, test_set, metric in groups}
    cells = itertools.product(grid.train_sets, grid.models, grid.losses, TEST_SETS, values)
    rows = [
        dict(zip(CELL, cell, strict=True))
        | _describe(groups.get(cell, evaluation.iloc[:0]), grid, cell, correctness)
        for cell in cells
        if cell[-2:] in measured
    ]
    columns = [*CELL, "seeds", "n", "mean", "sd", "low", "high", "interval", "note"]
    return pd.DataFrame(rows, columns=columns)


def t_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Student's t interval of the mean of at least two values."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    reach = t.ppf((1 + level) / 2, len(values) - 1) * error
    return np.mean(values) - reach, np.mean(values) + reach


def share_interval(runs: np.ndarray, cluster: np.ndarray | None = None) -> tuple[float, float]:
    """The interval of an accuracy.

    Args:
        runs: whether each image was right, runs x N.
        cluster: as for `longtail.analysis.statistics.spread.spread`.
    """
    of, share = spread([runs], cluster), float(runs.mean())
    return wilson(share, worth(share * (1 - share), of, [runs], cluster), of.critical())


def _describe(
    group: pd.DataFrame, grid: Grid, cell: tuple[str, ...], correctness: Correctness | None
) -> dict:
    train_set, model, loss, test_set, metric = cell
    values = group["value"].to_numpy()
    absent = [str(seed) for seed in grid.seeds if seed not in set(group["seed"])]
    note = f"missing: seed {', '.join(absent)}" if absent else ""
    row = {"seeds": len(values), "n": group["n"].max(), "interval": "", "note": note}
    row |= dict.fromkeys(("mean", "sd", "low", "high"), np.nan)
    if not len(values):
        return row
    row["mean"] = values.mean()
    several = len(values) > 1
    row["sd"] = values.std(ddof=1) if several else np.nan
    if metric == "acc1" and (correctness is not None or not several):
        if correctness is None:
            right, cluster = _right(values[0], int(group["n"].iloc[0])), None
        else:
            members = correctness.members(test_set)
            runs = [Run(model, loss, train_set, seed) for seed in group["seed"]]
            right = np.array([correctness.correct[run][members] for run in runs], dtype=float)
            cluster = None if correctness.cluster is None else correctness.cluster[members]
        low, high = share_interval(right, cluster)
        kind = "Wilson, random effects of seeds and images" if several else "Wilson"
        kind += "" if cluster is None else " in groups"
        return row | {"low": low, "high": high, "interval": kind}
    if not several:
        return row | {"note": join_notes("one seed: an interval needs at least two", note)}
    low, high = t_interval(values)
    if metric in METRICS and METRICS[metric].unit == "share":
        low, high = max(0.0, low), min(1.0, high)
    return row | {"low": low, "high": high, "interval": "t over seeds"}


def _right(share: float, n: int) -> np.ndarray:
    """One run with this share of n images right."""
    return (np.arange(n) < round(share * n)).astype(float)[None]
