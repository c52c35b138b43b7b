"""Accuracy of every loss on the groups of classes (head, middle and tail), with each seed as a dot."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from longtail.analysis.grid import accuracies, over_seeds, select
from longtail.data.split.sets import GROUPS, groups_of
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.panels import label_axes, panel_grid
from longtail.report.labels import label

ROW = 0.21  # inches per loss
MARK = {"markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.4}


@style.look()
def draw(evaluation: pd.DataFrame, model: str | None = None, train_set: str | None = None) -> style.Drawn:
    """A row per loss with a mark for each group, a panel per model and training set."""
    table = select(accuracies(evaluation), model=model, train_set=train_set)
    groups = [label(name).lower() for name in groups_of(evaluation["test_set"])]
    named = f"{groups[0]}, {groups[1]} {{}} {groups[2]}"
    table = table[table["test_set"].isin(GROUPS)]
    if table.empty:
        return style.explanation(
            f"No test images are in the groups {named.format('or')}: nothing to compare."
        )
    summary = over_seeds(table)
    losses = list(table["loss"].unique())
    figure, grid, panels = panel_grid(table, max(ROW * len(losses), 0.5), 0.6, share=True)
    for cell, axes in panels.items():
        own, means = (frame.set_index(["train_set", "model"]).loc[[cell]] for frame in (table, summary))
        _panel(axes, own, means, losses)
    grid[0, 0].set_yticks(range(len(losses)), [label(loss) for loss in losses])
    grid[0, 0].set_ylim(len(losses) - 0.4, -0.6)
    grid[0, 0].set_xlim(0, 100)
    label_axes(grid, "Top-1 accuracy (%)", "")
    style.legend(figure, {label(name): style.GROUPS[name] for name in table["test_set"].unique()})
    text = captions.of_accuracies(
        table,
        f"Top-1 accuracy on the {named.format('and')} classes by loss, {captions.seeds(table)}.",
        "Large marks: mean over the seeds; small dots: the seeds; grey lines: from the worst to the best group."
        if table["seed"].nunique() > 1
        else "Marks: the one run; grey lines: from the worst to the best group.",
    )
    return style.Drawn(figure, text)


def _panel(axes: Axes, table: pd.DataFrame, summary: pd.DataFrame, losses: list[str]) -> None:
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    by_loss = summary.groupby("loss", sort=False)
    spread = by_loss["mean"].agg(["min", "max"]).loc[losses]
    axes.hlines(range(len(losses)), spread["min"], spread["max"], color="0.75", linewidth=1.5, zorder=1)
    seeds = list(table["seed"].unique())
    shifts = dict(zip(seeds, np.linspace(-0.3, 0.3, len(seeds)), strict=True))
    for group, means in summary.groupby("test_set", sort=False):
        look = style.GROUPS[group].point | {"linestyle": "", "clip_on": False}
        if len(seeds) > 1:
            dots = table[table["test_set"] == group]
            heights = dots["loss"].map(losses.index) + dots["seed"].map(shifts)
            axes.plot(dots["accuracy"], heights, **look | {"marker": ".", "markersize": 2.2})
        axes.plot(means["mean"], [losses.index(loss) for loss in means["loss"]], **look | MARK)
    counts = by_loss.agg(runs=("runs", "min"), expected=("expected", "max"))
    for loss, runs, expected in counts[counts["runs"] < counts["expected"]].itertuples():
        if runs == 0:
            axes.barh(losses.index(loss), 100, 0.6, **style.MISSING)
        axes.text(98, losses.index(loss), style.runs_note(runs, expected).strip(), **style.NOTE)
