"""Differences to a reference loss on the same images, with intervals and tests that respect the pairing."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from longtail.analysis.grid import TEST_SETS, Grid, Run, compared, join_notes, name_missing
from longtail.analysis.statistics.bootstrap import bootstrap_means
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.holm import holm
from longtail.analysis.statistics.mcnemar import mcnemar
from longtail.analysis.statistics.sign_flip import ALPHA, least_p, sign_flip, sign_flip_images, signs_needed

ALL_MODELS = "all models"
COLUMNS = ["model", "train_set", "test_set", "loss", "reference", "difference", "low", "high", "p", "p_holm"]
COLUMNS += ["n", "seeds", "method", "note"]


def paired_differences(
    correctness: Correctness,
    grid: Grid,
    reference: str,
    resamples: int,
    level: float = 0.95,
) -> pd.DataFrame:
    """Accuracy of each loss minus that of the reference, per model and averaged over the models.

    A model of which no run has ended is left out of the average; one that lacks only some losses leaves those
    losses without one.

    The interval is the percentile interval of a bootstrap. With one seed it resamples the test images, the same
    ones for both losses: it speaks of these networks on further images. With several it resamples images and,
    independently for each model, seeds (Owen, 2007, Annals of Applied Statistics 1, 386-411): it speaks of
    further training runs on further images. From few seeds it is too narrow: the spread of s seeds is
    underestimated by the factor sqrt((s - 1) / s).

    The test with one seed and one model is McNemar's, exact; over all models with one seed each, it flips the
    signs of the images; with several seeds it flips the signs of the runs, a test that the loss makes no
    difference to training. Holm's correction covers the models and losses of one training and test set; the
    rows over all models are a family of their own.

    Args:
        correctness: what `read_correctness` returns.
        reference: the loss that the others are compared with.
        resamples: how many the bootstrap draws. Its random numbers are always the same.

    Returns:
        Columns model (or "all models", where there are several), train_set, test_set, loss, reference,
        difference (a fraction), low, high, p, p_holm, n (images), seeds (with both losses), method, note. What
        could not be computed is a row with NaN and the reason in `note`.

    Raises:
        Refusal: the reference, or any loss beside it, is not in the grid.
    """
    losses = compared(grid, reference)
    rows = [
        row
        for test_set in TEST_SETS
        for train_set in grid.train_sets
        for row in _compare_all(correctness, grid, losses, reference, (train_set, test_set), resamples, level)
    ]
    table = pd.DataFrame(rows)
    pooled = table["model"] == ALL_MODELS
    table["p_holm"] = table.groupby(["train_set", "test_set", pooled])["p"].transform(holm)
    family = table.groupby(["train_set", "test_set", pooled])["p"].transform("count")
    table["note"] = [
        join_notes(note, _limit(int(units), "runs" if over_models else "seeds", int(tests)))
        for note, units, over_models, tests in zip(table["note"], table["units"], pooled, family, strict=True)
    ]
    return table.assign(reference=reference)[COLUMNS]


def _compare_all(
    correctness: Correctness,
    grid: Grid,
    losses: list[str],
    reference: str,
    sets: tuple[str, str],
    resamples: int,
    level: float,
) -> list[dict]:
    """The rows of one training and test set."""
    train_set, test_set = sets
    members = correctness.members(test_set)
    pairs = [(model, loss) for model in grid.models for loss in losses]
    differences = {
        pair: correctness.differences(pair[0], train_set, pair[1], reference, grid)[:, members]
        for pair in pairs
    }
    means = _bootstrap_by_seeds({pair: d for pair, d in differences.items() if d.size}, resamples)
    started = {run.model for run in correctness.correct if run.train_set == train_set}
    averages = {model: [model] for model in grid.models}
    if len(grid.models) > 1:
        averages[ALL_MODELS] = [model for model in grid.models if model in started] or [grid.models[0]]
    rows = []
    for name, models in averages.items():
        expected = grid.models if name == ALL_MODELS else models
        for loss in losses:
            key = {"model": name, "train_set": train_set, "test_set": test_set, "loss": loss}
            absent = _absent(correctness, grid, expected, train_set, [loss, reference])
            own = [differences[model, loss] for model in models]
            drawn = [means[model, loss] for model in models if (model, loss) in means]
            rows.append(key | _row(own, drawn, absent, level))
    return rows


def _bootstrap_by_seeds(
    differences: dict[tuple[str, str], np.ndarray], resamples: int
) -> dict[tuple[str, str], np.ndarray]:
    """`bootstrap_means` of all pairs of model and loss, those with equally many seeds at once."""
    means: dict[tuple[str, str], np.ndarray] = {}
    for seeds in {len(d) for d in differences.values()}:
        pairs = [pair for pair, d in differences.items() if len(d) == seeds]
        stacked = np.stack([differences[pair] for pair in pairs])
        means |= zip(pairs, bootstrap_means(stacked, resamples), strict=True)
    return means


def _row(differences: list[np.ndarray], means: list[np.ndarray], absent: str, level: float) -> dict[str, Any]:
    """Estimate, interval and test of the mean over models; one entry per model.

    Args:
        differences: S x N each.
        means: resampled means, as many as differences with at least one seed and one image.
        absent: note that names the missing runs.
    """
    n, seeds = differences[0].shape[1], min(map(len, differences))
    row: dict[str, Any] = dict.fromkeys(("difference", "low", "high", "p"), np.nan)
    row |= {"n": n, "seeds": seeds, "units": 0, "method": "", "note": absent}
    if n == 0:
        return row | {"note": join_notes("no image in this test set", absent)}
    if seeds == 0:
        return row | {"note": join_notes("a model has no seed with both losses", absent)}
    tails = [(1 - level) / 2, (1 + level) / 2]
    row["difference"] = np.mean([d.mean() for d in differences])
    row["low"], row["high"] = np.quantile(np.mean(means, axis=0), tails)
    units = np.concatenate([d.mean(axis=1) for d in differences])
    if not any(d.any() for d in differences):
        row["note"] = join_notes("the same images right as under the reference", absent)
    if max(map(len, differences)) > 1:
        over = "seeds" if len(differences) == 1 else "runs"
        method = f"bootstrap over images and seeds; sign flips over {over}"
        return row | {"p": sign_flip(units), "units": len(units), "method": method}
    if len(differences) == 1:
        own = differences[0][0]
        return row | {"p": mcnemar(own > 0, own < 0).p, "method": "bootstrap over images; McNemar"}
    images = np.sum(differences, axis=(0, 1))
    return row | {"p": sign_flip_images(images), "method": "bootstrap over images; sign flips over images"}


def _absent(
    correctness: Correctness, grid: Grid, models: Iterable[str], train_set: str, losses: list[str]
) -> str:
    runs = [Run(model, loss, train_set, seed) for model in models for loss in losses for seed in grid.seeds]
    return name_missing([run for run in runs if run not in correctness.correct])


def _limit(units: int, name: str, tests: int) -> str:
    """What a sign-flip test of so few runs, one of so many tests, cannot show; empty if it can show a difference."""
    if units == 0 or tests * least_p(units) <= ALPHA:
        return ""
    return (
        f"{units} {name}: a paired sign-flip test cannot go below p = {least_p(units):.4g}; {ALPHA} needs "
        f"{signs_needed(1)} {name}, or {signs_needed(tests)} after Holm over {tests} tests"
    )
