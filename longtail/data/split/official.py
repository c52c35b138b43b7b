"""The split of a source whose classes keep the sizes that they have, such as the house numbers of SVHN."""

import numpy as np
import pandas as pd

from longtail.data.split.balanced import drawable, seeded_order
from longtail.data.split.natural import balanced_part
from longtail.data.tensors.files import LabelledImages


def official_split(data: LabelledImages, *, test_per_class: int | None, seed: int) -> pd.DataFrame:
    """Train on all images but those that test or validate, with their natural class counts.

    With `test_per_class` None the official test set tests, with its natural counts too, and no image is left to
    validate. Else so many images of every class are drawn to test, and the official test set validates; where there is
    none, as many of every class are drawn to validate as to test.

    Returns:
        One row per image, with the columns of `longtail.data.split.natural.natural_split` but for cluster and grouped.
        The balanced sets are cut from the others, to the size of their smallest class.

    Raises:
        ValueError: a class has too few images, or the source has no test set of its own where that is to test. The
            message names the class with the fewest.
    """
    table, official = drawable(data, test_per_class)
    free, table = table[~table["official"]], table.drop(columns="official")
    drawn = dict.fromkeys(free["image_id"].tolist(), "train")
    each = test_per_class or 0
    needed = each * (1 if official else 2) + 1
    counts = np.bincount(free["label"], minlength=len(data.class_names))
    if counts.min() < needed:
        raise ValueError(
            f"class {data.class_names[counts.argmin()]!r} has {counts.min()} images to draw from, but "
            f"data.test_per_class: {test_per_class} needs {needed}: one to train on, and {each} to test"
            + ("" if official else f" and {each} to validate with")
            + ". Lower it"
        )
    for _, ids in free.groupby("label")["image_id"]:
        order = seeded_order(ids, seed, "subset")
        drawn |= dict.fromkeys(order[:each], "test")
        if not official:
            drawn |= dict.fromkeys(order[each : 2 * each], "val")
    subset = table["image_id"].map(drawn).fillna(table["subset"])
    split = table.assign(subset=subset, longtailed=subset != "val").sort_values("image_id", ignore_index=True)
    return split.assign(balanced=balanced_part(split, seed))
