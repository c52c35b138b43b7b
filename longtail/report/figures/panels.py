"""A panel for every model and training set."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtail.report.figures.style import new_figure
from longtail.report.labels import label

COLUMNS = 4


def panel_grid(
    table: pd.DataFrame, height: float, extra: float, *, share: bool
) -> tuple[Figure, np.ndarray, dict[tuple[str, str], Axes]]:
    """One titled panel per training set and model: the models side by side, below each other by training set.

    One model's training sets stand side by side; more than four models are wrapped.

    Args:
        table: columns train_set, model.
        height: of a panel, in inches.
        extra: for what stands around the panels, in inches.
        share: one scale for all.

    Returns:
        The figure, all its axes as rows x columns (unused ones switched off), and those by (train_set, model).
    """
    train_sets, models = table["train_set"].unique(), table["model"].unique()
    lines = [[(train_set, model) for model in models] for train_set in train_sets]
    if len(models) == 1:
        lines = [[cell for line in lines for cell in line]]
    lines = [line[start : start + COLUMNS] for line in lines for start in range(0, len(line), COLUMNS)]
    figure = new_figure(len(lines) * (height + 0.35) + extra)
    grid = figure.subplots(len(lines), max(map(len, lines)), squeeze=False, sharex=share, sharey=share)
    panels = {}
    for row, line in zip(grid, lines, strict=True):
        for axes, (train_set, model) in zip(row, line, strict=False):
            axes.set_title(f"{label(model)}\ntrained on {label(train_set).lower()}", loc="left")
            panels[train_set, model] = axes
        for axes in row[len(line) :]:
            axes.set_axis_off()
    return figure, grid, panels


def label_axes(grid: np.ndarray, x: str, y: str) -> None:
    """The labels of the lowest panel of each column and the first of each row."""
    for column in grid.T:
        lowest = [axes for axes in column if axes.axison][-1]
        lowest.set_xlabel(x)
        lowest.tick_params(axis="x", labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel(y)
