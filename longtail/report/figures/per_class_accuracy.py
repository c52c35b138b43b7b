"""Accuracy of every class against its number of training images, for every loss of one model."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from longtail.analysis.grid import select
from longtail.report import captions
from longtail.report.captions import CLUSTERS
from longtail.report.figures import style
from longtail.report.figures.panels import label_axes
from longtail.report.labels import label, trained

COLUMNS = 4
REFERENCE = "softmax"
BANDWIDTH = 1 / 8  # of the range of frequencies, of the smoothing kernel
RESAMPLES = 1000
DOTS = 30  # at most, of several classes each, where there are too many for one each


@style.look()
def draw(per_class: pd.DataFrame, model: str, train_set: str) -> style.Drawn:
    """A panel per loss: a dot per class, its mean over the seeds, and a smooth curve with a bootstrap band.

    Of many classes, a dot is the mean of those with similar numbers of training images.
    """
    runs = select(per_class, model=model, train_set=train_set)
    title, text = trained(model, train_set), _caption(runs, captions.training(model, train_set))
    if runs["acc"].isna().all():
        return style.explanation(f"{title}: no run finished.", text)
    looks = style.styles(per_class["loss"].unique(), style.LOSSES)
    losses = list(runs["loss"].unique())
    columns = min(COLUMNS, len(losses))
    rows = -(-len(losses) // columns)
    figure = style.new_figure(rows * (1.75 if columns > 2 else 2.4) + 0.4, title=title)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    ranked = runs["n_train"].nunique() == 1
    reference = _curve(runs[runs["loss"] == REFERENCE], ranked)
    for axes, loss in zip(grid.flat, losses, strict=False):
        axes.set_title(style.name_runs(loss, runs, "acc"), loc="left")
        _panel(axes, runs[runs["loss"] == loss], looks[loss], ranked)
        if reference is not None and loss != REFERENCE and axes.lines:
            axes.plot(*reference[:2], color="0.6", linewidth=0.9, linestyle=style.DASHED)
    _scales(grid, len(losses), runs, ranked)
    return style.Drawn(figure, text)


def _caption(runs: pd.DataFrame, training: str) -> str:
    """What dots, curve and band are, and of how many classes, runs and images."""
    classes = runs.drop_duplicates("label")
    each = "on average over the seeds" if runs["seed"].nunique() > 1 else "in the one run"
    grouped = CLUSTERS in classes and (classes[CLUSTERS] < classes["n_test"]).any()
    reference = REFERENCE in set(runs["loss"]) and runs["loss"].nunique() > 1
    dots = f"Dots: classes, {each}"
    if len(classes) > style.MOST_CLASSES:
        alike = (
            "neighbouring classes"
            if runs["n_train"].nunique() == 1
            else "classes with similar numbers of training images"
        )
        dots = f"Dots: means of {alike}, {each}; upright lines: the middle half of these"
    return captions.caption(
        f"Accuracy of each of {len(classes):,} classes for {training}, {captions.seeds(runs)}.",
        f"{dots}; line: the mean of the classes, smoothed over neighbours; band: its 95 %"
        " bootstrap interval over the classes."
        + (f" Grey dashed line: {label(REFERENCE)}." if reference else ""),
        f"Test images: {classes['n_test'].sum():,.0f}, {captions.span(classes['n_test'])} per class."
        + (captions.dependent(f"{captions.span(classes[CLUSTERS])} per class") if grouped else ""),
        f"Every class has {classes['n_train'].iloc[0]:,.0f} training images, so the classes stand in label order."
        if runs["n_train"].nunique() == 1
        else "",
        captions.missing(runs, "acc"),
    )


def _points(runs: pd.DataFrame, ranked: bool) -> tuple[np.ndarray, np.ndarray]:
    """Training images (or rank) and accuracy in percent of the classes that were tested, mean over seeds."""
    classes = runs.groupby("label", as_index=False)[["n_train", "acc"]].mean().dropna()
    across = classes["label"].rank() if ranked else classes["n_train"].clip(lower=1)
    return across.to_numpy(float), 100 * classes["acc"].to_numpy(float)


def _curve(runs: pd.DataFrame, ranked: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Smooth mean and the 95 % interval of it over resampled classes: places, mean, low, high."""
    across, accuracy = _points(runs, ranked)
    if len(across) < 3:
        return None
    position = across if ranked else np.log(across)
    places = np.linspace(position.min(), position.max(), 80)
    width = BANDWIDTH * np.ptp(position)
    weights = np.exp(-0.5 * ((places[:, None] - position) / width) ** 2)
    # A resample draws each class some number of times, so a bootstrap only has to give the classes other weights.
    draws = np.random.default_rng(0).multinomial(
        len(across), np.full(len(across), 1 / len(across)), RESAMPLES
    )
    totals = weights @ draws.T
    smooth = np.divide(
        (weights * accuracy) @ draws.T, totals, out=np.full(totals.shape, np.nan), where=totals > 0
    )
    low, high = np.nanpercentile(smooth, [2.5, 97.5], axis=1)
    mean = (weights @ accuracy) / weights.sum(axis=1)
    return (places if ranked else np.exp(places)), mean, low, high


def _panel(axes: Axes, runs: pd.DataFrame, look: style.Style, ranked: bool) -> None:
    axes.grid(axis="y")
    across, accuracy = _points(runs, ranked)
    if not len(across):
        axes.text(0.5, 0.5, "no run finished", transform=axes.transAxes, ha="center", color=style.GREY)
        return
    dots: dict[str, Any] = {"alpha": 0.55, "markersize": 3.5}
    if len(across) > style.MOST_CLASSES:
        position = across if ranked else np.log(across)
        classes = pd.DataFrame({"position": position, "accuracy": accuracy})
        alike = classes.groupby(pd.qcut(across, DOTS, labels=False, duplicates="drop"))
        places, accuracy = alike["position"].mean().to_numpy(), alike["accuracy"].mean().to_numpy()
        across = places if ranked else np.exp(places)
        low, high = (alike["accuracy"].quantile(share) for share in (0.25, 0.75))
        axes.vlines(across, low, high, color=look.color, alpha=0.3, linewidth=0.8)
        dots = {"markersize": 5}
    axes.plot(across, accuracy, ".", color=look.color, markeredgewidth=0, clip_on=False, **dots)
    if (curve := _curve(runs, ranked)) is not None:
        places, mean, low, high = curve
        axes.plot(places, mean, color=look.color)
        axes.fill_between(places, low, high, color=look.color, alpha=0.25, linewidth=0)


def _scales(grid: np.ndarray, used: int, runs: pd.DataFrame, ranked: bool) -> None:
    for axes in grid.flat[used:]:
        axes.set_axis_off()
    grid[0, 0].set_ylim(0, 100)
    if not ranked:
        grid[0, 0].set_xscale("log")
        grid[0, 0].xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        grid[0, 0].xaxis.set_major_formatter("{x:g}")
        grid[0, 0].xaxis.set_minor_locator(NullLocator())
    label_axes(grid, "Class, in label order" if ranked else "Training images", "Accuracy (%)")
