"""The images of one named set, as training and prediction read them."""

import numpy as np
import pandas as pd
import torch

from longtail.data.tensors import LabelledImages

SETS = (
    "train_balanced",
    "train_longtailed",
    "val",
    "test_balanced",
    "test_longtailed",
    "test_head",
    "test_middle",
    "test_tail",
)


def select_set(data: LabelledImages, split: pd.DataFrame, name: str) -> LabelledImages:
    """The images of the set `name`, by ascending id. All class names stay, also of classes without images.

    Args:
        data: all images of the source.
        split: table of `assign_subsets`, which suffices for the balanced sets and val, or of `add_longtail`.
        name: one of SETS. `test_head`, `test_middle` and `test_tail` divide the long-tailed test set.

    Raises:
        ValueError: unknown name, a set that needs the other table, or a table made from other images.
    """
    rows = split[_members(split, name)].sort_values("image_id")
    position_of = pd.Series(np.arange(len(data.image_ids)), index=data.image_ids.numpy())
    positions = position_of.reindex(rows["image_id"])
    if positions.isna().any():
        lacking = positions[positions.isna()].index[0]
        raise ValueError(f"the split names image {lacking}, which is not among the images. {_REMEDY}")
    chosen = torch.tensor(positions.to_numpy(np.int64))
    if not np.array_equal(data.labels[chosen].numpy(), rows["label"]):
        raise ValueError(f"the labels of the split are not those of the images. {_REMEDY}")
    return LabelledImages(data.images[chosen], data.labels[chosen], data.image_ids[chosen], data.class_names)


_REMEDY = "They come from different sources: make the split anew from these images."


def _members(split: pd.DataFrame, name: str) -> pd.Series:
    if name not in SETS:
        raise ValueError(f"there is no set {name!r}; the sets are {', '.join(SETS)}")
    subset, _, part = name.partition("_")
    members = split["subset"] == subset
    if part in ("", "balanced"):
        return members
    if "longtailed" not in split:
        raise ValueError(
            f"the set {name!r} needs the split with its column `longtailed`, not the balanced subsets"
        )
    members &= split["longtailed"]
    return members if part == "longtailed" else members & (split["group"] == part)
