"""The long-tailed part of the balanced subsets."""

import pandas as pd

from longtail.data.split.balanced import seeded_order
from longtail.data.split.sets import longtailed_counts


def add_longtail(
    subsets: pd.DataFrame,
    *,
    imbalance: str = "exponential",
    imbalance_factor: float,
    test_imbalance_factor: float | None = None,
    seed: int,
) -> pd.DataFrame:
    """Mark which training and test images also belong to the long-tailed sets.

    Images are dropped and never added, so the long-tailed sets are parts of the balanced ones. A smaller factor
    keeps a part of what a larger one keeps.

    Args:
        subsets: the table of `assign_subsets`, with equally many training and test images in every class.
        imbalance: how the sizes of the classes fall, as `longtailed_counts` takes it.
        imbalance_factor: the images of the last class over those of the first, in (0, 1].
        test_imbalance_factor: the same for the test images; None takes that of training.
        seed: chooses the images, not their number.

    Returns:
        `subsets` with one more column: `longtailed` bool (never true in "val").

    Raises:
        ValueError: a factor is out of range, or the classes of a subset differ in size.
    """
    labels = sorted(subsets["label"].unique())
    kept: set[int] = set()
    test_factor = imbalance_factor if test_imbalance_factor is None else test_imbalance_factor
    for subset, factor in (("train", imbalance_factor), ("test", test_factor)):
        rows = subsets[subsets["subset"] == subset]
        images = {label: rows.loc[rows["label"] == label, "image_id"] for label in labels}
        sizes = {len(ids) for ids in images.values()}
        if len(sizes) != 1:
            raise ValueError(
                f"the classes of {subset!r} must be equal in size, found {min(sizes)} to {max(sizes)}"
            )
        counts = longtailed_counts(sizes.pop(), len(labels), factor, imbalance)
        for label, count in zip(labels, counts, strict=True):
            kept.update(seeded_order(images[label], seed, "longtailed")[:count])
    return subsets.assign(longtailed=subsets["image_id"].isin(kept))
