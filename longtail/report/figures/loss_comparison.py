"""Mean and standard deviation of every loss's accuracy over the models."""

import pandas as pd

from longtail.report.figures import style
from longtail.report.figures.bars import compare
from longtail.report.figures.grid import accuracies, select


@style.look()
def draw(evaluation: pd.DataFrame, train_set: str | None = None) -> style.Drawn:
    """Bars of the mean over models, a dot for each model; a row of panels per training set, one per test set."""
    table = select(accuracies(evaluation), train_set=train_set)
    return compare(table, "loss", "model", style.styles(table["model"].unique(), style.MODELS))
