"""The gain of each loss on the rarest classes against its cost on the most frequent, with the Pareto front."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from longtail.analysis.grid import accuracies, over_seeds, select
from longtail.data.split.sets import groups_of
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.panels import label_axes, panel_grid
from longtail.report.labels import CLASSES, label

LEAST_RANGE = 10  # percentage points an axis spans, so that noise does not fill a panel


@style.look()
def draw(evaluation: pd.DataFrame, model: str | None = None, train_set: str | None = None) -> style.Drawn:
    """Accuracy on head (many) across, on tail (few) up; a mark per loss, a panel per model and training set."""
    table = select(accuracies(evaluation), model=model, train_set=train_set)
    head, _, tail = groups_of(evaluation["test_set"])
    table = table[table["test_set"].isin([head, tail])]
    text = _caption(table, head, tail)
    if table["test_set"].nunique() < 2:
        return style.explanation(
            f"The trade-off needs test images of both {head} and {tail}; one of them has none.", text
        )
    looks = style.styles(table["loss"].unique(), style.LOSSES)
    points = over_seeds(table).pivot(index=["train_set", "model", "loss"], columns="test_set")
    height = 1.55 if table["model"].nunique() > 2 else 2.2
    figure, grid, panels = panel_grid(table, height, 0.55 + 0.15 * (len(looks) // 5), share=False)
    for cell, axes in panels.items():
        _panel(axes, points.loc[cell].loc[list(looks)], looks, head, tail)
    label_axes(grid, *(f"{label(name)}: top-1 accuracy (%)" for name in (head, tail)))
    style.legend(figure, {label(name): look for name, look in looks.items()})
    return style.Drawn(figure, text)


def _caption(table: pd.DataFrame, head: str, tail: str) -> str:
    """What marks, bars and the line are, and of how many runs and images."""
    return captions.of_accuracies(
        table,
        f"Top-1 accuracy on {CLASSES[tail]} against {CLASSES[head]} by loss, {captions.seeds(table)}.",
        "Marks: mean over the seeds; error bars: standard deviation over the seeds."
        if table["seed"].nunique() > 1
        else "Marks: the one run.",
        "Grey line: the Pareto front of the marks; the losses on it, drawn larger, are beaten by none on both"
        f" {head} and {tail}. Each panel has its own scale.",
    )


def pareto_front(head: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Whether no other point is at least as good in both and better in one; bool, and False for a NaN point."""
    at_least = (head[None] >= head[:, None]) & (tail[None] >= tail[:, None])
    better = (head[None] > head[:, None]) | (tail[None] > tail[:, None])
    return ~(at_least & better).any(axis=1) & ~np.isnan(head + tail)


def _panel(axes: Axes, points: pd.DataFrame, looks: dict[str, style.Style], head: str, tail: str) -> None:
    axes.grid()
    x, y = points["mean", head].to_numpy(), points["mean", tail].to_numpy()
    front = pareto_front(x, y)
    for (loss, point), best in zip(points.iterrows(), front, strict=True):
        look = looks[loss].point | {"elinewidth": 0.7, "markersize": 6 if best else 4, "zorder": 3}
        mean, sd = point["mean"], point["sd"]
        axes.errorbar(mean[head], mean[tail], xerr=sd[head], yerr=sd[tail], **look)
    _widen(axes)
    if front.any():
        # The line runs from the left edge to the lower one. A loss on it beats everything below and left of it.
        order = x[front].argsort()
        across = [axes.get_xlim()[0], *x[front][order], x[front].max()]
        up = [*y[front][order][:1], *y[front][order], axes.get_ylim()[0]]
        axes.plot(across, up, drawstyle="steps-pre", color="0.7", linewidth=1.5, zorder=1)
    counts = pd.DataFrame({"runs": points["runs"].min(axis=1), "expected": points["expected"].max(axis=1)})
    notes = [
        f"{label(loss)}{style.runs_note(*count)}"
        for loss, *count in counts.itertuples()
        if count[0] < count[1]
    ]
    if notes:
        axes.text(0.98, 0.98, "\n".join(notes), transform=axes.transAxes, **style.NOTE | {"va": "top"})


def _widen(axes: Axes) -> None:
    axes.margins(0.12)
    for axis, limits, set_limits in (
        (axes.xaxis, axes.get_xlim(), axes.set_xlim),
        (axes.yaxis, axes.get_ylim(), axes.set_ylim),
    ):
        middle, half = sum(limits) / 2, max(limits[1] - limits[0], LEAST_RANGE) / 2
        set_limits(max(middle - half, -2), min(middle + half, 102))
        low, high = axis.get_view_interval()
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
        axis.set_ticks(
            [tick for tick in ticks if low <= tick <= min(high, 100)]
        )  # no accuracy is above 100 %
