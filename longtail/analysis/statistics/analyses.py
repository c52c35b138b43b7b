"""All statistics of an experiment, by the names of their tables."""

import pandas as pd

from longtail.analysis.grid import Grid, Refusal, by_set
from longtail.analysis.statistics import anova, mcnemar, over_models, paired, posthoc
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.friedman import friedman_tables


def from_accuracies(found: pd.DataFrame, grid: Grid, reference: str) -> dict[str, pd.DataFrame]:
    """The statistics that need only the accuracy of each run.

    Args:
        found: top-1 accuracies, as `longtail.analysis.grid.scores` returns them.
        reference: the loss that the others are compared with.
    """
    by_loss, by_pair = friedman_tables(found, grid)
    try:
        in_general = over_models.differences_over_models(found, grid, reference)
    except Refusal as refusal:
        in_general = pd.DataFrame([{"note": str(refusal)}], columns=over_models.COLUMNS)
    return {
        "over_models": in_general,
        "anova": by_set(found, grid, anova.two_way_anova, anova.COLUMNS),
        "posthoc": by_set(found, grid, posthoc.posthoc, posthoc.COLUMNS),
        "friedman": by_loss,
        "friedman_pairs": by_pair,
    }


def from_predictions(correctness: Correctness, grid: Grid, reference: str) -> dict[str, pd.DataFrame]:
    """The statistics that compare two runs image by image.

    Args:
        reference: the loss that the others are compared with.
    """
    try:
        differences = paired.paired_differences(correctness, grid, reference)
        pairs = mcnemar.mcnemar_table(correctness, grid, reference)
    except Refusal as refusal:
        differences = pd.DataFrame([{"note": str(refusal)}], columns=paired.COLUMNS)
        pairs = pd.DataFrame([{"note": str(refusal)}], columns=mcnemar.COLUMNS)
    averaged = differences["model"] == paired.ALL_MODELS
    pooled = differences[averaged]
    if pooled.empty:
        note = "an average over models needs at least two models"
        pooled = pd.DataFrame([{"note": note}], columns=paired.COLUMNS)
    return {"paired_differences": differences[~averaged], "pooled_differences": pooled, "mcnemar": pairs}
