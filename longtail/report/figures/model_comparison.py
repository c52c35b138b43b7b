"""Mean and standard deviation of every model's accuracy over the losses."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.bars import draw_bars
from longtail.report.figures.grid import accuracies, across, over_seeds, select
from longtail.report.labels import label


@style.look()
def draw(
    evaluation: pd.DataFrame, train_set: str | None = None, excluded_losses: Sequence[str] = ()
) -> Figure:
    """Bars of the mean over losses, a dot for each loss; a row of panels per training set, one per test set."""
    table = select(accuracies(evaluation), train_set=train_set)
    looks = style.styles(table["loss"].unique(), style.LOSSES)
    table = table[~table["loss"].isin(excluded_losses)]
    if table.empty:
        return style.explanation(f"Without {_listed(excluded_losses)}, no loss is left to average over.")
    summary = over_seeds(table)
    bars = across(summary, "model").merge(table.groupby("test_set", as_index=False)["n"].max())
    figure = draw_bars(
        bars, "model", dict.fromkeys(bars["model"], "0.8"), summary.rename(columns={"loss": "kind"}), looks
    )
    style.legend(figure, {label(name): looks[name] for name in table["loss"].unique()})
    return figure


def caption(
    evaluation: pd.DataFrame, train_set: str | None = None, excluded_losses: Sequence[str] = ()
) -> str:
    """What the bars are, and over how many losses, runs and images."""
    table = select(accuracies(evaluation), train_set=train_set)
    table = table[~table["loss"].isin(excluded_losses)]
    count = table["loss"].nunique()
    return captions.caption(
        f"Top-1 accuracy by model, over {count} loss{'es' if count != 1 else ''}, {captions.seeds(table)}.",
        "Bars: mean over the losses; error bars: standard deviation over the losses; dots: the losses,"
        f" each {'the mean over its seeds' if table['seed'].nunique() > 1 else 'one run'}."
        if count > 1
        else "Bars: the one loss, mean over its seeds; no error bars, since one has no spread.",
        f"Left out on purpose: {_listed(excluded_losses)}." if excluded_losses else "",
        captions.test_images(table),
        captions.missing(table, "accuracy"),
    )


def _listed(losses: Sequence[str]) -> str:
    return ", ".join(label(name) for name in losses)
