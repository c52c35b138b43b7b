"""The comparison of models without the class-balanced loss, whose collapse in the thesis hides the rest."""

import pandas as pd
from matplotlib.figure import Figure

from longtail.report.figures import model_comparison

EXCLUDED = ("class_balanced",)


def draw(evaluation: pd.DataFrame, train_set: str | None = None) -> Figure:
    """As `model_comparison.draw`, over the other losses."""
    return model_comparison.draw(evaluation, train_set, EXCLUDED)


def caption(evaluation: pd.DataFrame, train_set: str | None = None) -> str:
    """As `model_comparison.caption`."""
    return model_comparison.caption(evaluation, train_set, EXCLUDED)
