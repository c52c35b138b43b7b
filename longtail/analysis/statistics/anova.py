"""Analysis of variance: how much of the accuracy the loss explains, and how much the model."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import levene, shapiro
from statsmodels.regression.linear_model import OLS, RegressionResultsWrapper
from statsmodels.stats.anova import anova_lm

from longtail.analysis.grid import Refusal

FACTORS = ("loss", "model")
COLUMNS = ["term", "sum_sq", "df", "statistic", "p", "partial_eta_squared", "omega_squared", "runs", "note"]


@dataclass(frozen=True)
class LinearModel:
    """Least-squares fit of the scores by loss and model, in sum-to-zero coding."""

    scores: pd.DataFrame
    factors: tuple[str, ...]
    interaction: bool
    results: RegressionResultsWrapper

    @cached_property
    def note(self) -> str:
        """A sentence on what this design of runs cannot tell; empty if it leaves nothing open."""
        if len(self.factors) == 1:
            other = next(name for name in FACTORS if name not in self.factors)
            return f"one {other}: one-way analysis of the {self.factors[0]}"
        if self.interaction:
            return ""
        return "additive model: the interaction of loss and model cannot be tested without several seeds in every cell"

    def levene(self, factor: str) -> tuple[float, float]:
        """Levene's test, in the form of Brown and Forsythe, on the residuals by the levels of a factor: statistic, p.

        Raises:
            Refusal: a level has fewer than three runs. Two runs are always equally far from their median.
        """
        groups = [self.results.resid[rows] for rows in self.scores.groupby(factor).groups.values()]
        if min(map(len, groups)) < 3:
            raise Refusal(f"Levene's test needs at least three runs of every {factor}")
        return tuple(levene(*groups, center="median"))


def fit(scores: pd.DataFrame) -> LinearModel:
    """Fit value ~ loss x model. The interaction is left out where the runs do not suffice for it.

    Args:
        scores: columns loss, model, value; one row per run of one training and test set.

    Raises:
        Refusal: there is only one loss and one model; no degree of freedom is left for the error; the scores do not
            vary; or so many runs are missing that the effects cannot be told apart.
    """
    scores = scores.reset_index(drop=True)
    levels = {name: scores[name].nunique() for name in FACTORS}
    factors = tuple(name for name in FACTORS if levels[name] > 1)
    if not factors:
        raise Refusal(
            "an analysis of variance needs at least two losses or two models, but the runs have one of each"
        )
    cells = int(np.prod([levels[name] for name in factors]))
    replicated = len(scores) > cells and len(scores[list(factors)].drop_duplicates()) == cells
    interaction = len(factors) == 2 and replicated
    parameters = cells if interaction else 1 + sum(levels[name] - 1 for name in factors)
    if len(scores) <= parameters:
        raise Refusal(
            f"{len(scores)} runs leave nothing to estimate the error of {parameters} means from; an analysis of "
            "variance needs at least two seeds, or two models"
        )
    formula = "value ~ " + (" * " if interaction else " + ").join(f"C({name}, Sum)" for name in factors)
    design = OLS.from_formula(formula, scores)
    if np.linalg.matrix_rank(design.exog) < parameters:
        raise Refusal(
            "so many runs are missing that the effects of loss and model cannot be told apart; run the missing ones"
        )
    results = design.fit()
    if results.ssr <= 1e-12 * max(results.centered_tss, 1e-12):
        raise Refusal(
            "the runs do not vary within loss and model, so there is no error to compare effects with"
        )
    return LinearModel(scores, factors, interaction, results)


def two_way_anova(scores: pd.DataFrame) -> pd.DataFrame:
    """Analysis of variance with effect sizes and the checks of its assumptions.

    Sums of squares are of type II, so a missing run does not favour the factor that is named first. Partial
    eta squared is SS / (SS + SS_error); omega squared is (SS - df * MS_error) / (SS_total + MS_error), at least
    0: the share of all variance, corrected for chance (Hays, 1963; Olejnik and Algina, 2003).

    Args:
        scores: as for `fit`.

    Returns:
        Columns term, sum_sq, df, statistic, p, partial_eta_squared, omega_squared, runs, note. The first rows are
        the effects (statistic: F) and the residual; then Shapiro-Wilk on the residuals (W) and Levene's test on
        them by loss and by model.

    Raises:
        Refusal: as `fit`.
    """
    model = fit(scores)
    table = anova_lm(model.results, typ=2)
    error = table.loc["Residual", "sum_sq"] / table.loc["Residual", "df"]
    rows = []
    for term, row in table.iterrows():
        effect = {"term": _name(term), "sum_sq": row["sum_sq"], "df": row["df"], "note": model.note}
        if term != "Residual":
            residual = table.loc["Residual", "sum_sq"]
            omega = (row["sum_sq"] - row["df"] * error) / (model.results.centered_tss + error)
            effect |= {"statistic": row["F"], "p": row["PR(>F)"], "omega_squared": max(0.0, omega)}
            effect["partial_eta_squared"] = row["sum_sq"] / (row["sum_sq"] + residual)
        rows.append(effect)
    return pd.DataFrame(rows + _checks(model)).assign(runs=len(scores)).reindex(columns=COLUMNS)


def _checks(model: LinearModel) -> list[dict[str, Any]]:
    statistic, p = shapiro(model.results.resid)
    normal = "residuals do not look normal: F is approximate" if p < 0.05 else ""
    rows = [{"term": "Shapiro-Wilk (residuals)", "statistic": statistic, "p": p, "note": normal}]
    for factor in model.factors:
        row: dict[str, Any] = {"term": f"Levene (residuals by {factor})"}
        try:
            statistic, p = model.levene(factor)
            note = "variances differ: F is approximate" if p < 0.05 else ""
            rows.append(row | {"statistic": statistic, "p": p, "note": note})
        except Refusal as refusal:
            rows.append(row | {"note": str(refusal)})
    return rows


def _name(term: str) -> str:
    return term.replace("C(loss, Sum)", "loss").replace("C(model, Sum)", "model").replace(":", " x ")
