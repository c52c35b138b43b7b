"""Comparisons of all pairs of losses and of models, which follow the analysis of variance."""

import itertools
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import studentized_range

from longtail.analysis.statistics.anova import LinearModel

COLUMNS = ["factor", "a", "b", "difference", "low", "high", "p", "method", "note"]


def posthoc(model: LinearModel, alpha: float = 0.05) -> pd.DataFrame:
    """Tukey's HSD for all pairs of losses and of models.

    All pairs share the error of the whole model, which one loss that collapses inflates for the others. For a loss
    against the reference, the contrasts with errors of their own are sharper and safer.

    Args:
        alpha: the level of the simultaneous intervals.

    Returns:
        Columns factor, a, b, difference (mean of a minus mean of b), low, high, p (adjusted for all pairs of the
        factor), method, note.
    """
    frames = [tukey_hsd(model, factor, alpha).assign(note=model.note) for factor in model.factors]
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS)


def tukey_hsd(model: LinearModel, factor: str, alpha: float = 0.05) -> pd.DataFrame:
    """Tukey-Kramer comparisons of the marginal means of one factor, with the error of the whole model.

    Marginal means weigh the levels of the other factor equally, so a missing run does not shift them.

    Returns:
        Columns factor, a, b, difference, low, high, p, method.
    """
    levels = sorted(model.scores[factor].unique())
    # In sum-to-zero coding the last level is minus the sum of the others.
    coding = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
    columns = [
        place
        for place, name in enumerate(model.results.params.index)
        if name.startswith(f"C({factor}, Sum)[") and ":" not in name
    ]
    pairs = list(itertools.combinations(range(len(levels)), 2))
    contrasts = np.zeros((len(pairs), len(model.results.params)))
    contrasts[:, columns] = [coding[first] - coding[second] for first, second in pairs]
    test = model.results.t_test(contrasts)
    difference, error = np.atleast_1d(test.effect), np.ravel(test.sd)
    df = model.results.df_resid
    reach = _quantile(1 - alpha, len(levels), df) * error / np.sqrt(2)
    p = studentized_range.sf(np.sqrt(2) * np.abs(difference) / error, len(levels), df)
    frame = pd.DataFrame([(levels[first], levels[second]) for first, second in pairs], columns=["a", "b"])
    return frame.assign(
        factor=factor,
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        p=p,
        method="Tukey HSD",
    )


@cache
def _quantile(probability: float, levels: int, df: float) -> float:
    """A quantile of the studentized range. It is cached: SciPy integrates for it, and most test sets share it."""
    return float(studentized_range.ppf(probability, levels, df))
