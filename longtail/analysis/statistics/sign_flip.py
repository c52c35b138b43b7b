"""Exact permutation tests of paired differences: if there is none, each pair might as well be the other way round."""

import numpy as np
from scipy.stats import binom

ALPHA = 0.05


def sign_flip(differences: np.ndarray) -> float:
    """Flip the signs of paired differences to test whether they are symmetric about 0; returns the two-sided p.

    Every pattern of signs counts, however many pairs there are: equal differences are exchangeable, so the sum of all
    is that of a few binomial numbers. Differences of 0 leave the sum as it is. Those of 1 and -1 make it McNemar's
    exact test.

    Args:
        differences: whole numbers, one per pair.
    """
    whole = np.rint(differences).astype(np.int64)
    sizes, counts = np.unique(np.abs(whole[whole != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        own = np.zeros(size * count + 1)
        own[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, own)
    sums = 2 * np.arange(len(chances)) - len(chances) + 1
    return min(1.0, float(chances[np.abs(sums) >= abs(whole.sum())].sum()))


def least_p(differences: int) -> float:
    """The least two-sided p that a test over the signs of this many differences can give."""
    return 2 / 2**differences
