"""How far each loss's confidence can be trusted, on each group of classes."""

from collections import Counter

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from longtail.analysis.calibration import expected_calibration_error, reliability
from longtail.analysis.grid import Grid, select
from longtail.data.split.sets import CLUSTER, GROUPS, with_sets
from longtail.experiment.runs import RUN
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.labels import label, trained

BINS = 15
FEWEST = 20  # images in a bin that is drawn, over all seeds
ROW = 0.2  # inches per loss in the lower panel


@style.look()
def draw(confidences: pd.DataFrame, split: pd.DataFrame, model: str, train_set: str) -> style.Drawn:
    """Above, accuracy against confidence, a panel per group and a line per loss; below, the calibration errors."""
    runs = select(confidences, model=model, train_set=train_set)
    finished = with_sets(runs.dropna(subset="predicted"), split)
    finished = finished.assign(correct=finished["predicted"] == finished["label"])
    title, text = trained(model, train_set), _caption(runs, finished, captions.training(model, train_set))
    if finished.empty:
        return style.explanation(f"{title}: no run finished.", text)
    looks = style.styles(confidences["loss"].unique(), style.LOSSES)
    losses = list(runs["loss"].unique())
    groups = [name for name in GROUPS if name in set(finished["group"])]
    curves, errors = 1.9, max(ROW * len(losses), 0.5)
    figure = style.new_figure(curves + errors + 1.0 + 0.15 * (len(losses) // 5), title=title)
    grid = figure.add_gridspec(2, len(groups), height_ratios=[curves, errors])
    panels: list[Axes] = []
    for column, group in enumerate(groups):
        axes = figure.add_subplot(grid[0, column], sharey=panels[0] if panels else None)
        panels.append(axes)
        own = finished[finished["group"] == group]
        axes.set_title(f"{label(group)}\n{own['image_id'].nunique():,} images", loc="left")
        _curves(axes, own, {loss: looks[loss] for loss in losses})
    panels[0].set_ylabel("Accuracy (%)")
    _errors(figure.add_subplot(grid[1, :]), runs, finished, losses, groups)
    style.legend(figure, {label(loss): looks[loss] for loss in losses}, lines=True)
    return style.Drawn(figure, text)


def _caption(runs: pd.DataFrame, finished: pd.DataFrame, training: str) -> str:
    """What lines and marks are, and of how many images and runs."""
    images = finished.groupby("group")["image_id"].nunique().reindex(GROUPS).dropna()
    listed = ", ".join(f"{label(name).lower()} {count:,.0f}" for name, count in images.items())
    dependent = ""
    if CLUSTER in finished:
        counts = finished.groupby("group")[CLUSTER].nunique()[images.index]
        if (counts < images).any():
            each = ", ".join(f"{label(name).lower()} {count:,}" for name, count in counts.items())
            dependent = captions.dependent(each)
    return captions.caption(
        f"Reliability of {training}, {captions.seeds(runs)}.",
        f"Above: accuracy against confidence in {BINS} equally wide bins, all seeds together; bins of fewer than"
        f" {FEWEST} images are not drawn. Below: expected calibration error, the mean gap between the two over"
        " all bins; large marks: mean over the seeds"
        + ("; small dots: the seeds." if runs["seed"].nunique() > 1 else "."),
        f"Test images, all of each group: {listed}.{dependent}" if listed else "",
        captions.missing(runs, "predicted"),
    )


def calibration_errors(finished: pd.DataFrame) -> pd.DataFrame:
    """Expected calibration error in percentage points of every run and group.

    Returns:
        Columns model, loss, train_set, seed, group, error.
    """
    groups = finished.groupby([*RUN, "group"], sort=False)[["confidence", "correct"]]
    errors = groups.apply(
        lambda own: 100 * expected_calibration_error(own["confidence"], own["correct"], BINS)
    )
    return errors.rename("error").reset_index()


def _curves(axes: Axes, finished: pd.DataFrame, looks: dict[str, style.Style]) -> None:
    axes.grid()
    axes.plot([0, 100], [0, 100], color="0.6", linewidth=0.8)
    drawn = 0
    for loss, look in looks.items():
        own = finished[finished["loss"] == loss]
        table = reliability(own["confidence"], own["correct"], BINS)
        table = table[table["n"] >= FEWEST]
        drawn += len(table)
        axes.plot(100 * table["confidence"], 100 * table["accuracy"], **look.line | {"markersize": 3})
    if not drawn:
        note = f"no bin has\n{FEWEST} images"
        axes.text(70, 20, note, ha="center", va="center", color=style.GREY)
    axes.set(xlim=(0, 102), ylim=(0, 102), xlabel="Confidence (%)")


def _errors(
    axes: Axes, runs: pd.DataFrame, finished: pd.DataFrame, losses: list[str], groups: list[str]
) -> None:
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    errors = calibration_errors(finished)
    seeds = list(runs["seed"].unique())
    shifts = dict(zip(seeds, np.linspace(-0.3, 0.3, len(seeds)), strict=True))
    for group in groups:
        look = style.GROUPS[group].point | {"linestyle": ""}
        own = errors[errors["group"] == group]
        if len(seeds) > 1:
            heights = own["loss"].map(losses.index) + own["seed"].map(shifts)
            axes.plot(own["error"], heights, **look | {"marker": ".", "markersize": 2.2})
        means = own.groupby("loss", sort=False)["error"].mean()
        axes.plot(means, means.index.map(losses.index), label=label(group), **look | {"markersize": 5})
    expected = Counter(run.loss for run in Grid.of(runs).runs)
    done = finished.drop_duplicates(RUN)["loss"].value_counts().reindex(losses, fill_value=0)
    names = [f"{label(loss)}{style.runs_note(done[loss], expected[loss])}" for loss in losses]
    axes.set_yticks(range(len(losses)), names)
    axes.set_ylim(len(losses) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("Expected calibration error (percentage points)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
