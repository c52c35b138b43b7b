"""Accuracy of one model with every loss, as lines over the test sets."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.grid import accuracies, over_seeds, select
from longtail.report.labels import label, trained


@style.look()
def draw(evaluation: pd.DataFrame, model: str, train_set: str | None = None) -> style.Drawn:
    """A line of means over seeds per loss; a panel per training set."""
    table = select(accuracies(evaluation), model=model, train_set=train_set)
    summary = over_seeds(table)
    looks = style.styles(table["loss"].unique(), style.LOSSES)
    train_sets = list(summary["train_set"].unique())
    figure = style.new_figure(3.3 + 0.15 * (len(looks) // 5))
    panels = figure.subplots(1, len(train_sets), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, train_sets, strict=True):
        axes.set_title(trained(model, name), loc="left")
        _panel(axes, summary[summary["train_set"] == name], looks)
    panels[0].set_ylabel("Top-1 accuracy (%)")
    panels[0].set_ylim(-3, 103)
    style.legend(figure, {label(name): look for name, look in looks.items()}, lines=True)
    text = captions.of_accuracies(
        table,
        f"Top-1 accuracy of {label(model)} over the test sets, {captions.seeds(table)}.",
        captions.spread(table, "Points"),
        "Lines only guide the eye from one test set to the next.",
    )
    return style.Drawn(figure, text)


def _panel(axes: Axes, summary: pd.DataFrame, looks: dict[str, style.Style]) -> None:
    axes.grid(axis="y")
    test_sets = list(summary["test_set"].unique())
    shifts = np.linspace(-0.15, 0.15, len(looks)) if len(looks) > 1 else [0.0]  # no error bar covers another
    notes = []
    for shift, (loss, look) in zip(shifts, looks.items(), strict=True):
        line = summary[summary["loss"] == loss]
        positions = [position + shift for position in range(len(test_sets))]
        axes.errorbar(positions, line["mean"], yerr=line["sd"], elinewidth=0.7, capsize=1.5, **look.line)
        runs, expected = line["runs"].min(), line["expected"].max()
        if runs < expected:
            notes.append(f"{label(loss)}{style.runs_note(runs, expected)}")
    axes.set_xticks(range(len(test_sets)), [label(name) for name in test_sets])
    axes.set_xlim(-0.4, len(test_sets) - 0.6)
    axes.set_xlabel("\n".join(notes), color=style.GREY)
