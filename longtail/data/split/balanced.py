"""Divide a source into training, test and validation images, with equally many of every class to train and test."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from longtail.data.tensors.files import LabelledImages
from longtail.machine.randomness import derive_seed


def assign_subsets(
    data: LabelledImages, *, train_per_class: int, test_per_class: int | None, seed: int
) -> pd.DataFrame:
    """Draw the same number of training and of test images from every class; others validate.

    Where the source has an official test set, that set validates, as in the thesis. Training and test images are then
    drawn from the other images, and those that neither draw takes are left out. Where the source has none, the
    images that neither draw takes validate.

    With `test_per_class` None the official test set tests, and no image is left to validate.

    The choice depends on the seed, the class and the image ids alone, not on the order of the images. The choice
    of the training images does not depend on `test_per_class` either.

    Returns:
        One row per image, by ascending id: `image_id` int64, `label` int64, `class_name` str, `subset` str
        ("train", "test" or "val").

    Raises:
        ValueError: a count is below 1, or a class has too few images or none to validate. The message names the
            class with the fewest.
    """
    for name, count in (("train_per_class", train_per_class), ("test_per_class", test_per_class)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, found {count}")
    table, official = drawable(data, test_per_class)
    official_test = table["official"]
    table = table.drop(columns="official")
    if not official:
        table["subset"] = "val"

    free = table[~official_test]
    test_per_class = test_per_class or 0
    needed = train_per_class + test_per_class + (not official)
    told = (
        f"has {{}} images to draw from, but train_per_class = {train_per_class} and test_per_class = {test_per_class} "
        f"need {needed}{'' if official else ', one of them for validation'}. Lower them."
    )
    _check_smallest(free, data.class_names, needed, told)
    if official:
        told = "has no image in the source's own test set, which validates. Add some."
        _check_smallest(table[official_test], data.class_names, 1, told)
    drawn: dict[int, str] = {}
    for _, image_ids in free.groupby("label")["image_id"]:
        order = seeded_order(image_ids, seed, "subset")
        drawn |= dict.fromkeys(order[:train_per_class], "train")
        drawn |= dict.fromkeys(order[train_per_class:][:test_per_class], "test")
    table["subset"] = table["image_id"].map(drawn).fillna(table["subset"])
    return table[table["subset"] != ""].sort_values("image_id", ignore_index=True)


def drawable(data: LabelledImages, test_per_class: int | None) -> tuple[pd.DataFrame, bool]:
    """The images with what the source's own division makes of them, and whether there is one.

    Returns:
        One row per image: `image_id` int64, `label` int64, `class_name` str, `official` bool (in the official test
        set), and `subset`: that of the official test images is "test" with `test_per_class` None and "val" otherwise,
        that of the others "".

    Raises:
        ValueError: `test_per_class` is None, and there is no official test set.
    """
    table = pd.DataFrame({"image_id": data.image_ids.numpy(), "label": data.labels.numpy()})
    table["class_name"] = [data.class_names[label] for label in table["label"]]
    subsets = data.official_subset or [""] * len(table)
    table["official"] = np.array([subset == "test" for subset in subsets], dtype=bool)
    official = bool(table["official"].any())
    if test_per_class is None and not official:
        raise ValueError("the source has no test set of its own; set test_per_class to a number")
    table["subset"] = np.where(table["official"], "test" if test_per_class is None else "val", "")
    return table, official


def seeded_order(image_ids: Iterable[int], seed: int, purpose: str) -> list[int]:
    """The ids in an order that is random, but the same on every machine and with every library version.

    Each id draws its own place, so adding or removing an image does not reshuffle the rest, as it would in a
    permutation drawn from a generator.
    """
    return sorted(
        map(int, image_ids), key=lambda image_id: (derive_seed(seed, f"{purpose}/{image_id}"), image_id)
    )


def _check_smallest(table: pd.DataFrame, class_names: list[str], needed: int, told: str) -> None:
    """Refuse that a class has fewer images than needed; `told` goes on after its name, {} being how many it has."""
    counts = np.bincount(table["label"], minlength=len(class_names))
    if counts.min() < needed:
        raise ValueError(f"class {class_names[counts.argmin()]!r} {told.format(counts.min())}")
