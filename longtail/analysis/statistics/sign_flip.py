"""Paired permutation tests. If there is no difference, each pair might as well be the other way round."""

import math

import numpy as np
from scipy.stats import permutation_test

from longtail.analysis.grid import Refusal

ALPHA = 0.05
COUNTED_PATTERNS = 9_999
DRAWN_PATTERNS = 99_999


def least_p(differences: int) -> float:
    """The least two-sided p that a test over the signs of this many differences can give."""
    return 2 / 2**differences


def signs_needed(tests: int) -> int:
    """The number of differences with which such a test can reach `ALPHA` after Holm's correction over `tests` tests."""
    return 1 + math.ceil(math.log2(tests / ALPHA))


def sign_flip(differences: np.ndarray) -> float:
    """Flip the signs of paired differences to test whether they are symmetric about 0; returns the two-sided p.

    All patterns of signs are counted if there are at most 9,999. Otherwise 9,999 patterns are drawn, always the same
    ones. p cannot be below `least_p`.

    Raises:
        Refusal: there are fewer than two differences.
    """
    if len(differences) < 2:
        raise Refusal(
            "one seed: a sign-flip test over seeds needs at least two, and six to be able to reach p = 0.05"
        )
    changing = np.asarray(differences, dtype=float)[np.asarray(differences) != 0]
    if not len(changing):
        return 1.0
    if len(changing) == 1:
        return 1.0  # the sums of both patterns are equally far from 0
    result = permutation_test(
        (changing,),
        lambda values, axis: values.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=COUNTED_PATTERNS,
        batch=500,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def sign_flip_images(differences: np.ndarray) -> float:
    """`sign_flip` over images, with 99,999 patterns of signs.

    The differences of images are whole numbers, few of them distinct. Equal differences are exchangeable, so one
    binomial draw tells how many of them flip, however many there are.

    Args:
        differences: int, one per image: the number of models with which the loss is right and the reference wrong,
            minus the number with which it is the other way round.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    flips = np.random.default_rng(0).binomial(counts, 0.5, size=(DRAWN_PATTERNS, len(counts)))
    sums = (2 * flips - counts) @ sizes
    return float((1 + np.sum(np.abs(sums) >= abs(differences.sum()))) / (1 + DRAWN_PATTERNS))
