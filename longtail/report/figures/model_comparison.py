"""Mean and standard deviation of every model's accuracy over the losses."""

from collections.abc import Sequence

import pandas as pd

from longtail.analysis.grid import accuracies, select
from longtail.report.figures import style
from longtail.report.figures.bars import compare
from longtail.report.labels import label

NEEDS = {"models": 2}
"""With one, there is nothing to compare."""


@style.look()
def draw(
    evaluation: pd.DataFrame, train_set: str | None = None, excluded_losses: Sequence[str] = ()
) -> style.Drawn:
    """Bars of the mean over losses, a dot for each loss; a row of panels per training set, one per test set."""
    table = select(accuracies(evaluation), train_set=train_set)
    looks = style.styles(table["loss"].unique(), style.LOSSES)
    table = table[~table["loss"].isin(excluded_losses)]
    listed = ", ".join(label(name) for name in excluded_losses)
    if table.empty:
        return style.explanation(f"Without {listed}, no loss is left to average over.")
    return compare(table, "model", "loss", looks, f"Left out on purpose: {listed}." if listed else "")
