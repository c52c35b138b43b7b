"""The images of one named set, as training and prediction read them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from longtail.data.split.sets import GROUPS, SUBSETS, groups_of, in_set
from longtail.data.tensors.files import LabelledImages, mapped
from longtail.data.tensors.shards import ShardedImages

LARGE = 2**30
"""Bytes of images beyond which a file takes the place of memory."""
LEAST_BALANCED = 2
"""Training images of every class that a balanced set cut from natural counts needs."""


def select_set(
    data: LabelledImages, split: pd.DataFrame, name: str, scratch: Path | None = None
) -> LabelledImages:
    """The images of the set `name`, by ascending id. All class names stay, also of classes without images.

    Where a split leaves nothing to validate, `val` is the balanced test set. It shows how training goes, and
    `select: last` keeps it from choosing anything.

    Args:
        data: all images of the source.
        split: the table of `add_longtail`, or of `natural_split`, whose classes take the place of those that they
            were made of; with `group` for the sets of the groups. That of `assign_subsets` suffices for the balanced
            sets and val.
        name: one of `SUBSETS`. Those of the groups, such as `test_tail`, divide the long-tailed test set.
        scratch: folder for a temporary file that takes the place of memory for more than 1 GiB of images.

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
    labels, class_names = data.labels[chosen], data.class_names
    if "balanced" in split:
        labels, class_names = _renamed(labels, rows, split) or (labels, class_names)
    if not np.array_equal(labels.numpy(), rows["label"]):
        raise ValueError(f"the labels of the split are not those of the images. {_REMEDY}")
    images = _gathered(data.images, chosen, scratch)
    return LabelledImages(images, labels, data.image_ids[chosen], class_names)


def _renamed(
    labels: torch.Tensor, rows: pd.DataFrame, split: pd.DataFrame
) -> tuple[torch.Tensor, list[str]] | None:
    """The labels and class names of images after classes were renamed, merged or left out; None: they do not fit.

    They fit where every class of the images has become one class of the split.
    """
    became = pd.DataFrame({"old": labels.numpy(), "new": rows["label"].to_numpy()}).drop_duplicates()
    if became["old"].duplicated().any():
        return None
    names = split.drop_duplicates("label").sort_values("label")["class_name"].tolist()
    return torch.tensor(rows["label"].to_numpy(np.int64)), names


def _gathered(
    images: torch.Tensor | ShardedImages, chosen: torch.Tensor, scratch: Path | None
) -> torch.Tensor:
    """The chosen images. If they may be too many for the memory, they lie in a file that disappears with the tensor."""
    if scratch is None or len(chosen) * math.prod(images.shape[1:]) < LARGE:
        return images[chosen]
    return mapped((images[part].numpy() for part in chosen.split(4096)), images.shape[1:], scratch)


_REMEDY = "They come from different sources: make the split anew from these images."


def _members(split: pd.DataFrame, name: str) -> pd.Series:
    if name not in SUBSETS:
        raise ValueError(f"there is no set {name!r}; the sets are {', '.join(SUBSETS)}")
    subset, _, part = name.partition("_")
    members = split["subset"] == subset
    if name == "val" and not members.any():
        return split["subset"] == "test"
    if not part:
        return members
    if "longtailed" not in split:
        if part == "balanced":
            return members
        raise ValueError(
            f"the set {name!r} needs the split with its column `longtailed`, not the balanced subsets"
        )
    if part in GROUPS:
        there = groups_of(split["group"]) if "group" in split else ()
        if part not in there:
            raise ValueError(
                f"the set {name!r} needs a split with its group; this one has {', '.join(there) or 'no groups'} "
                "(data.groups)"
            )
    members = members & in_set(split, part)
    if name == "train_balanced" and "balanced" in split:
        _check_balanced(split[split["subset"] == subset])
    return members


def _check_balanced(training: pd.DataFrame) -> None:
    counts = training["class_name"].value_counts()
    if counts.min() < LEAST_BALANCED:
        raise ValueError(
            f"there is no balanced training set: every class would be cut to the {counts.min()} training images of "
            f"{counts.idxmin()!r}; at least {LEAST_BALANCED} are needed. Set grid.train_sets: [longtailed], or "
            "data.image_folder.small_classes: merge"
        )
