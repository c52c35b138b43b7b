"""All statistics of an experiment, by the names of their tables."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from longtail.analysis.grid import Grid, Refusal, by_set, scores
from longtail.analysis.statistics import anova, mcnemar, over_models, paired, posthoc
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.descriptive import describe
from longtail.analysis.statistics.friedman import friedman_tables


def every_statistic(
    evaluation: pd.DataFrame, grid: Grid, correctness: Correctness, reference: str
) -> dict[str, pd.DataFrame]:
    """All statistics of an experiment.

    Args:
        evaluation: the metrics of all runs.
        grid: the runs there should be.
        reference: the loss that the others are compared with.
    """
    return {
        "descriptive": describe(evaluation, grid, correctness),
        **from_predictions(correctness, grid, reference),
        **from_accuracies(scores(evaluation, grid), grid, reference),
    }


def from_accuracies(found: pd.DataFrame, grid: Grid, reference: str) -> dict[str, pd.DataFrame]:
    """The statistics that need only the accuracy of each run.

    Args:
        found: top-1 accuracies, as `longtail.analysis.grid.scores` returns them.
        reference: the loss that the others are compared with.
    """
    by_loss, by_pair = friedman_tables(found, grid)
    variance, differences = by_set(found, grid, _of_variance, anova.COLUMNS, posthoc.COLUMNS)
    return {
        "over_models": _made(
            over_models.COLUMNS, over_models.differences_over_models, found, grid, reference
        ),
        "anova": variance,
        "posthoc": differences,
        "friedman": by_loss,
        "friedman_pairs": by_pair,
    }


def from_predictions(correctness: Correctness, grid: Grid, reference: str) -> dict[str, pd.DataFrame]:
    """The statistics that compare two runs image by image.

    Args:
        reference: the loss that the others are compared with.
    """
    differences = _made(paired.COLUMNS, paired.paired_differences, correctness, grid, reference)
    pairs = _made(mcnemar.COLUMNS, mcnemar.mcnemar_table, correctness, grid, reference)
    averaged = differences["model"] == paired.ALL_MODELS
    pooled = differences[averaged]
    if pooled.empty:
        note = "an average over models needs at least two models"
        pooled = pd.DataFrame([{"note": note}], columns=paired.COLUMNS)
    return {"paired_differences": differences[~averaged], "pooled_differences": pooled, "mcnemar": pairs}


def _of_variance(own: pd.DataFrame) -> list[pd.DataFrame]:
    model = anova.fit(own)
    return [anova.two_way_anova(model), posthoc.posthoc(model)]


def _made(columns: list[str], compute: Callable[..., pd.DataFrame], *arguments: Any) -> pd.DataFrame:
    """A table, or where it is refused a row with nothing but the sentence that says why."""
    try:
        return compute(*arguments)
    except Refusal as refusal:
        return pd.DataFrame([{"note": str(refusal)}], columns=columns)
