"""Differences to a reference loss on the same images, with intervals and tests that respect the pairing."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from longtail.analysis.grid import Grid, compared, join_notes, name_missing
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.holm import holm
from longtail.analysis.statistics.mcnemar import mcnemar
from longtail.analysis.statistics.sign_flip import ALPHA, least_p, sign_flip, sign_flip_images, signs_needed
from longtail.data.split.sets import TEST_SETS
from longtail.experiment.runs import Run

ALL_MODELS = "all models"
LEVEL = 0.95
WEIGHTS = 4_000_000
"""Resampling weights that are held at a time: 16 MB."""
COLUMNS = ["model", "train_set", "test_set", "loss", "reference", "difference", "low", "high", "p", "p_holm"]
COLUMNS += ["n", "seeds", "method", "note"]


def paired_differences(correctness: Correctness, grid: Grid, reference: str, resamples: int) -> pd.DataFrame:
    """Accuracy of each loss minus that of the reference, per model and averaged over the models.

    A model of which no run has ended is left out of the average. If a model lacks only some losses, those losses have
    no average.

    The interval is the percentile interval of a bootstrap. With one seed, the test images are resampled, the same
    ones for both losses, and the interval speaks of these networks on further images. With several seeds, images are
    resampled and, independently for each model, seeds (Owen, 2007, Annals of Applied Statistics 1, 386-411), and it
    speaks of further training runs on further images. From few seeds it is too narrow, as it underestimates the
    spread of s seeds by the factor sqrt((s - 1) / s).

    With one seed and one model, the test is McNemar's exact one. Over all models with one seed each, it flips the
    signs of the images. With several seeds it flips the signs of the runs; its hypothesis is that the loss makes no
    difference to training. Holm's correction covers the models and losses of one training and test set; the rows over
    all models are a family of their own.

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
        for row in _compare_all(correctness, grid, losses, reference, (train_set, test_set), resamples)
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
) -> list[dict]:
    """All comparisons of one training and test set, as rows."""
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
            rows.append(key | _row(own, drawn, absent))
    return rows


def _bootstrap_by_seeds(
    differences: dict[tuple[str, str], np.ndarray], resamples: int
) -> dict[tuple[str, str], np.ndarray]:
    """The `bootstrap_means` of all pairs of model and loss. Pairs with equally many seeds are computed together."""
    means: dict[tuple[str, str], np.ndarray] = {}
    for seeds in {len(d) for d in differences.values()}:
        pairs = [pair for pair, d in differences.items() if len(d) == seeds]
        stacked = np.stack([differences[pair] for pair in pairs])
        means |= zip(pairs, bootstrap_means(stacked, resamples), strict=True)
    return means


def bootstrap_means(differences: np.ndarray, resamples: int) -> np.ndarray:
    """Means of the differences over resampled seeds and images. The random numbers are always the same.

    Args:
        differences: P x S x N: P comparisons, each of S seeds by N images. All comparisons share the resampled
            images, and each has its own resampled seeds.

    Returns:
        Float, P x resamples.
    """
    comparisons, seeds, images = differences.shape
    rng = np.random.default_rng(0)
    flat = differences.reshape(-1, images).T.astype(np.float32)
    means = np.concatenate([weights @ flat for weights in _image_weights(images, resamples, rng)]) / images
    means = means.reshape(resamples, comparisons, seeds)
    if seeds > 1:
        chosen = rng.integers(seeds, size=means.shape)
        means = np.take_along_axis(means, chosen, axis=2)
    return means.mean(axis=2).T


def _image_weights(images: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each image is drawn in each resample: float32, in parts of some resamples x all images."""
    batch = max(1, WEIGHTS // images)
    for start in range(0, resamples, batch):
        rows = min(batch, resamples - start)
        drawn = rng.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float32)


def _row(differences: list[np.ndarray], means: list[np.ndarray], absent: str) -> dict[str, Any]:
    """The row of one comparison: estimate, interval and test of the mean over models.

    Args:
        differences: one array per model, S seeds x N images.
        means: the resampled means of each model that has at least one seed and one image.
        absent: the note that names the missing runs.
    """
    n, seeds = differences[0].shape[1], min(map(len, differences))
    row: dict[str, Any] = dict.fromkeys(("difference", "low", "high", "p"), np.nan)
    row |= {"n": n, "seeds": seeds, "units": 0, "method": "", "note": absent}
    if n == 0:
        return row | {"note": join_notes("no image in this test set", absent)}
    if seeds == 0:
        return row | {"note": join_notes("a model has no seed with both losses", absent)}
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
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
    """A note that a sign-flip test of so few runs, among so many tests, cannot show a difference; empty if it can."""
    if units == 0 or tests * least_p(units) <= ALPHA:
        return ""
    return (
        f"{units} {name}: a paired sign-flip test cannot go below p = {least_p(units):.4g}; {ALPHA} needs "
        f"{signs_needed(1)} {name}, or {signs_needed(tests)} after Holm over {tests} tests"
    )
