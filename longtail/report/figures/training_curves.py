"""Loss and accuracy of one model over the epochs, on training and validation images, for every loss."""

import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from longtail.analysis.grid import select
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.labels import trained

PANELS = {
    "train_loss": "Training: the run's own loss",
    "val_loss": "Validation: the run's own loss",
    "train_acc1": "Training: top-1 accuracy (%)",
    "val_acc1": "Validation: top-1 accuracy (%)",
}


@style.look()
def draw(histories: pd.DataFrame, model: str, train_set: str) -> style.Drawn:
    """A line per loss, the mean over seeds, with a band of one standard deviation; a panel per curve."""
    import seaborn  # takes seconds, so only the figures that use it pay for it

    runs = select(histories, model=model, train_set=train_set)
    title, text = trained(model, train_set), _caption(runs, captions.training(model, train_set))
    curves = runs.dropna(subset="epoch")
    if curves.empty:
        return style.explanation(f"{title}: no run finished.", text)
    looks = style.styles(histories["loss"].unique(), style.LOSSES)
    names = [name for name in looks if name in set(runs["loss"])]
    figure = style.new_figure(4.3 + 0.15 * (len(names) // 5), title=title)
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (column, heading) in zip(grid.flat, PANELS.items(), strict=True):
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
        axes.set_title(heading, loc="left")
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
    entries = {style.name_runs(name, runs, "epoch"): looks[name] for name in names}
    style.legend(figure, entries, lines=True, markers=False)
    return style.Drawn(figure, text)


def _caption(runs: pd.DataFrame, training: str) -> str:
    """What lines and bands are, and of how many runs."""
    return captions.caption(
        f"Training of {training}, {captions.seeds(runs)}.",
        "Lines: mean over the seeds; bands: standard deviation over the seeds."
        if runs["seed"].nunique() > 1
        else "Lines: the one run.",
        "Each run's loss is its own, so its height does not compare across losses, only its course.",
        captions.missing(runs, "epoch"),
    )


def _dashes(look: style.Style) -> str | tuple:
    return look.dash[1] if isinstance(look.dash, tuple) else ""
