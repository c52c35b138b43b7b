"""How far a mean over runs and images would vary over further runs and further images."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtri, stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """The variance of a mean, in the part that goes with the runs and the part that goes with the images.

    The squares of the half-widths that the two parts give alone add up to that of the interval, each with the quantile
    of its own degrees of freedom (Howe, 1974, JASA 69, 789-794). So few seeds widen the interval as far as it rests on
    them.
    """

    runs: float
    runs_df: float
    """0 where no cell has two runs, so that nothing is known of this part."""
    images: float
    images_df: float
    """Infinite where each image stands for itself: the score interval takes care of how few there are."""
    chance: float = 0.0
    """The part of `images` that goes with single runs, and so would fall with more of them; 0 where it is not known."""

    @property
    def variance(self) -> float:
        return self.runs + self.images

    def critical(self, level: float = LEVEL) -> float:
        """How many standard errors an interval of this level reaches, on average over both parts."""
        tail = (1 + level) / 2
        of_images = _quantile(tail, self.images_df)
        if not self.runs:
            return of_images
        of_runs = _quantile(tail, self.runs_df)
        squares = self.runs * of_runs**2 + self.images * of_images**2
        return math.sqrt(squares / self.variance)

    def p(self, z: float) -> float:
        """Two-sided p of a statistic: 1 less the level of the interval whose limit it is."""
        # No statistic reaches the level 1, of which the quantiles are infinite.
        return limit(lambda p: p == 0 or self.critical(1 - p) > abs(z), 0.0, 1.0, 60)


def spread(runs: Sequence[np.ndarray], cluster: np.ndarray | None = None) -> Spread:
    """The variance of the mean over the models of the means over their runs.

    Runs and images are crossed random effects: seeds are drawn anew for each model, and all runs share the images. For
    one model of S seeds and N images the variance is (MS_seeds + MS_images - MS_residual) / (S N). MS_seeds is taken
    at its median-unbiased value, since from few seeds the plain one is usually too small. Models may differ in how
    much their seeds vary, so their parts are added with Satterthwaite's degrees of freedom. A model with a single run
    is given the average variance of the others.

    Args:
        runs: an array for each model, runs x N images.
        cluster: int, N: images with the same number (an individual, a night) are not independent of each other. Their
            sums take the place of single images, with one degree of freedom less than there are clusters. None: each
            image stands for itself.
    """
    means = [own.mean(axis=0) for own in runs]
    images, n = np.mean(means, axis=0), means[0].size
    own_df = np.array([len(own) - 1 for own in runs])
    if cluster is None:
        clusters, images_df = n, math.inf
    else:
        clusters, images_df = len(np.unique(cluster)), len(np.unique(cluster)) - 1
    bessel = clusters / (clusters - 1) if clusters > 1 else 1.0
    alone = cluster is None and not own_df.any()
    of_images = _squares(images - images.mean(), cluster) / n**2 * (1.0 if alone else bessel)
    if not own_df.any():
        return Spread(0.0, 0.0, of_images, images_df)
    # For each model: the variance of a run's mean over the images, and the part of it that the images explain.
    of_runs, residual = np.zeros(len(runs)), np.zeros(len(runs))
    for place, (own, mean) in enumerate(zip(runs, means, strict=True)):
        if own_df[place]:
            rest = own - own.mean(axis=1, keepdims=True) - mean + mean.mean()
            of_runs[place] = own.mean(axis=1).var(ddof=1)
            residual[place] = sum(_squares(row, cluster) for row in rest) / own_df[place] / n**2 * bessel
    several = own_df > 0
    for values in (of_runs, residual):
        values[~several] = np.average(values[several], weights=own_df[several])
    weights = 1 / np.array([len(own) for own in runs]) / len(runs) ** 2
    parts = weights * of_runs
    if parts.any():
        df = parts.sum() ** 2 / np.sum(parts[several] ** 2 / own_df[several])
        df = min(max(df, own_df[several].min()), own_df.sum())
    else:
        df = float(own_df.sum())
    median = df / chdtri(df, 0.5)
    chance = float(np.sum(weights * residual))
    return Spread(max(0.0, median * parts.sum() - chance), df, of_images, images_df, min(chance, of_images))


def worth(one: float, of: Spread, runs: Sequence[np.ndarray], cluster: np.ndarray | None = None) -> float:
    """How many independent images would leave the error that there is, where a single image has the variance `one`.

    With one run and without clusters it is their number. Where all answers are alike, nothing tells how much clusters
    have in common, and each is taken for a single image.
    """
    images = runs[0].shape[1]
    if one <= 0 or of.variance <= 0:
        return images if cluster is None else images**2 / float(np.sum(np.bincount(cluster) ** 2))
    return min(one / of.variance, images * sum(map(len, runs)))


def limit(rejected: Callable[[float], bool], outside: float, inside: float, halvings: int = 100) -> float:
    """The value nearest to `outside` that is not rejected, if all between it and `inside` are not.

    Args:
        halvings: the steps; each halves where the value may lie, so the last digits are those of a float.
    """
    if not rejected(outside):
        return outside
    for _ in range(halvings):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if rejected(middle) else (outside, middle)
    return inside


def _squares(values: np.ndarray, cluster: np.ndarray | None) -> float:
    sums = values if cluster is None else np.bincount(cluster, values)
    return float(np.sum(sums**2))


def _quantile(tail: float, df: float) -> float:
    return float(stdtrit(df, tail) if math.isfinite(df) else ndtri(tail))
