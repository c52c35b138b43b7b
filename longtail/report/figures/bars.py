"""Bars in rows with one panel per test set, for the comparisons of losses and of models."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtail.analysis.grid import Grid, across, over_seeds, repeats
from longtail.report import captions
from longtail.report.figures.style import GREY, MISSING, Drawn, Style, legend, new_figure, runs_note
from longtail.report.labels import label

ROW = 0.175  # inches per bar
ROW_WITH_DOTS = 0.26
PLURALS = {"loss": "losses", "model": "models"}


def compare(table: pd.DataFrame, name: str, averaged: str, looks: dict[str, Style], note: str = "") -> Drawn:
    """Bars of the mean over `averaged`, a dot for each; a row of panels per training set, one per test set.

    Args:
        table: as `grid.accuracies` returns it.
        name: what is compared, `loss` or `model`.
        averaged: the other of the two.
        looks: how each of `averaged` looks; of the whole experiment.
        note: a sentence for the caption.
    """
    summary, again = over_seeds(table), []
    if averaged == "loss":
        found = table.rename(columns={"accuracy": "value"}).dropna(subset="value")
        again = repeats(found, Grid.of(table))
        summary = summary[~pd.MultiIndex.from_frame(summary[["train_set", "loss"]]).isin(again)]
    bars = across(summary, name)
    dots = summary.rename(columns={averaged: "kind"})
    figure = draw_bars(table, bars, name, dict.fromkeys(bars[name], "0.8"), dots, looks)
    shown = summary[averaged].unique()
    legend(figure, {label(kind): looks[kind] for kind in shown})
    count, kinds = len(shown), PLURALS[averaged]
    each = "the mean over its seeds" if table["seed"].nunique() > 1 else "one run"
    text = captions.of_accuracies(
        table,
        f"Top-1 accuracy by {name}, over {count} {kinds if count != 1 else averaged}, {captions.seeds(table)}.",
        f"Bars: mean over the {kinds}; error bars: standard deviation over the {kinds}; dots: the {kinds}, each {each}."
        if count > 1
        else f"Bars: the one {averaged}, mean over its seeds; no error bars, since one has no spread.",
        captions.repeated(again),
        note,
    )
    return Drawn(figure, text)


def draw_bars(
    table: pd.DataFrame,
    summary: pd.DataFrame,
    name: str,
    colors: dict[str, str],
    dots: pd.DataFrame | None = None,
    dot_styles: dict[str, Style] | None = None,
) -> Figure:
    """One row of panels per training set, one panel per test set, one bar per `name`.

    Args:
        table: as `grid.accuracies` returns it, for the number of test images.
        summary: columns `name`, train_set, test_set, mean, sd, runs, expected; accuracies in percent.
        name: the column whose values are the bars, `loss` or `model`, in the order of the frame.
        colors: of each bar.
        dots: what each bar is the mean of: columns `name`, train_set, test_set, mean, kind.
        dot_styles: style of each kind.
    """
    names = list(summary[name].unique())
    train_sets, test_sets = list(summary["train_set"].unique()), list(summary["test_set"].unique())
    row_height = max((ROW if dots is None else ROW_WITH_DOTS) * len(names) + 0.2, 0.85)
    legend_height = 0.15 * (len(dot_styles) // 5 + 1) if dot_styles else 0.15
    figure = new_figure(len(train_sets) * row_height + 0.65 + legend_height)
    panels = figure.subplots(len(train_sets), len(test_sets), sharex=True, sharey="row", squeeze=False)
    for row, train_set in zip(panels, train_sets, strict=True):
        here = summary[summary["train_set"] == train_set]
        row[0].set_ylabel(f"Trained on\n{label(train_set).lower()}")
        row[0].set_yticks(range(len(names)), [_row_label(here[here[name] == each], each) for each in names])
        row[0].set_ylim(len(names) - 0.4, -0.6)
        for axes, test_set in zip(row, test_sets, strict=True):
            _bars(axes, here[here["test_set"] == test_set].set_index(name).loc[names], colors)
            if dots is not None and dot_styles is not None:
                cell = dots[(dots["train_set"] == train_set) & (dots["test_set"] == test_set)]
                _dots(axes, cell, name, names, dot_styles)
    for axes, test_set in zip(panels[0], test_sets, strict=True):
        count = table.loc[table["test_set"] == test_set, "n"].max()
        axes.set_title(f"{label(test_set)}\n{count:,.0f} image{'s' if count != 1 else ''}", loc="left")
    panels[0, 0].set_xlim(0, 100)
    figure.align_ylabels(panels[:, 0])
    panels[-1, len(test_sets) // 2].set_xlabel("Top-1 accuracy (%)")
    return figure


def _row_label(cells: pd.DataFrame, name: str) -> str:
    """The printed name, and how many of its runs there are unless all."""
    worst = cells.loc[cells["runs"].idxmin()]
    return f"{label(name)}{runs_note(worst['runs'], worst['expected'])}"


def _bars(axes: Axes, cell: pd.DataFrame, colors: dict[str, str]) -> None:
    axes.grid(axis="x")
    axes.set_xticks([0, 50, 100])
    axes.tick_params(axis="y", length=0)
    positions = np.arange(len(cell))
    bars = axes.barh(positions, cell["mean"], 0.7, color=[colors[name] for name in cell.index])
    axes.errorbar(
        cell["mean"], positions, xerr=cell["sd"], fmt="none", ecolor=GREY, elinewidth=0.9, capsize=1.5
    )
    for position, patch, bar in zip(positions, bars, cell.itertuples(), strict=True):
        if bar.runs == 0:
            axes.barh(position, 100, 0.7, **MISSING)
            continue
        if bar.runs < bar.expected:
            patch.set(hatch="/////", edgecolor="white", linewidth=0)
        spread = f" ± {bar.sd:.1f}" if pd.notna(bar.sd) else ""
        axes.annotate(
            f"{bar.mean:.1f}{spread}",
            (1.07, position),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize="small",
            annotation_clip=False,
        )


def _dots(axes: Axes, dots: pd.DataFrame, name: str, names: list[str], dot_styles: dict[str, Style]) -> None:
    # Spread over the height of the bar, since most kinds lie close together.
    kinds = list(dots["kind"].unique())
    shifts = np.linspace(-0.27, 0.27, len(kinds)) if len(kinds) > 1 else [0.0]
    for kind, shift in zip(kinds, shifts, strict=True):
        own = dots[dots["kind"] == kind]
        positions = [names.index(each) + shift for each in own[name]]
        look = dot_styles[kind].point
        axes.plot(own["mean"], positions, linestyle="", markersize=2.8, clip_on=False, zorder=3, **look)
