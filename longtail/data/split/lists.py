"""The split, and with it the class counts, of a data set that published lists of images describe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from longtail.data.lists.published import read_lists
from longtail.data.split.classes import check_left, class_mapping
from longtail.data.split.natural import balanced_part


def split_of_lists(
    lists: Mapping[str, str | Path],
    *,
    class_names: str | Path | None = None,
    classes: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """The split that published lists describe, such as those of ImageNet-LT.

    Args:
        lists: the file of each subset; "train", and any of "val" and "test".
        class_names: a file with the name of each class in a line, in label order. With None, labels are names.
        classes: the rules of `class_mapping`, and `min_images`; None: the classes stay as they are. Merged classes
            stand where the first of them stood.
        seed: chooses the images of the balanced sets, which have as many of each class as the smallest has. With
            None, as for lists without images, only a subset of equal classes is balanced.

    Returns:
        One row per image, with the columns of `natural_split`; the ids count the images of all lists, also of classes
        that are left out. All that the lists of train and test hold is the long-tailed set.

    Raises:
        FileNotFoundError, ValueError: as `read_lists`; or with a seed, a class has no training image.
    """
    listed = read_lists(lists, class_names)
    names, subsets = listed.class_names, np.array(listed.subsets)
    labels = np.array(listed.labels, dtype=np.int64)
    ids = np.arange(len(labels))
    if any((classes or {}).values()):
        names, labels = _chosen(names, labels, classes or {})
        kept = labels >= 0
        ids, labels, subsets = ids[kept], labels[kept], subsets[kept]
    split = pd.DataFrame(
        {"image_id": ids, "label": labels, "class_name": np.array(names, dtype=object)[labels]}
    )
    split = split.assign(subset=subsets, longtailed=subsets != "val", balanced=False)
    if seed is not None:
        if untrained := sorted(set(range(len(names))) - set(labels[subsets == "train"].tolist())):
            raise ValueError(
                f"{lists['train']} has no image of {len(untrained)} classes of the other lists, such as "
                f"{names[untrained[0]]!r}, so nothing could learn them; give lists that belong together"
            )
        return split.assign(balanced=balanced_part(split, seed))
    for subset in set(listed.subsets) - {"val"}:
        counts = np.bincount(labels[subsets == subset], minlength=len(names))
        if counts.any() and counts[counts > 0].min() == counts.max():
            split.loc[subsets == subset, "balanced"] = True
    return split


def _chosen(names: list[str], labels: np.ndarray, rules: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """The names of the classes that the rules leave, and the new label of each image, or -1 where there is none."""
    mapping = class_mapping(names, rules)
    new = [mapping[name] for name in names]
    sizes: dict[str | None, int] = dict.fromkeys(new, 0)
    for label, count in enumerate(np.bincount(labels, minlength=len(names)).tolist()):
        sizes[new[label]] += count
    least = rules.get("min_images") or 0
    left = [name for name, size in sizes.items() if name is not None and size >= least]
    check_left(len(left), len(sizes), least)
    place: dict[str | None, int] = {name: label for label, name in enumerate(left)}
    return left, np.array([place.get(name, -1) for name in new])[labels]
