"""Accuracy of one model with every loss on every test set, as bars."""

import pandas as pd

from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.bars import draw_bars
from longtail.report.figures.grid import accuracies, over_seeds, select
from longtail.report.labels import label


@style.look()
def draw(evaluation: pd.DataFrame, model: str, train_set: str | None = None) -> style.Drawn:
    """Bars of the mean over seeds; a row of panels per training set, a panel per test set, a bar per loss."""
    table = select(accuracies(evaluation), model=model, train_set=train_set)
    looks = style.styles(table["loss"].unique(), style.LOSSES)
    figure = draw_bars(table, over_seeds(table), "loss", {name: look.color for name, look in looks.items()})
    figure.suptitle(label(model), x=0.01, ha="left")
    text = captions.of_accuracies(
        table,
        f"Top-1 accuracy of {label(model)} by loss and test set, {captions.seeds(table)}.",
        captions.spread(table, "Bars"),
    )
    return style.Drawn(figure, text)
