"""Analysis of variance: how much of the accuracy the loss explains, and how much the model."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import f
from statsmodels.regression.linear_model import OLS, RegressionResultsWrapper
from statsmodels.stats.anova import anova_lm

from longtail.analysis.grid import Refusal

FACTORS = ("loss", "model")
INTERACTION = "loss x model"
IN_GENERAL = "loss, over models in general"
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


def two_way_anova(model: LinearModel) -> pd.DataFrame:
    """Analysis of variance with effect sizes.

    Sums of squares are of type II, so a missing run does not favour the factor that is named first. Partial
    eta squared is SS / (SS + SS_error); omega squared is (SS - df * MS_error) / (SS_total + MS_error), at least
    0: the share of all variance, corrected for chance (Hays, 1963; Olejnik and Algina, 2003).

    The error of F is how much seeds differ within loss and model, so F speaks of these losses with these models. Where
    the interaction can be told from that error, one more row tests the loss against the interaction: it speaks of
    models in general, of which these are a sample.

    Returns:
        Columns term, sum_sq, df, statistic (F), p, partial_eta_squared, omega_squared, runs, note; a row for each
        effect and one for the residual.
    """
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
    frame = pd.DataFrame(rows)
    if model.interaction and frame.set_index("term").loc[INTERACTION, "sum_sq"] > 0:
        frame = pd.concat([frame, _in_general(frame.set_index("term"))], ignore_index=True)
    return frame.assign(runs=len(model.scores)).reindex(columns=COLUMNS)


def _in_general(terms: pd.DataFrame) -> pd.DataFrame:
    """The row that tests the loss against its interaction with the models."""
    loss, both = terms.loc["loss"], terms.loc[INTERACTION]
    statistic = (loss["sum_sq"] / loss["df"]) / (both["sum_sq"] / both["df"])
    row = {"term": IN_GENERAL, "sum_sq": loss["sum_sq"], "df": loss["df"], "statistic": statistic, "note": ""}
    return pd.DataFrame([row | {"p": f.sf(statistic, loss["df"], both["df"])}])


def _name(term: str) -> str:
    return term.replace("C(loss, Sum)", "loss").replace("C(model, Sum)", "model").replace(":", " x ")
