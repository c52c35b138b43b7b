"""Holm's step-down correction over one family of tests."""

import numpy as np
from statsmodels.stats.multitest import multipletests


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values, in the order given (Holm, 1979, Scandinavian Journal of Statistics 6, 65-70).

    A NaN (a test that could not be made) stays NaN and does not count towards the size of the family.
    """
    p = np.asarray(p, dtype=float)
    adjusted = np.full_like(p, np.nan)
    made = ~np.isnan(p)
    if made.any():
        adjusted[made] = multipletests(p[made], method="holm")[1]
    return adjusted
