"""Differences to a reference loss over models in general: each model counts as one observation."""

import itertools

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from longtail.analysis.grid import Grid, Refusal, compared, join_notes, missing_runs, name_missing
from longtail.analysis.statistics.dunnett import dunnett
from longtail.analysis.statistics.holm import holm
from longtail.data.split.sets import tested_sets

COLUMNS = ["train_set", "test_set", "loss", "reference", "difference", "low", "high"]
COLUMNS += ["p", "p_dunnett", "p_holm", "margin", "log_odds", "p_log_odds", "models", "note"]


def differences_over_models(found: pd.DataFrame, grid: Grid, reference: str) -> pd.DataFrame:
    """Accuracy of each loss less that of the reference, by Student's paired t over the models.

    A model gives one number, the mean over its seeds. Where all models have equally many seeds this is what a mixed
    model with loss, model and seed makes of the contrast, with exact degrees of freedom; it needs only accuracies, and
    it speaks of further models on these test images. Beside it stands the same test of the log odds of a correct
    answer, whose size does not depend on how accurate a model is.

    Args:
        found: top-1 accuracies, as `longtail.analysis.grid.scores` returns them.

    Returns:
        Columns train_set, test_set, loss, reference, difference (a fraction), low, high (95 %), p, p_dunnett (over the
        losses of one training and test set), p_holm (over the losses and test sets of one training set), margin (the
        smallest that two one-sided tests at 5 % exclude), log_odds, p_log_odds, models, note.

    Raises:
        Refusal: the reference, or any loss beside it, is not in the grid; or there is one model.
    """
    losses = compared(grid, reference)
    if len(grid.models) < 2:
        raise Refusal("a difference over models in general needs at least two models, and better four")
    frames = []
    for train_set, test_set in itertools.product(grid.train_sets, tested_sets(found["test_set"])):
        own = found[(found["train_set"] == train_set) & (found["test_set"] == test_set)]
        rows = pd.DataFrame([_contrast(own, grid, loss, reference, train_set) for loss in losses])
        rows["p_dunnett"] = np.nan
        for models, group in rows[rows["t"].notna()].groupby("models"):
            rows.loc[group.index, "p_dunnett"] = dunnett(group["t"].to_numpy(), int(models))
        frames.append(rows.assign(train_set=train_set, test_set=test_set, reference=reference))
    table = pd.concat(frames, ignore_index=True)
    table["p_holm"] = table.groupby("train_set")["p"].transform(holm)
    return table[COLUMNS]


def _contrast(own: pd.DataFrame, grid: Grid, loss: str, reference: str, train_set: str) -> dict:
    wide = own.pivot(index=["model", "seed"], columns="loss", values="value")
    pairs = wide.reindex(columns=[loss, reference]).dropna()
    by_model = (pairs[loss] - pairs[reference]).groupby("model").mean()
    expected = Grid(grid.models, (loss, reference), (train_set,), grid.seeds)
    absent = name_missing(missing_runs(own, expected))
    row = {"loss": loss, "models": len(by_model), "t": np.nan, "note": absent}
    row |= dict.fromkeys(("difference", "low", "high", "p", "margin", "log_odds", "p_log_odds"), np.nan)
    if len(by_model) < 2:
        return row | {"note": join_notes("fewer than two models have both losses", absent)}
    row["difference"] = by_model.mean()
    if np.ptp(by_model.to_numpy()) < 1e-12:
        same = "the same answers with both losses" if abs(by_model.iloc[0]) < 1e-12 else "the same difference"
        note = f"every model has {same}, which leaves no error to test with"
        return row | {"note": join_notes(note, absent)}
    n = own["n"].max()
    odds = np.log((pairs * n + 0.5) / (n - pairs * n + 0.5))
    log_odds = (odds[loss] - odds[reference]).groupby("model").mean()
    _, row["p_log_odds"] = _t_test(log_odds)
    row["log_odds"] = log_odds.mean()
    row["t"], row["p"] = _t_test(by_model)
    error, df = by_model.std() / np.sqrt(len(by_model)), len(by_model) - 1
    reach, shorter = (error * stdtrit(df, (1 + level) / 2) for level in (0.95, 0.90))
    row["low"], row["high"] = max(-1.0, by_model.mean() - reach), min(1.0, by_model.mean() + reach)
    return row | {"margin": min(1.0, abs(by_model.mean()) + shorter)}


def _t_test(values: pd.Series) -> tuple[float, float]:
    """Student's t of the mean against 0, and its two-sided p."""
    t = values.mean() / (values.std() / np.sqrt(len(values)))
    return float(t), float(2 * stdtr(len(values) - 1, -abs(t)))
