"""Holm's step-down correction over one family of tests."""

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values, in the order given (Holm, 1979, Scandinavian Journal of Statistics 6, 65-70).

    A NaN (a test that could not be made) stays NaN and does not count towards the size of the family. That of
    statsmodels collects garbage at every call, which takes a third of a second once its own models are loaded.
    """
    p = np.asarray(p, dtype=float)
    adjusted = np.full_like(p, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted
