"""All statistics of an experiment, by the names of their tables."""

import pandas as pd

from longtail.analysis.grid import Grid, Refusal, by_set
from longtail.analysis.statistics import anova, mcnemar, paired, posthoc
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.friedman import friedman_tables


def from_accuracies(found: pd.DataFrame, grid: Grid) -> dict[str, pd.DataFrame]:
    """The statistics that need only the accuracy of each run.

    Args:
        found: top-1 accuracies, as `longtail.analysis.grid.scores` returns them.
    """
    by_loss, by_pair = friedman_tables(found, grid)
    return {
        "anova": by_set(found, grid, anova.two_way_anova, anova.COLUMNS),
        "posthoc": by_set(found, grid, posthoc.posthoc, posthoc.COLUMNS),
        "friedman": by_loss,
        "friedman_pairs": by_pair,
    }


def from_predictions(
    correctness: Correctness, grid: Grid, reference: str, resamples: int
) -> dict[str, pd.DataFrame]:
    """The statistics that compare two runs image by image.

    Args:
        reference: the loss that the others are compared with.
        resamples: how many the bootstrap draws.
    """
    try:
        differences = paired.paired_differences(correctness, grid, reference, resamples)
        pairs = mcnemar.mcnemar_table(correctness, grid, reference)
    except Refusal as refusal:
        differences = pd.DataFrame([{"note": str(refusal)}], columns=paired.COLUMNS)
        pairs = pd.DataFrame([{"note": str(refusal)}], columns=mcnemar.COLUMNS)
    over_models = differences["model"] == paired.ALL_MODELS
    pooled = differences[over_models]
    if pooled.empty:
        note = "an average over models needs at least two models"
        pooled = pd.DataFrame([{"note": note}], columns=paired.COLUMNS)
    return {"paired_differences": differences[~over_models], "pooled_differences": pooled, "mcnemar": pairs}
