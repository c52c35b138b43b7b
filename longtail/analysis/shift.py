"""How far new photographs lie from those that a model was tested on, and how much of a lower accuracy that explains.

accuracy     the difference, with Newcombe's interval for two independent shares
confidence   what the model claims on average: what it claims too much says how far it is from what it knows
classes      how different the class frequencies are, and the accuracy that these alone would give
beyond       the share of photographs with a higher energy than most of the old ones
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from longtail.analysis.statistics.descriptive import share_interval

USUAL = 0.95
"""The share of the old photographs whose energy counts as usual; by chance the rest of the new ones lies beyond."""


@dataclass(frozen=True)
class Answered:
    """Photographs with known classes, and what a model says of them."""

    labels: np.ndarray
    """int64, N."""
    logits: np.ndarray
    """float64, N x C, times the model's sharpness, so that their softmax gives calibrated probabilities."""
    cluster: np.ndarray | None = None
    """int, N: photographs with the same number are not independent. None: all are."""

    @property
    def right(self) -> np.ndarray:
        return self.logits.argmax(axis=1) == self.labels

    @property
    def confidence(self) -> np.ndarray:
        return softmax(self.logits, axis=1).max(axis=1)

    @property
    def energy(self) -> np.ndarray:
        """The energy of each photograph, float64, N (Liu et al., Energy-based Out-of-distribution Detection, 2020)."""
        return -logsumexp(self.logits, axis=1)

    def part(self, members: np.ndarray) -> "Answered":
        """Those of the photographs, bool N, with their groups numbered anew."""
        cluster = None if self.cluster is None else np.unique(self.cluster[members], return_inverse=True)[1]
        return Answered(self.labels[members], self.logits[members], cluster)

    def interval(self, chosen: np.ndarray) -> tuple[float, float]:
        """The 95 % interval of a share of the photographs, as the statistics of the workflow have it."""
        return share_interval(chosen[None].astype(float), self.cluster)


@dataclass(frozen=True)
class Shift:
    """The comparison of new photographs with old ones; shares are fractions."""

    difference: float
    """Accuracy on the new ones less that on the old ones."""
    low: float
    high: float
    claimed_old: float
    """The mean confidence on the old ones."""
    claimed_new: float
    frequencies: float
    """The total variation distance of the class frequencies: the share that would need another class."""
    by_frequencies: float
    """The accuracy on the old ones if their classes were as frequent as among the new ones; NaN where none is."""
    covered: float
    """The share of the new photographs whose class was tested among the old ones, which `by_frequencies` rests on."""
    beyond: float
    """The share of the new ones whose energy is above that of `USUAL` of the old ones."""
    beyond_low: float
    beyond_high: float


def compare(new: Answered, old: Answered) -> Shift:
    """Compare new photographs with those of the test set.

    The mean confidence is compared as by Guillory et al. (Predicting with Confidence on Unseen Distributions, ICCV
    2021). The accuracy of each class on the old ones, weighted by the new frequencies, is what label shift alone would
    give (Saerens et al., Adjusting the Outputs of a Classifier, Neural Computation 14, 2002).
    """
    low, high = newcombe(new.right, new.interval(new.right), old.right, old.interval(old.right))
    classes = new.logits.shape[1]
    counts = [np.bincount(side.labels, minlength=classes) for side in (new, old)]
    tested = counts[1] > 0
    recall = np.bincount(old.labels, old.right, minlength=classes) / np.maximum(counts[1], 1)
    known = np.where(tested, counts[0], 0)
    usual = np.quantile(old.energy, USUAL)
    beyond = new.energy > usual
    beyond_low, beyond_high = new.interval(beyond)
    return Shift(
        difference=float(new.right.mean() - old.right.mean()),
        low=low,
        high=high,
        claimed_old=float(old.confidence.mean()),
        claimed_new=float(new.confidence.mean()),
        frequencies=float(np.abs(counts[0] / counts[0].sum() - counts[1] / counts[1].sum()).sum() / 2),
        by_frequencies=float(known @ recall / known.sum()) if known.any() else math.nan,
        covered=float(known.sum() / counts[0].sum()),
        beyond=float(beyond.mean()),
        beyond_low=beyond_low,
        beyond_high=beyond_high,
    )


def newcombe(
    first: np.ndarray,
    first_interval: tuple[float, float],
    second: np.ndarray,
    second_interval: tuple[float, float],
) -> tuple[float, float]:
    """The interval of the difference of two independent shares, made of the interval of each.

    Source: Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine
    17, 1998, 873-890, method 10.
    """
    one, other = float(first.mean()), float(second.mean())
    difference = one - other
    below = math.hypot(one - first_interval[0], second_interval[1] - other)
    above = math.hypot(first_interval[1] - one, other - second_interval[0])
    return difference - below, difference + above
