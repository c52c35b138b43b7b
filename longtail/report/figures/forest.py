"""How much each loss differs from the reference, softmax as a rule, with intervals."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.grid import TEST_SETS, require, select
from longtail.report.labels import label

ROW = 0.165  # inches per loss
LEVEL = 0.05
COLUMNS = ["model", "train_set", "test_set", "loss", "reference", "difference", "low", "high", "p_holm", "n"]
COLUMNS += ["seeds", "note"]


@style.look()
def draw(differences: pd.DataFrame, model: str, train_set: str | None = None) -> style.Drawn:
    """A row of panels per training set, a panel per test set, an interval per loss.

    Args:
        differences: columns model, train_set, test_set, loss, reference, difference, low, high (fractions; the
            interval is 95 %), p_holm, n (images), seeds, note; NaN where a difference could not be computed. Where
            there was nothing to compare it is one row with only the note that says why.
    """
    require(differences, COLUMNS, "differences")
    if differences["loss"].isna().all():
        note = differences["note"].iloc[0]
        return style.explanation(f"{note[0].upper()}{note[1:]}.")
    table = select(differences, model=model, train_set=train_set)
    reference = label(table["reference"].iloc[0])
    test_sets = [name for name in TEST_SETS if name in set(table["test_set"])]
    text = _caption(table, reference, test_sets)
    if table["difference"].isna().all():
        return style.explanation(
            f"No difference to {reference}: it needs a finished run of {reference} and of another loss, on the same"
            " images.",
            text,
        )
    losses = list(table["loss"].unique())
    blocks = list(table.groupby(["train_set", "model"], sort=False))
    figure = style.new_figure(len(blocks) * max(ROW * len(losses) + 0.15, 0.75) + 0.75)
    grid = figure.subplots(len(blocks), len(test_sets), squeeze=False, sharex="col", sharey=True)
    for row, ((of_train_set, of_model), block) in zip(grid, blocks, strict=True):
        row[0].set_ylabel(f"{label(of_model)}\n{label(of_train_set).lower()}")
        for axes, test_set in zip(row, test_sets, strict=True):
            _panel(axes, block[block["test_set"] == test_set].set_index("loss").reindex(losses))
    for axes, test_set in zip(grid[0], test_sets, strict=True):
        axes.set_title(label(test_set), loc="left")
    grid[0, 0].set_yticks(range(len(losses)), [label(loss) for loss in losses])
    grid[0, 0].set_ylim(len(losses) - 0.4, -0.6)
    grid[-1, len(test_sets) // 2].set_xlabel(f"Top-1 accuracy less that of {reference} (percentage points)")
    figure.align_ylabels(grid[:, 0])
    return style.Drawn(figure, text)


def _caption(table: pd.DataFrame, reference: str, test_sets: list[str]) -> str:
    """What marks and intervals are, and of how many images; which differences are missing."""
    images = table.groupby("test_set")["n"].max().reindex(test_sets)
    absent = table[table["difference"].isna()].drop_duplicates(["model", "train_set", "loss"])
    listed = "; ".join(
        f"{label(row.model)} with {label(row.loss)}, {label(row.train_set).lower()} training set"
        for row in absent.itertuples()
    )
    return captions.caption(
        f"Differences in top-1 accuracy to {reference}, paired over test images and"
        f" {captions.span(table['seeds'])} training seed{'s' if table['seeds'].max() > 1 else ''}, one data split.",
        "Marks: difference; lines: 95 % interval; filled marks: Holm-adjusted p below 0.05.",
        f"Test images: {', '.join(f'{label(name).lower()} {count:,.0f}' for name, count in images.items())}.",
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
        axes.plot(
            difference[chosen],
            positions[chosen],
            "o",
            markerfacecolor=face,
            markeredgecolor=style.BLUE,
            markersize=3.8,
        )
    for position in positions[np.isnan(difference)]:
        axes.text(
            0.5, position, "missing", transform=axes.get_yaxis_transform(), **style.NOTE | {"ha": "center"}
        )
