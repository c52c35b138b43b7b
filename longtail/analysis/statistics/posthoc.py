"""Comparisons of all pairs of losses and of models, which follow the analysis of variance."""

import itertools
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import studentized_range
from scipy.stats import tukey_hsd as tukey_hsd_test

from longtail.analysis.grid import Refusal, join_notes
from longtail.analysis.statistics.anova import FACTORS, LinearModel, fit

COLUMNS = ["factor", "a", "b", "difference", "low", "high", "p", "method", "applies", "note"]
PLURALS = {"loss": "losses", "model": "models"}


def posthoc(scores: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Tukey's HSD for all pairs of losses and of models, and Games-Howell where their variances differ.

    Tukey's test takes the other factor into account. Games-Howell does not assume equal variances, but it knows one
    factor only. It counts the effect of the other factor as error, so with several models it finds less than there
    is.

    Args:
        scores: columns loss, model, value; one row per run of one training and test set.
        alpha: the level of Levene's test, which decides which method applies, and of the simultaneous intervals.

    Returns:
        Columns factor, a, b, difference (mean of a minus mean of b), low, high (Tukey only), p (adjusted for all
        pairs of the factor), method, applies (bool: whether this is the method to read), note.

    Raises:
        Refusal: as `longtail.analysis.statistics.anova.fit`.
    """
    model = fit(scores)
    frames = []
    for factor in model.factors:
        unequal, note = _variances_differ(model, factor, alpha)
        frames.append(tukey_hsd(model, factor, alpha).assign(applies=not unequal, note=note))
        if unequal:
            frames.append(games_howell(model.scores, factor).assign(applies=True))
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


def games_howell(scores: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Comparisons of the plain means of one factor without assuming equal variances.

    The test is Games and Howell's (1976, Journal of Educational Statistics 1, 113-125). Its intervals are left
    out: each needs its own quantile of the studentized range, which takes scipy seconds per table.

    Returns:
        Columns factor, a, b, difference, p, method, note. A pair of levels that do not vary at all has NaN for p.

    Raises:
        Refusal: a level has a single run.
    """
    groups = {level: group.to_numpy() for level, group in scores.groupby(factor)["value"]}
    if min(map(len, groups.values())) < 2:
        raise Refusal(f"Games-Howell needs at least two runs of every {factor}")
    with np.errstate(invalid="ignore", divide="ignore"):  # levels without variance
        result = tukey_hsd_test(*groups.values(), equal_var=False)
    other = next(name for name in FACTORS if name != factor)
    caution = f"variation between the {PLURALS[other]} counts as error" if scores[other].nunique() > 1 else ""
    rows = [
        {
            "factor": factor,
            "a": a,
            "b": b,
            "difference": result.statistic[first, second],
            "p": result.pvalue[first, second],
            "method": "Games-Howell",
            "note": join_notes(
                caution, "neither varies: no test" if np.isnan(result.pvalue[first, second]) else ""
            ),
        }
        for (first, a), (second, b) in itertools.combinations(enumerate(groups), 2)
    ]
    return pd.DataFrame(rows)


def _variances_differ(model: LinearModel, factor: str, alpha: float) -> tuple[bool, str]:
    try:
        return bool(model.levene(factor)[1] < alpha), model.note
    except Refusal as refusal:
        return False, join_notes(model.note, f"equal variances assumed: {refusal}")
