"""Which classes are taken for which, in order of their frequency."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from longtail.analysis.grid import require, select
from longtail.data.split.sets import GROUPS, class_table
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.labels import label, shortened, trained

NAMED = 20  # most classes whose names fit beside the matrix
LONGEST = 18  # characters of a class name in the list of pairs


@style.look()
def draw(
    predictions: pd.DataFrame, split: pd.DataFrame, model: str, train_set: str, loss: str, pairs: int = 15
) -> style.Drawn:
    """The share of each class's test images by predicted class, over all seeds, beside the most confused pairs."""
    runs = select(predictions, model=model, train_set=train_set, loss=loss)
    title, text = (
        trained(model, train_set, loss),
        _caption(runs, split, captions.training(model, train_set, loss)),
    )
    if runs["predicted"].isna().all():
        return style.explanation(f"{title}: missing, no run finished.", text)
    require(split, ["label", "class_name", "subset", "longtailed", "group"], "split")
    classes = class_table(split, train_set).set_index("label")
    classes = classes.sort_values("n_train", ascending=False, kind="stable")
    shares = _shares(runs, classes)
    figure = style.new_figure(4.0)
    matrix, listing = figure.subplots(1, 2, width_ratios=[2.1, 1])
    _matrix(figure, matrix, shares, classes)
    _listing(listing, shares, pairs)
    figure.suptitle(title, x=0.01, ha="left")
    return style.Drawn(figure, text)


def _caption(runs: pd.DataFrame, split: pd.DataFrame, training: str) -> str:
    """What the cells are, and of how many images, classes and runs."""
    images = runs.drop_duplicates(["image_id", "label"]).dropna()
    per_class, dependent = images["label"].value_counts(), captions.dependent_of(images["image_id"], split)
    return captions.caption(
        f"Confusion of {training}, {captions.seeds(runs)}.",
        "Cells: share of the test images of a class (row) by predicted class (column), all seeds together; the"
        " colour scale is that of the square root. Classes by their training images, the most frequent first."
        " Right: the most frequent confusions.",
        f"Test images: {per_class.sum():,}, {captions.span(per_class)} per class.{dependent}"
        if len(per_class)
        else "",
        captions.missing(runs, "predicted"),
    )


def _shares(runs: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Share of each class's images (row) by predicted class (column), by class name; NaN without images."""
    done = runs.dropna(subset="predicted")
    counts = pd.crosstab(done["label"].astype(int), done["predicted"].astype(int))
    counts = counts.reindex(index=classes.index, columns=classes.index, fill_value=0)
    shares = counts.div(counts.sum(axis=1).replace(0, np.nan), axis=0)
    return shares.set_axis(classes["class_name"], axis=0).set_axis(classes["class_name"], axis=1)


def _matrix(figure: Figure, axes: Axes, shares: pd.DataFrame, classes: pd.DataFrame) -> None:
    image = axes.imshow(100 * shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, ticks=[0, 1, 5, 10, 25, 50, 100])
    bar.set_label("Share of the class's images (%)")
    bar.outline.set_linewidth(0.6)
    ends = np.flatnonzero(classes["group"].to_numpy()[1:] != classes["group"].to_numpy()[:-1]) + 0.5
    for end in ends:
        axes.axhline(end, color="0.4", linewidth=0.5)
        axes.axvline(end, color="0.4", linewidth=0.5)
    axes.set(xlabel="Predicted class", ylabel="True class")
    if len(classes) <= NAMED:
        upright = classes["class_name"].str.len().max() <= 2
        axes.set_xticks(range(len(classes)), classes["class_name"], rotation=0 if upright else 90)
        axes.set_yticks(range(len(classes)), classes["class_name"])
    else:
        groups = [name for name in GROUPS if name in set(classes["group"])]
        middles = [np.flatnonzero(classes["group"] == name).mean() for name in groups]
        axes.set_xticks(middles, [label(name) for name in groups])
        axes.set_yticks(middles, [label(name) for name in groups], rotation=90, va="center")
    axes.tick_params(length=0)


def _listing(axes: Axes, shares: pd.DataFrame, pairs: int) -> None:
    axes.set_axis_off()
    # Labels of both axes have the same name, which stack() refuses.
    off_diagonal = shares.mask(np.eye(len(shares), dtype=bool)).rename_axis(index="true", columns="predicted")
    worst = off_diagonal.stack().sort_values(ascending=False, kind="stable").head(pairs)
    worst = worst[worst > 0]
    axes.set_title("Most confused: true as predicted" if len(worst) else "No image was confused", loc="left")
    for place, ((true, predicted), share) in enumerate(worst.items()):
        height = 0.97 - place / max(pairs, 15)
        axes.text(0.13, height, f"{100 * share:.0f} %", ha="right", va="top", fontsize=6.5)
        names = f"{shortened(true, LONGEST)} as {shortened(predicted, LONGEST)}"
        axes.text(0.18, height, names, va="top", fontsize=6.5)
