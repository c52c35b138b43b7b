"""Mean and standard deviation of every loss's accuracy over the models."""

import pandas as pd
from matplotlib.figure import Figure

from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.bars import draw_bars
from longtail.report.figures.grid import accuracies, across, over_seeds, select
from longtail.report.labels import label


@style.look()
def draw(evaluation: pd.DataFrame, train_set: str | None = None) -> Figure:
    """Bars of the mean over models, a dot for each model; a row of panels per training set, one per test set."""
    table = select(accuracies(evaluation), train_set=train_set)
    looks = style.styles(table["model"].unique(), style.MODELS)
    summary = over_seeds(table)
    bars = across(summary, "loss").merge(table.groupby("test_set", as_index=False)["n"].max())
    figure = draw_bars(
        bars, "loss", dict.fromkeys(bars["loss"], "0.8"), summary.rename(columns={"model": "kind"}), looks
    )
    style.legend(figure, {label(name): look for name, look in looks.items()})
    return figure


def caption(evaluation: pd.DataFrame, train_set: str | None = None) -> str:
    """What the bars are, and over how many models, runs and images."""
    table = select(accuracies(evaluation), train_set=train_set)
    count = table["model"].nunique()
    return captions.caption(
        f"Top-1 accuracy by loss, over {count} model{'s' if count != 1 else ''}, {captions.seeds(table)}.",
        "Bars: mean over the models; error bars: standard deviation over the models; dots: the models,"
        f" each {'the mean over its seeds' if table['seed'].nunique() > 1 else 'one run'}."
        if count > 1
        else "Bars: the one model, mean over its seeds; no error bars, since one has no spread.",
        captions.test_images(table),
        captions.missing(table, "accuracy"),
    )
