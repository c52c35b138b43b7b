"""Loss and accuracy of one model over the epochs, on training and validation images, for every loss."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.grid import missing_runs, run_grid, select
from longtail.report.labels import label

PANELS = {
    "train_loss": "Training: the run's own loss",
    "val_loss": "Validation: the run's own loss",
    "train_acc1": "Training: top-1 accuracy (%)",
    "val_acc1": "Validation: top-1 accuracy (%)",
}


@style.look()
def draw(histories: pd.DataFrame, model: str, train_set: str) -> Figure:
    """A line per loss, the mean over seeds, with a band of one standard deviation; a panel per curve."""
    import seaborn  # takes seconds, so only the figures that use it pay for it

    runs = select(histories, model=model, train_set=train_set)
    curves = runs.dropna(subset="epoch")
    if curves.empty:
        return style.explanation(f"{label(model)}, trained on {label(train_set).lower()}: no run finished.")
    looks = style.styles(histories["loss"].unique(), style.LOSSES)
    names = [name for name in looks if name in set(runs["loss"])]
    figure = style.new_figure(4.3 + 0.15 * (len(names) // 5))
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (column, title) in zip(grid.flat, PANELS.items(), strict=True):
        accuracy = column.endswith("acc1")
        seaborn.lineplot(
            curves.assign(value=curves[column] * (100 if accuracy else 1)),
            x="epoch",
            y="value",
            hue="loss",
            style="loss",
            palette={name: looks[name].color for name in names},
            dashes={name: _dashes(looks[name]) for name in names},
            errorbar="sd",
            marker="o" if curves["epoch"].nunique() == 1 else None,  # one epoch makes no line
            legend=False,
            ax=axes,
        )
        axes.set(title=None, xlabel=None, ylabel=None)
        axes.set_title(title, loc="left")
        axes.grid(axis="y")
        if not accuracy:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(NullLocator())
    for axes in grid[1]:
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(0, 100)
    figure.suptitle(f"{label(model)}, trained on {label(train_set).lower()}", x=0.01, ha="left")
    style.legend(figure, {_entry(name, runs): looks[name] for name in names}, lines=True, markers=False)
    return figure


def caption(histories: pd.DataFrame, model: str, train_set: str) -> str:
    """What lines and bands are, and of how many runs."""
    runs = select(histories, model=model, train_set=train_set)
    several = runs["seed"].nunique() > 1
    return captions.caption(
        f"Training of {label(model)} on the {label(train_set).lower()} training set, {captions.seeds(runs)}.",
        "Lines: mean over the seeds; bands: standard deviation over the seeds."
        if several
        else "Lines: the one run.",
        "Each run's loss is its own, so its height does not compare across losses, only its course.",
        captions.missing(runs, "epoch"),
    )


def _entry(loss: str, runs: pd.DataFrame) -> str:
    own = run_grid(runs).get_level_values("loss").tolist().count(loss)
    lost = (missing_runs(runs, "epoch")["loss"] == loss).sum()
    return f"{label(loss)}{style.runs_note(own - lost, own)}"


def _dashes(look: style.Style) -> tuple:
    return "" if look.dash == "-" else look.dash[1]
