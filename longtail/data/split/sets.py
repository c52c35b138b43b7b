"""The named sets of images, which images of a split or of predictions are in each, and how large their classes are.

A balanced source is cut to a long-tailed part, so all its images are in the balanced sets. A collection with natural
counts is long-tailed itself, and a balanced part is cut from it. Only its tables have a column `balanced`.
"""

import math
from typing import TYPE_CHECKING

from longtail.files.table import Column, Table

if TYPE_CHECKING:
    import pandas as pd

TRAIN_SETS = ("balanced", "longtailed")
GROUPS = ("head", "middle", "tail")
TEST_SETS = (*TRAIN_SETS, *GROUPS)
"""They are nested: head, middle and tail divide longtailed, which is a part of balanced."""
SHOTS = {"many": (101, math.inf), "medium": (20, 100), "few": (0, 19)}
"""The long-tail papers' groups of classes, by their least and most training images (Liu et al., 2019)."""
SUBSETS = ("train_balanced", "train_longtailed", "val", *(f"test_{name}" for name in TEST_SETS))
"""The sets of images that have a file of tensors each."""
CLUSTER = "cluster"
"""The column of the number that images share which are not independent: of one individual, one night, or duplicates."""
OF_IMAGE = ["group", "longtailed", "balanced", CLUSTER]
"""What the split says of an image: which sets it is in, and its cluster. The last two are there only in collections
with natural counts."""

ID, LABEL = Column("whole", 0), Column("whole", 0, 2**31)
ASSIGNED = Table(
    {
        "image_id": ID,
        "label": LABEL,
        "class_name": Column("text"),
        "subset": Column("text", among=("train", "val", "test")),
    },
    key=("image_id",),
    one={"class_name": "label"},
)
"""The table of the images of a source: which subset each is in."""
SPLIT = Table(
    {
        **ASSIGNED.columns,
        "longtailed": Column("truth"),
        "balanced": Column("truth", optional=True),
        "group": Column("text", among=GROUPS),
        CLUSTER: Column("whole", 0, optional=True),
    },
    key=ASSIGNED.key,
    one={**ASSIGNED.one, "group": "label"},
)
"""The table of the split."""


def in_set(table: "pd.DataFrame", name: str) -> "pd.Series":
    """Whether each image is in a set of its subset (train or test).

    Args:
        table: columns longtailed bool, group str, and balanced bool where not all images are in that set.
        name: balanced, longtailed, or one of the groups of the long-tailed set.

    Returns:
        Bool, with the index of the table.

    Raises:
        ValueError: an unknown name.
    """
    import pandas as pd  # late, because planning needs the names of the sets but not pandas

    if name not in TEST_SETS:
        raise ValueError(f"the set {name!r} is unknown; there are {', '.join(TEST_SETS)}")
    if name == "balanced":
        whole = pd.Series(True, index=table.index)
        return table["balanced"].astype(bool) if "balanced" in table else whole
    longtailed = table["longtailed"].astype(bool)
    return longtailed if name == "longtailed" else longtailed & (table["group"] == name)


def with_sets(table: "pd.DataFrame", split: "pd.DataFrame") -> "pd.DataFrame":
    """`table` with the columns group, longtailed and, where the split has them, balanced and cluster of its images.

    Args:
        table: column image_id int. Columns that say which sets an image is in are replaced.
        split: columns image_id, group, longtailed, and balanced and cluster where there are any.

    Raises:
        ValueError: an image is not in the split, or has another label there.
    """
    known = split.set_index("image_id")[[name for name in OF_IMAGE if name in split]]
    missing = ~table["image_id"].isin(known.index)
    if missing.any():
        raise ValueError(
            f"the split lacks {missing.sum()} of the {len(table)} images, such as id "
            f"{table.loc[missing, 'image_id'].iloc[0]}; make both anew"
        )
    if "label" in table and "label" in split:
        of_split = table["image_id"].map(split.set_index("image_id")["label"])
        other = table["label"] != of_split
        if other.any():
            raise ValueError(
                f"{other.sum()} of the {len(table)} images have another label than in the split, such as id "
                f"{table.loc[other, 'image_id'].iloc[0]}; make both anew"
            )
    own = table.drop(columns=OF_IMAGE, errors="ignore")
    return own.join(known, on="image_id")


def class_table(split: "pd.DataFrame", train_set: str) -> "pd.DataFrame":
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


def class_groups(num_classes: int) -> list[str]:
    """The group of every class: thirds in label order, with the remainder in the tail.

    100 classes give 0-32 head, 33-65 middle, 66-99 tail; 10 classes give 0-2, 3-5 and 6-9. Fewer than 3 classes
    are all tail.
    """
    third = num_classes // 3
    return [GROUPS[0]] * third + [GROUPS[1]] * third + [GROUPS[2]] * (num_classes - 2 * third)


def longtailed_counts(largest: int, num_classes: int, imbalance_factor: float) -> list[int]:
    """Images per class, falling exponentially in label order from `largest` to `largest * imbalance_factor`.

    Class i of C has max(1, int(largest * imbalance_factor ** (i / (C - 1)))) images. The number is truncated and
    not rounded, as the published numbers for CIFAR-LT are. The lower bound of 1 matters for small `largest` only.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", 2019, without
    the lower bound.
    """
    if not 0 < imbalance_factor <= 1:
        raise ValueError(f"imbalance_factor must be above 0 and at most 1, found {imbalance_factor}")
    last = max(num_classes - 1, 1)
    return [max(1, int(largest * imbalance_factor ** (i / last))) for i in range(num_classes)]
