"""The named sets of images, which images of a split or of predictions are in each, and how large their classes are.

A balanced source is cut to a long-tailed part, so all its images are in the balanced sets. A collection with natural
counts is long-tailed itself, and a balanced part is cut from it. Only its tables have a column `balanced`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from longtail.files.table import Column, Table

if TYPE_CHECKING:
    import pandas as pd

TRAIN_SETS = ("balanced", "longtailed")
CUTS = {"thirds": ("head", "middle", "tail"), "counts": ("many", "medium", "few")}
"""The groups of classes, from the most frequent to the rarest, by what divides them."""
IMBALANCES = ("exponential", "step")
"""How the sizes of the classes can fall."""
NATURAL = "natural"
"""What the configuration has in place of one of these where the classes keep the sizes that they have."""
LIMITS = (100, 20)
"""The limits of the long-tail papers (Liu et al., 2019): more training images than the first are many, fewer than the
second few."""
GROUPS = (*CUTS["thirds"], *CUTS["counts"])
TEST_SETS = (*TRAIN_SETS, *GROUPS)
"""All names of test sets. An experiment has those of `tested_sets`, which are nested: the groups of one cut divide
longtailed, which is a part of balanced."""
SUBSETS = ("train_balanced", "train_longtailed", "val", *(f"test_{name}" for name in TEST_SETS))
"""The sets of images that have a file of tensors each."""
CLUSTER = "cluster"
"""The column of the number that images share which are not independent: of one individual, one night, or duplicates."""
GROUPED = "grouped"
"""The column that says of an image whether a list gives it a group. Duplicates have a cluster without one."""
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
        GROUPED: Column("truth", optional=True),
    },
    key=ASSIGNED.key,
    one={**ASSIGNED.one, "group": "label"},
)
"""The table of the split."""


def groups_of(names: Iterable[str]) -> tuple[str, ...]:
    """The three groups of the cut that some of these names belong to; head, middle and tail where none does."""
    return CUTS["counts" if set(CUTS["counts"]) & set(names) else "thirds"]


def tested_sets(names: Iterable[str]) -> tuple[str, ...]:
    """The five test sets of the cut that some of these names belong to, in their order."""
    return (*TRAIN_SETS, *groups_of(names))


def has_groups(split: "pd.DataFrame") -> bool:
    """Whether images of a split belong to groups that people know of, and not to those of duplicates alone."""
    if CLUSTER not in split or split[CLUSTER].is_unique:
        return False
    return GROUPED not in split or bool(split[GROUPED].any())


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
    return classes.assign(n_train=class_counts(split, train_set).to_numpy())


def with_groups(sets: "pd.DataFrame", cut: str, limits: tuple[int, int] = LIMITS) -> "pd.DataFrame":
    """The table with the column `group` of every image, which is that of its class.

    Classes are divided by their long-tailed training images, as `frequency_groups` divides them.

    Args:
        sets: columns label, subset, longtailed; one row per image.
    """
    counts = class_counts(sets, "longtailed")
    found = dict(zip(counts.index, frequency_groups(counts.tolist(), cut, limits), strict=True))
    return sets.assign(group=sets["label"].map(found))


def class_counts(split: "pd.DataFrame", train_set: str) -> "pd.Series":
    """Training images of every class of a split in one of the two training sets: int64 by label, in label order.

    Args:
        split: columns label, subset, longtailed, and balanced where classes differ in size by nature.
    """
    in_training = (split["subset"] == "train") & in_set(split, train_set)
    return in_training.astype("int64").groupby(split["label"]).sum()


def frequency_groups(counts: Sequence[int], cut: str, limits: tuple[int, int] = LIMITS) -> list[str]:
    """The group of every class.

    Args:
        counts: long-tailed training images of each class.
        cut: "thirds" divides the classes from the most frequent on, equal ones in their order, and leaves the remainder
            to the tail: 100 classes give 33, 33 and 34, and fewer than 3 are all tail. "counts" compares each class
            with the limits.
        limits: with "counts", more images than the first are many, fewer than the second few, others medium.

    Raises:
        ValueError: an unknown cut.
    """
    if cut not in CUTS:
        raise ValueError(f"the cut {cut!r} of the classes is unknown; choose {' or '.join(CUTS)}")
    first, second, last = CUTS[cut]
    if cut == "counts":
        many, few = limits
        return [first if count > many else last if count < few else second for count in counts]
    third = len(counts) // 3
    order = sorted(range(len(counts)), key=lambda place: -counts[place])
    groups = dict.fromkeys(order[:third], first) | dict.fromkeys(order[third : 2 * third], second)
    groups |= dict.fromkeys(order[2 * third :], last)
    return [groups[place] for place in range(len(counts))]


def longtailed_counts(
    largest: int, num_classes: int, imbalance_factor: float, imbalance: str = "exponential"
) -> list[int]:
    """Images per class, falling in label order from `largest` to `largest * imbalance_factor`.

    With `exponential`, class i of C has max(1, int(largest * imbalance_factor ** (i / (C - 1)))) images. With `step`,
    the first C // 2 classes have `largest`, the others max(1, int(largest * imbalance_factor)). The numbers are
    truncated and not rounded, as the published ones for CIFAR-LT are. The lower bound of 1 matters for small `largest`
    only.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", 2019, without
    the lower bound.

    Raises:
        ValueError: the factor is out of (0, 1], or the imbalance has another name.
    """
    if not 0 < imbalance_factor <= 1:
        raise ValueError(f"imbalance_factor must be above 0 and at most 1, found {imbalance_factor}")
    if imbalance not in IMBALANCES:
        raise ValueError(f"imbalance must be {' or '.join(IMBALANCES)}, found {imbalance!r}")
    last = max(num_classes - 1, 1)
    falls = [
        i / last if imbalance == "exponential" else float(i >= num_classes // 2) for i in range(num_classes)
    ]
    return [max(1, int(largest * imbalance_factor**fall)) for fall in falls]
