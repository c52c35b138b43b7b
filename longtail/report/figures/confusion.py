"""Which classes are taken for which, with the whole name of each."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from longtail.analysis.classes import confused, confusion
from longtail.analysis.grid import select
from longtail.data.split.sets import class_table
from longtail.files.text import width
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.labels import shortened, trained

SHOWN = 60
"""So many classes are drawn where there are too many for one figure: those of the pairs that are confused most."""
LONGEST = 60
"""Letters of a name. Longer ones are cut, and the caption says so."""
CELL = 0.125
"""Inches for a class, which its name in FONT_SIZE needs."""
FONT_SIZE = 6.5
LETTER = 0.056
"""Inches of an average letter of that size."""
LEAST = 3.0
"""Inches of the sides of a matrix of few classes."""
LINE = 0.14
"""Inches of a line in the list of pairs."""
LISTED_FROM = 1.25
"""Inches from the left where the names of a pair begin."""
GAP = 0.12
"""Inches between how often a pair was confused and its names."""


class Shown(NamedTuple):
    """What is drawn: the counts of the classes that are shown, and their names and groups."""

    counts: pd.DataFrame
    totals: np.ndarray
    """Predictions for images of each class that is shown, those for classes that are not shown included."""
    names: list[str]
    groups: np.ndarray
    pairs: pd.DataFrame
    of: int
    """How many classes there are."""


@style.look()
def draw(
    predictions: pd.DataFrame, split: pd.DataFrame, model: str, train_set: str, loss: str, pairs: int = 15
) -> style.Drawn:
    """The share of each class's test images by predicted class, over all seeds, and the most confused pairs.

    The figure grows with the number of classes and the length of their names, so that all can be read. The pairs stand
    beside the matrix where both fit into the width of a page, and else below it.
    """
    runs = select(predictions, model=model, train_set=train_set, loss=loss)
    title = trained(model, train_set, loss)
    if runs["predicted"].isna().all():
        text = _caption(runs, split, captions.training(model, train_set, loss))
        return style.explanation(f"{title}: missing, no run finished.", text)
    classes = class_table(split, train_set).set_index("label")
    shown = _chosen(runs, classes.sort_values("n_train", ascending=False, kind="stable"), pairs)
    names = LETTER * max(map(width, shown.names))
    side, lines = max(LEAST, CELL * len(shown.names)), LINE * (len(shown.pairs) + 1.5)
    left, below = names + 0.5, names + 0.5
    drawn, listed = left + side + 0.9, LISTED_FROM + 2 * names + 0.5
    beside = drawn + listed <= style.TEXT_WIDTH
    below += 0 if beside else lines
    inches = max(style.TEXT_WIDTH, drawn, listed), below + side + 0.4
    figure = style.new_figure(inches[1], inches[0], title)
    figure.set_layout_engine("none")

    def place(x: float, y: float, wide: float, high: float) -> Axes:
        """Axes at these inches from the lower left corner, so that room for names is where names are."""
        return figure.add_axes((x / inches[0], y / inches[1], wide / inches[0], high / inches[1]))

    _matrix(
        place(left, below, side, side), place(left + side + 0.15, below + 0.4 * side, 0.12, 0.6 * side), shown
    )
    if beside:
        _listing(place(drawn, below + side - lines, listed, lines), shown, listed)
    else:
        _listing(place(0, 0.05, inches[0], lines), shown, inches[0])
    text = _caption(runs, split, captions.training(model, train_set, loss), shown, beside)
    return style.Drawn(figure, text)


def _caption(
    runs: pd.DataFrame, split: pd.DataFrame, training: str, shown: Shown | None = None, beside: bool = False
) -> str:
    """What the cells are, and of how many images, classes and runs."""
    images = runs.drop_duplicates(["image_id", "label"]).dropna()
    per_class, dependent = images["label"].value_counts(), captions.dependent_of(images["image_id"], split)
    chosen = cut = ""
    if shown and shown.of > len(shown.names):
        chosen = (
            f" Of {shown.of:,} classes the {len(shown.names)} of the pairs that are confused most, by the share of the"
            " images of the true class."
        )
    if shown and any(name.endswith("…") for name in shown.names):
        cut = f" Names of more than {LONGEST} letters are cut."
    return captions.caption(
        f"Confusion of {training}, {captions.seeds(runs)}.",
        "Cells: share of the test images of a class (row) by predicted class (column), all seeds together; the"
        f" colour scale is that of the square root. Classes by their training images, the most frequent first.{chosen}"
        f"{cut} {'Right' if beside else 'Below'}: the most frequent confusions.",
        f"Test images: {per_class.sum():,}, {captions.span(per_class)} per class.{dependent}"
        if len(per_class)
        else "",
        captions.missing(runs, "predicted"),
    )


def _chosen(runs: pd.DataFrame, classes: pd.DataFrame, pairs: int) -> Shown:
    """The classes that are drawn, in their order: all, or those of the pairs that are confused most."""
    counts = confusion(runs, classes["class_name"])
    totals = counts.sum(axis=1).to_numpy()
    worst, kept = confused(counts), np.arange(len(counts))
    if len(counts) > style.MOST_CLASSES:
        by_pairs = pd.unique(np.r_[worst[["label", "predicted"]].to_numpy().ravel(), counts.index])
        kept = np.sort(counts.index.get_indexer(by_pairs[:SHOWN]))
    own = classes.iloc[kept]
    first = worst.head(pairs)
    named = {name: first[name].map(classes["class_name"]) for name in ("label", "predicted")}
    return Shown(
        counts.iloc[kept, kept],
        totals[kept],
        [shortened(name, LONGEST) for name in own["class_name"]],
        own["group"].to_numpy(),
        first.assign(**named),
        len(counts),
    )


def _matrix(axes: Axes, scale: Axes, shown: Shown) -> None:
    with np.errstate(invalid="ignore"):
        shares = 100 * shown.counts.to_numpy() / shown.totals[:, None]
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
    bar = axes.figure.colorbar(image, cax=scale, ticks=[0, 1, 5, 10, 25, 50, 100])
    bar.set_label("Share of the class's images (%)")
    bar.outline.set_linewidth(0.6)
    for end in np.flatnonzero(shown.groups[1:] != shown.groups[:-1]) + 0.5:
        axes.axhline(end, color="0.4", linewidth=0.5)
        axes.axvline(end, color="0.4", linewidth=0.5)
    axes.set(xlabel="Predicted class", ylabel="True class")
    upright = max(map(width, shown.names)) <= 2
    places = range(len(shown.names))
    axes.set_xticks(places, shown.names, rotation=0 if upright else 90, fontsize=FONT_SIZE)
    axes.set_yticks(places, shown.names, fontsize=FONT_SIZE)
    axes.tick_params(length=0)


def _listing(axes: Axes, shown: Shown, inches: float) -> None:
    """The pairs, one in a line, on axes of this width."""
    axes.set_axis_off()
    names, lines = LISTED_FROM / inches, len(shown.pairs) + 1.5
    title = "Most confused: true as predicted" if len(shown.pairs) else "No image was confused"
    axes.text(0.01, 1 - 0.5 / lines, title, va="center")
    for place, pair in enumerate(shown.pairs.itertuples(), start=1):
        height = 1 - (place + 0.5) / lines
        share = f"{100 * pair.share:.0f} %, {pair.times:,} of {pair.of:,}"
        axes.text(names - GAP / inches, height, share, ha="right", va="center", fontsize=FONT_SIZE)
        names_of_pair = f"{shortened(pair.label, LONGEST)} as {shortened(pair.predicted, LONGEST)}"
        axes.text(names, height, names_of_pair, va="center", fontsize=FONT_SIZE)
