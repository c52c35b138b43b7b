"""The classes of a split, with their groups and training images."""

import pandas as pd

from longtail.data.split.sets import in_set


def class_table(split: pd.DataFrame, train_set: str) -> pd.DataFrame:
    """The classes of a split and their training images in one of the two training sets.

    Args:
        split: columns label, class_name, subset, longtailed, group, and balanced where classes differ in size by
            nature; one row per image.
        train_set: "balanced" or "longtailed".

    Returns:
        One row per class, in label order: label, class_name, group, n_train (0 for a class without any).

    Raises:
        ValueError: an unknown training set.
    """
    if train_set not in ("balanced", "longtailed"):
        raise ValueError(f"training set {train_set!r} is unknown; choose 'balanced' or 'longtailed'")
    classes = split.groupby("label", as_index=False)[["class_name", "group"]].first()
    in_training = (split["subset"] == "train") & in_set(split, train_set)
    counts = split.loc[in_training, "label"].value_counts()
    return classes.assign(n_train=classes["label"].map(counts).fillna(0).astype("int64"))
