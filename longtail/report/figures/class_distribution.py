"""How many images each class has in every subset."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from longtail.data.split.sets import GROUPS, TRAIN_SETS, class_table, in_set
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.labels import label

SUBSETS = {"train": "Training", "test": "Test", "val": "Validation"}
NAMED = 20  # most classes whose names fit below a panel
LETTER = 0.06  # inches of a letter of these names
BARS = 100  # at most about so many of several classes each, where there are too many for one each


@style.look()
def draw(split: pd.DataFrame, *, train_sets: Sequence[str] = TRAIN_SETS) -> style.Drawn:
    """Bars per class, coloured and counted by group: a column per subset, a row each for balanced and long-tailed.

    Of many classes, a bar is the mean of neighbours, and a light one behind it goes from the fewest to the most images.
    Of the training sets, those are shown that models are trained on.
    """
    classes = class_table(split, "longtailed").set_index("label")
    classes = classes.sort_values("n_train", ascending=False, kind="stable")
    panels = {
        (subset, kind): counts
        for (subset, kind), counts in _panels(split, classes).items()
        if subset != "train" or kind in train_sets
    }
    subsets = [name for name in SUBSETS if any(subset == name for subset, _ in panels)]
    rows = [name for name in ("balanced", "longtailed") if any(kind == name for _, kind in panels)]
    cells, width = [(subset, kind) for kind in rows for subset in subsets], len(subsets)
    if len(panels) <= len(rows) * (width - 1):  # closer together, without the sets that there are not
        cells, width = sorted(panels, key=lambda cell: subsets.index(cell[0])), width - 1
        if len(cells) < len(rows) * width:
            rows, width = rows[:1], len(cells)
    named = 0.5
    if len(classes) <= NAMED:  # below the last panel of each column, which may end early
        lasts = {place % width: place // width for place, cell in enumerate(cells) if cell in panels}
        named = max(0.9, 0.4 + len({*lasts.values()}) * LETTER * classes["class_name"].str.len().max())
    figure = style.new_figure(1.75 * len(rows) + named)
    grid = figure.subplots(len(rows), width, sharex=True, squeeze=False)
    for axes, (subset, kind) in zip(grid.flat, cells, strict=True):
        if (subset, kind) in panels:
            top = max(counts.max() for (other, _), counts in panels.items() if other == subset)
            _panel(axes, panels[subset, kind], classes, _title(subset, kind, panels), top)
        else:
            style.explain(axes, f"{SUBSETS[subset]}:\nno {label(kind).lower()} set")
    for axes in grid[:, 0]:
        axes.set_ylabel("Images")
    for column in grid.T:
        _name_classes([axes for axes in column if axes.axison][-1], classes)
    return style.Drawn(figure, _caption(panels, classes))


def _caption(panels: dict[tuple[str, str], pd.Series], classes: pd.DataFrame) -> str:
    """How many images and classes each panel shows."""
    sizes = []
    for (subset, kind), counts in panels.items():
        groups = counts.groupby(classes["group"]).sum()
        listed = ", ".join(f"{label(name).lower()} {groups[name]:,}" for name in GROUPS if name in groups)
        sizes.append(f"{_title(subset, kind, panels).lower()}: {counts.sum():,} ({listed})")
    return captions.caption(
        f"Images per class, {len(classes):,} classes in order of their long-tailed training images.",
        f"Each bar is the mean of up to {-(-len(classes) // BARS):,} neighbouring classes of one group; light: from the"
        " fewest to the most images of a class."
        if len(classes) > style.MOST_CLASSES
        else "",
        f"Images: {'; '.join(sizes)}.",
        "One data split; every training seed uses the same.",
    )


def _panels(split: pd.DataFrame, classes: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    """Images per label of every (subset, balanced or longtailed) that there is, in class order."""
    panels = {}
    for subset in SUBSETS:
        everything = split[split["subset"] == subset]
        balanced = everything[in_set(everything, "balanced")]
        longtailed = everything[everything["longtailed"]]
        if subset == "val" and "balanced" in split:
            balanced = everything
        for kind, images in (("balanced", balanced), ("longtailed", longtailed)):
            # A collection with its own long tail may have no balanced set beside it.
            if len(images) and not (kind == "balanced" and len(longtailed) == len(balanced)):
                panels[subset, kind] = images["label"].value_counts().reindex(classes.index, fill_value=0)
    return panels


def _title(subset: str, kind: str, panels: dict[tuple[str, str], pd.Series]) -> str:
    both = (subset, "balanced") in panels and (subset, "longtailed") in panels
    return f"{SUBSETS[subset]}, {label(kind).lower()}" if both else SUBSETS[subset]


def _panel(axes: Axes, counts: pd.Series, classes: pd.DataFrame, title: str, top: int) -> None:
    """Bars of one set; `top` is the most images of a class in the panels that share the axis."""
    axes.grid(axis="y")
    if len(counts) > style.MOST_CLASSES:
        _bars_of_several(axes, counts.to_numpy(), classes["group"].to_numpy())
    else:
        colors = [style.GROUPS[group].color for group in classes["group"]]
        axes.bar(np.arange(len(counts)), counts, width=0.85, color=colors)
    axes.set_xlim(-0.8, len(counts) - 0.2)
    smallest, largest = counts.min(), counts.max()
    each = f"{largest:,} per class" if largest == smallest else f"{smallest:,} to {largest:,} per class"
    axes.set_title(f"{title}\n{counts.sum():,} images, {each}", loc="left")
    axes.set_ylim(0, 1.25 * top)  # room for the names of the groups
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    for group in (name for name in GROUPS if name in set(classes["group"])):
        own = (classes["group"] == group).to_numpy()
        axes.annotate(
            f"{label(group)}\n{counts[own].sum():,}",
            (np.flatnonzero(own).mean(), 0.99),
            xycoords=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=6.5,
            bbox=style.PLATE,
        )


def _bars_of_several(axes: Axes, counts: np.ndarray, groups: np.ndarray) -> None:
    """A bar for some neighbouring classes of one group."""
    begins = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    size = -(-len(counts) // BARS)
    for begin, end in zip(begins, [*begins[1:], len(counts)], strict=True):
        edges = np.r_[np.arange(begin, end, size), end]
        several = np.split(counts[begin:end], edges[1:-1] - begin)
        mean, least, most = ([compute(own) for own in several] for compute in (np.mean, np.min, np.max))
        color = style.GROUPS[groups[begin]].color
        axes.stairs(most, edges - 0.5, baseline=least, fill=True, color=color, alpha=0.35, linewidth=0)
        axes.stairs(mean, edges - 0.5, fill=True, color=color, linewidth=0)


def _name_classes(axes: Axes, classes: pd.DataFrame) -> None:
    axes.tick_params(axis="x", labelbottom=True)
    if len(classes) <= NAMED:
        upright = classes["class_name"].str.len().max() <= 2
        axes.set_xticks(range(len(classes)), classes["class_name"], rotation=0 if upright else 90)
    else:
        axes.set_xlabel("Class, by frequency")
