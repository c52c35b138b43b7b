"""A sheet of images: a few classes of each group, in rows."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from longtail.data.tensors.files import LabelledImages
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.grid import GROUPS
from longtail.report.figures.pictures import CELL, strip
from longtail.report.labels import label, shortened


@style.look()
def draw(
    tensors: LabelledImages, split: pd.DataFrame, classes_per_group: int = 4, images_per_class: int = 12
) -> style.Drawn:
    """The first images, by id, of classes spread evenly over each group; a class with fewer leaves a gap."""
    rows = _rows(tensors, split, classes_per_group)
    groups = [name for name in GROUPS if name in set(rows["group"])]
    heights = [int((rows["group"] == name).sum()) for name in groups]
    figure = style.new_figure(CELL * sum(heights) + 0.25 * len(groups))
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        own = rows[rows["group"] == group]
        sheet = np.concatenate([_strip(tensors, class_label, images_per_class) for class_label in own.index])
        _panel(axes, sheet, own, group)
    shown = rows["count"].clip(upper=images_per_class).sum()
    text = captions.caption(
        f"{shown:,} of {len(tensors.labels):,} images, from {len(rows)} of {len(tensors.class_names)} classes:"
        f" up to {images_per_class} of each, the first by image id. In brackets how many the class has.",
        "One data split; every training seed uses the same.",
    )
    return style.Drawn(figure, text)


def _rows(tensors: LabelledImages, split: pd.DataFrame, classes_per_group: int) -> pd.DataFrame:
    """class_name, group and count of the classes to show, by label."""
    groups = split.drop_duplicates("label").set_index("label")["group"]
    counts = np.bincount(tensors.labels.numpy(), minlength=len(tensors.class_names))
    table = pd.DataFrame({"class_name": tensors.class_names, "count": counts})
    table["group"] = groups.reindex(table.index)
    chosen = []
    for group in GROUPS:
        own = table[table["group"] == group].sort_values("count", ascending=False, kind="stable")
        places = np.linspace(0, len(own) - 1, min(classes_per_group, len(own))).round().astype(int)
        chosen.append(own.iloc[places])
    return pd.concat(chosen)


def _strip(tensors: LabelledImages, class_label: int, length: int) -> np.ndarray:
    """The first images of one class, by id."""
    positions = (tensors.labels == class_label).nonzero()[:, 0]
    return strip(tensors.images, positions[tensors.image_ids[positions].argsort()], length)


def _panel(axes: Axes, sheet: np.ndarray, rows: pd.DataFrame, group: str) -> None:
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title(label(group), loc="left", color=style.GROUPS[group].color, weight="bold")
    height = sheet.shape[0] / len(rows)
    names = [f"{shortened(row.class_name, 24)} ({row.count:,})" for row in rows.itertuples(name="Row")]
    axes.set_yticks([height * (place + 0.46) for place in range(len(rows))], names)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
