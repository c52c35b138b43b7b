"""Time, speed and memory of the training runs."""

import numpy as np
import pandas as pd

from longtail.analysis.grid import Grid, select, without
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.labels import label

ROW = 0.4  # inches per model and training set
PANELS = {"time": "Training time", "images_per_second": "Images/s", "memory": "Peak memory (GiB)"}


@style.look()
def draw(records: pd.DataFrame, model: str | None = None, train_set: str | None = None) -> style.Drawn:
    """A dot per run, by loss; a row per model and training set, a panel per quantity."""
    runs = select(records, model=model, train_set=train_set)
    text = _caption(runs)
    if runs["seconds"].isna().all():
        return style.explanation("No run has finished, so there is no time or memory to show.", text)
    looks = style.styles(records["loss"].unique(), style.LOSSES)
    looks = {name: look for name, look in looks.items() if name in set(runs["loss"])}
    rows = list(runs.groupby(["model", "train_set"], sort=False))
    unit, seconds = _unit(runs["seconds"].max())
    shown = runs.assign(time=runs["seconds"] / seconds, memory=runs["peak_memory_mb"] / 1024)
    places = {cell: place for place, (cell, _) in enumerate(rows)}
    shifts = dict(zip(looks, np.linspace(-0.3, 0.3, len(looks)) if len(looks) > 1 else [0.0], strict=True))
    height = [places[cell] for cell in zip(shown["model"], shown["train_set"], strict=True)]
    shown = shown.assign(height=height + shown["loss"].map(shifts))
    figure = style.new_figure(ROW * len(rows) + 0.95 + 0.15 * (len(looks) // 5))
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (column, title) in zip(panels, PANELS.items(), strict=True):
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        for loss, look in looks.items():
            own = shown[shown["loss"] == loss]
            axes.plot(own[column], own["height"], linestyle="", **look.point | {"markersize": 3.2})
        axes.set_xlim(0, 1.08 * shown[column].max())
        axes.set_title(f"{title} ({unit})" if column == "time" else title, loc="left")
    panels[0].set_yticks(range(len(rows)), [_row_label(cell, own) for cell, own in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    style.legend(figure, {label(name): look for name, look in looks.items()})
    return style.Drawn(figure, text)


def _caption(runs: pd.DataFrame) -> str:
    """How many runs are shown, on which devices, and the time of all."""
    finished = runs.dropna(subset="seconds")
    devices = ", ".join(sorted(finished["device"].unique()))
    unit, seconds = _unit(finished["seconds"].sum())
    return captions.caption(
        f"Cost of {len(finished)} training run{'s' if len(finished) != 1 else ''}, {captions.seeds(runs)};"
        f" {finished['seconds'].sum() / seconds:,.1f} {unit} in all, on {devices or 'no device'}.",
        "Dots: runs. Time is that of training and validation; images per second are the median over the epochs"
        " of training alone; memory is the GPU's, or the process's on a CPU.",
        captions.missing(runs, "seconds"),
    )


def _row_label(cell: tuple[str, str], runs: pd.DataFrame) -> str:
    expected, lost = len(Grid.of(runs).runs), len(without(runs, "seconds"))
    return f"{label(cell[0])}\n{label(cell[1]).lower()}{style.runs_note(expected - lost, expected)}"


def _unit(seconds: float) -> tuple[str, int]:
    """The largest unit that the time exceeds twice, and its seconds."""
    return next((unit for unit in (("h", 3600), ("min", 60)) if seconds > 2 * unit[1]), ("s", 1))
