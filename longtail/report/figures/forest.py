"""How much each loss differs from the reference, softmax as a rule, with intervals."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from longtail.analysis.grid import select
from longtail.data.split.sets import TEST_SETS
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.labels import label

ROW = 0.165  # inches per loss
LEVEL = 0.05


@style.look()
def draw(differences: pd.DataFrame, model: str, train_set: str) -> style.Drawn:
    """A panel per test set, an interval per loss.

    Args:
        differences: columns model, train_set, test_set, loss, reference, difference, low, high (fractions; the
            interval is 95 %), p_holm, n (images), seeds, note; NaN where a difference could not be computed. Where
            there was nothing to compare it is one row with only the note that says why.
    """
    if differences["loss"].isna().all():
        note = differences["note"].iloc[0]
        return style.explanation(f"{note[0].upper()}{note[1:]}.")
    table = select(differences, model=model, train_set=train_set)
    reference = label(table["reference"].iloc[0])
    text = _caption(table, reference)
    if table["difference"].isna().all():
        needed = f"it needs a finished run of {reference} and of another loss, on the same images"
        return style.explanation(f"No difference to {reference}: {needed}.", text)
    losses = list(table["loss"].unique())
    test_sets = [name for name in TEST_SETS if name in set(table["test_set"])]
    figure = style.new_figure(max(ROW * len(losses) + 0.15, 0.75) + 0.75)
    panels = figure.subplots(1, len(test_sets), squeeze=False, sharey=True)[0]
    for axes, test_set in zip(panels, test_sets, strict=True):
        axes.set_title(label(test_set), loc="left")
        _panel(axes, table[table["test_set"] == test_set].set_index("loss").reindex(losses))
    panels[0].set_ylabel(f"{label(model)}\n{label(train_set).lower()}")
    panels[0].set_yticks(range(len(losses)), [label(loss) for loss in losses])
    panels[0].set_ylim(len(losses) - 0.4, -0.6)
    panels[len(test_sets) // 2].set_xlabel(f"Top-1 accuracy less that of {reference} (percentage points)")
    return style.Drawn(figure, text)


def _caption(table: pd.DataFrame, reference: str) -> str:
    """What marks and intervals are, and of how many images; which differences are missing."""
    absent = table[table["difference"].isna()].drop_duplicates(["model", "train_set", "loss"])
    listed = "; ".join(
        f"{label(row.model)} with {label(row.loss)}, {label(row.train_set).lower()} training set"
        for row in absent.itertuples()
    )
    return captions.caption(
        f"Differences in top-1 accuracy to {reference}, paired over test images and"
        f" {captions.span(table['seeds'])} training seed{'s' if table['seeds'].max() > 1 else ''}, one data split.",
        "Marks: difference; lines: 95 % interval; filled marks: Holm-adjusted p below 0.05.",
        captions.test_images(table),
        f"Missing: {listed}." if listed else "",
    )


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color="0.3", linewidth=0.8)
    positions = np.arange(len(table))
    difference, low, high = (100 * table[name].to_numpy(float) for name in ("difference", "low", "high"))
    axes.hlines(positions, low, high, color=style.BLUE, linewidth=1)
    sure = (table["p_holm"] < LEVEL).to_numpy()
    for chosen, face in ((sure, style.BLUE), (~sure, "white")):
        look: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": style.BLUE, "markersize": 3.8}
        axes.plot(difference[chosen], positions[chosen], "o", **look)
    note = style.NOTE | {"ha": "center", "transform": axes.get_yaxis_transform()}
    for position in positions[np.isnan(difference)]:
        axes.text(0.5, position, "missing", **note)
