"""Accuracy of one model with every loss on every test set, as bars."""

import pandas as pd
from matplotlib.figure import Figure

from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.bars import draw_bars
from longtail.report.figures.grid import accuracies, over_seeds, select
from longtail.report.labels import label


@style.look()
def draw(evaluation: pd.DataFrame, model: str, train_set: str | None = None) -> Figure:
    """Bars of the mean over seeds; a row of panels per training set, a panel per test set, a bar per loss."""
    table = select(accuracies(evaluation), model=model, train_set=train_set)
    summary = over_seeds(table).merge(table.groupby("test_set", as_index=False)["n"].max())
    looks = style.styles(table["loss"].unique(), style.LOSSES)
    figure = draw_bars(summary, "loss", {name: look.color for name, look in looks.items()})
    figure.suptitle(label(model), x=0.01, ha="left")
    return figure


def caption(evaluation: pd.DataFrame, model: str, train_set: str | None = None) -> str:
    """What the bars are, and of how many runs and images."""
    table = select(accuracies(evaluation), model=model, train_set=train_set)
    several = table["seed"].nunique() > 1
    return captions.caption(
        f"Top-1 accuracy of {label(model)} by loss and test set, {captions.seeds(table)}.",
        "Bars: mean over the seeds; error bars: standard deviation over the seeds."
        if several
        else "Bars: the one run; no error bars, since one run has no spread.",
        captions.test_images(table),
        captions.missing(table, "accuracy"),
    )
