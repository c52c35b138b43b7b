"""Differences to a reference loss on the same images, with intervals and tests that respect the pairing."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from longtail.analysis.grid import Grid, compared, join_notes, name_missing
from longtail.analysis.statistics import power
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.holm import holm
from longtail.analysis.statistics.mcnemar import IDENTICAL
from longtail.analysis.statistics.score import tango, tango_z
from longtail.analysis.statistics.sign_flip import sign_flip
from longtail.analysis.statistics.spread import Spread, spread, worth
from longtail.experiment.runs import Run

ALL_MODELS = "all models"
EQUIVALENCE = 0.90
"""The level of the interval whose farther limit two one-sided tests at 5 % still reject (TOST)."""
COLUMNS = ["model", "train_set", "test_set", "loss", "reference", "difference", "low", "high", "p", "p_holm"]
COLUMNS += ["margin", "detectable", "seeds_needed", "images_needed"]
COLUMNS += ["n", "clusters", "seeds", "method", "note"]


class Difference(NamedTuple):
    """A mean difference of paired shares of correct images."""

    difference: float
    low: float
    """The limits of the 95 % interval."""
    high: float
    p: float
    """NaN where two runs alone tell how much runs differ."""
    margin: float
    """The smallest margin within which the difference lies by two one-sided tests at 5 %."""
    spread: Spread
    method: str


def paired_difference(runs: Sequence[np.ndarray], cluster: np.ndarray | None = None) -> Difference:
    """The mean over the models of the mean differences of their runs.

    The interval is Tango's score interval, on as many images as would leave the same error (Rao and Scott, 1992,
    Biometrics 48, 577-585, for clusters). The error is that of `longtail.analysis.statistics.spread`. With one run of
    each model it speaks of these networks on further images, and the test is exact: it flips the signs of images or
    of whole clusters, which for one model and images without clusters is McNemar's. With several runs the interval
    speaks of further training runs on further images, and the test is that of the same statistic.

    Args:
        runs: for each model an array of runs x N images, at least one of each: 1 where only the loss is right, -1
            where only the reference is, else 0.
        cluster: as for `spread`.
    """
    of = spread(runs, cluster)
    difference = float(np.mean([own.mean() for own in runs]))
    better, worse = (float(np.mean([np.mean(sign * own > 0) for own in runs])) for sign in (1, -1))
    n = worth(better + worse - (better - worse) ** 2, of, runs, cluster)
    low, high = tango(better, worse, n, of.critical())
    margin = max(map(abs, tango(better, worse, n, of.critical(EQUIVALENCE))))
    several = max(map(len, runs)) > 1
    over = "images" if cluster is None else "groups"
    if not several:
        sums = np.sum([own[0] for own in runs], axis=0)
        exact = sign_flip(sums if cluster is None else np.bincount(cluster, sums))
        test = "McNemar, exact" if len(runs) == 1 and cluster is None else f"sign flips over {over}, exact"
        return Difference(difference, low, high, exact, margin, of, test)
    p = of.p(tango_z(better, worse, n, 0.0)) if sum(len(own) - 1 for own in runs) > 1 else np.nan
    return Difference(difference, low, high, p, margin, of, f"random effects of seeds and {over}")


def paired_differences(correctness: Correctness, grid: Grid, reference: str) -> pd.DataFrame:
    """Accuracy of each loss minus that of the reference, per model and averaged over the models.

    A model of which no run has ended is left out of the average. If a model lacks only some losses, those losses have
    no average.

    Estimate, interval and test are those of `paired_difference`. Holm's correction covers all models, losses and test
    sets of one training set, which are nested but counted each; the rows over all models are a family of their own. A
    loss that answers like the reference everywhere is the same run under another name and counts in no family.

    Args:
        correctness: what `read_correctness` returns.
        reference: the loss that the others are compared with.

    Returns:
        Columns model (or "all models", where there are several), train_set, test_set, loss, reference, difference (a
        fraction), low, high, p, p_holm, margin, detectable (the smallest difference found with a chance of 80 %),
        seeds_needed and images_needed (that would find this difference so, where its interval holds 0; NaN where none
        would), n (images), clusters (of images; n where each stands for itself), seeds (with both losses), method,
        note. What could not be computed is a row with NaN and the reason in `note`.

    Raises:
        Refusal: the reference, or any loss beside it, is not in the grid.
    """
    losses = compared(grid, reference)
    rows = [
        row
        for test_set in correctness.test_sets
        for train_set in grid.train_sets
        for row in _compare_all(correctness, grid, losses, reference, train_set, test_set)
    ]
    table = pd.DataFrame(rows)
    pooled = table["model"] == ALL_MODELS
    table["p_holm"] = table.groupby(["train_set", pooled])["p"].transform(holm)
    return table.assign(reference=reference)[COLUMNS]


def _compare_all(
    correctness: Correctness, grid: Grid, losses: list[str], reference: str, train_set: str, test_set: str
) -> list[dict[str, Any]]:
    """All comparisons of one training and test set, as rows."""
    members = correctness.members(test_set)
    started = {run.model for run in correctness.correct if run.train_set == train_set}
    averages = {model: [model] for model in grid.models}
    if len(grid.models) > 1:
        averages[ALL_MODELS] = [model for model in grid.models if model in started] or [grid.models[0]]
    differences = {
        (model, loss): correctness.differences(model, train_set, loss, reference, grid)
        for model in grid.models
        for loss in losses
    }
    rows = []
    for name, models in averages.items():
        expected = grid.models if name == ALL_MODELS else models
        for loss in losses:
            key = {"model": name, "train_set": train_set, "test_set": test_set, "loss": loss}
            absent = _absent(correctness, grid, expected, train_set, [loss, reference])
            own = [differences[model, loss] for model in models]
            rows.append(key | _row(own, members, correctness.cluster, absent))
    return rows


def _row(
    differences: list[np.ndarray], members: np.ndarray, cluster: np.ndarray | None, absent: str
) -> dict[str, Any]:
    """The row of one comparison.

    Args:
        differences: one array per model, S seeds x all images.
        members: which images belong to the test set.
        absent: the note that names the missing runs.
    """
    n, seeds = int(members.sum()), min(map(len, differences))
    empty = ("difference", "low", "high", "p", "margin", "detectable", "seeds_needed", "images_needed")
    row: dict[str, Any] = dict.fromkeys(empty, np.nan)
    clustered = None if cluster is None else cluster[members]
    clusters = n if clustered is None else len(np.unique(clustered))
    row |= {"n": n, "clusters": clusters, "seeds": seeds, "method": "", "note": absent}
    if n == 0:
        return row | {"note": join_notes("no image in this test set", absent)}
    if seeds == 0:
        return row | {"note": join_notes("a model has no seed with both losses", absent)}
    if not any(own.any() for own in differences):
        return row | {"difference": 0.0, "note": join_notes(IDENTICAL, absent)}
    if clusters == 1:
        found = np.mean([own[:, members].mean() for own in differences])
        note = "all images are of one group, so nothing tells how groups differ"
        return row | {"difference": found, "note": join_notes(note, absent)}
    found = paired_difference([own[:, members] for own in differences], clustered)
    shown = found._asdict() | _power(found, differences, n)
    del shown["spread"]
    untested = "two runs tell how much runs differ by one number only; a test needs three seeds"
    return row | shown | {"note": join_notes(untested if np.isnan(found.p) else "", absent)}


def _power(found: Difference, differences: list[np.ndarray], n: int) -> dict[str, float | None]:
    """What these runs could have found, and, where the difference is not shown, what would find it."""
    of, seeds = found.spread, max(map(len, differences))
    # Where few images are discordant, the interval knows of more error than the variance shows.
    error = ((found.high - found.low) / 2 / of.critical()) ** 2
    parts = {
        name: getattr(of, name) * error / of.variance for name in ("runs", "images", "chance") if of.variance
    }
    of = replace(of, **(parts or {"images": error}))
    row: dict[str, float | None] = {"detectable": min(1.0, power.detectable(of))}
    row |= {"seeds_needed": np.nan, "images_needed": np.nan}
    if found.low <= 0 <= found.high and found.difference:
        row["images_needed"] = power.images_needed(found.difference, of, n)
        if seeds > 1:
            row["seeds_needed"] = power.seeds_needed(found.difference, of, seeds)
    return row


def _absent(
    correctness: Correctness, grid: Grid, models: Iterable[str], train_set: str, losses: list[str]
) -> str:
    runs = [Run(model, loss, train_set, seed) for model in models for loss in losses for seed in grid.seeds]
    return name_missing([run for run in runs if run not in correctness.correct])
