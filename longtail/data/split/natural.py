"""The split of a collection that is long-tailed by nature: its class counts are kept."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from longtail.data.collection.duplicates import connected
from longtail.data.collection.listing import Finding
from longtail.data.split.balanced import seeded_order
from longtail.data.split.longtailed import class_groups
from longtail.data.split.sets import GROUPS
from longtail.machine.randomness import derive_seed


class SplitError(ValueError):
    """The collection cannot be split like this; `findings` still says what was found about its classes."""

    def __init__(self, message: str, findings: list[Finding]):
        super().__init__(message)
        self.findings = findings


def natural_split(
    index: pd.DataFrame,
    *,
    test_fraction: float,
    val_fraction: float,
    min_test_per_class: int,
    small_classes: str,
    merged_name: str,
    groups: str,
    group_limits: tuple[int, int],
    seed: int,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Divide a collection into training, validation and test images, class by class, with its natural counts.

    In every class, `test_fraction` of the images test, but at least `min_test_per_class`; `val_fraction` validate, but
    at least one where one can be spared; and at least one trains. Images with the same group, or that are duplicates,
    stay together; then the shares are met as nearly as whole groups can. Where the csv has a split, it is taken, and
    validation images are cut from its training images if it has none.

    The choice depends on the seed and on the ids of the images: one more image moves few of the others.

    A class that cannot have its test images and a training image is too small: an error, or `train_only`, which
    leaves it out of the tests, or `merge`, which makes all of them one class.

    Args:
        index: columns image_id, class_name, subset, group, twin of `longtail.data.collection.reading`.
        merged_name: the name of the class that `merge` makes.
        groups, group_limits: as for `frequency_groups`.

    Returns:
        One row per image, by ascending id: image_id, label int64, class_name, subset ("train", "val", "test"),
        longtailed (all of train and test), balanced (equally many of every class in train, and in test of every
        tested class), group ("head", "middle", "tail"); and what was done about small classes.

    Raises:
        ValueError: small classes, by `small_classes: error` or because merging them does not help.
        SplitError: no image is left to validate or to test, or none of a class to train on.
    """
    table = index.sort_values("image_id", ignore_index=True)
    table = table.assign(unit=_units(table))
    findings: list[Finding] = []
    subsets, small = _divide(table, test_fraction, val_fraction, min_test_per_class, seed)
    if small and small_classes == "error":
        raise ValueError(_too_small(table, small, min_test_per_class))
    if small and small_classes == "merge":
        table, findings = _merged(table, small, merged_name)
        subsets, small = _divide(table, test_fraction, val_fraction, min_test_per_class, seed)
        if small:
            raise ValueError(
                f"merging the small classes does not help: {_too_small(table, small, min_test_per_class)}"
            )
    findings += [
        Finding(name, "small class", f"has {(table['class_name'] == name).sum()} images", "only trains")
        for name in small
    ]
    if problem := _problem(table, subsets):
        raise SplitError(problem, findings)
    untested = set(table["class_name"]) - set(table.loc[subsets == "test", "class_name"]) - set(small)
    findings += [
        Finding(name, "untested class", "has no test image in the csv's split", "only trains")
        for name in sorted(untested)
    ]
    return _as_split(table, subsets, groups, group_limits, seed), findings


def _merged(table: pd.DataFrame, small: list[str], name: str) -> tuple[pd.DataFrame, list[Finding]]:
    """The images with the small classes made one class of that name, and what was done to each."""
    merged = table["class_name"].isin(small)
    if name in set(table.loc[~merged, "class_name"]):
        raise ValueError(f"the merged class would be called {name!r}, as another one is; set merged_name")
    if merged.all():
        raise ValueError("all classes are too small, so merging them leaves one; add images")
    findings = [
        Finding(own, "small class", f"has {count} images", f"merged into {name!r}")
        for own, count in table.loc[merged, "class_name"].value_counts().sort_index().items()
    ]
    return table.assign(class_name=table["class_name"].mask(merged, name)), findings


def _as_split(
    table: pd.DataFrame, subsets: pd.Series, groups: str, limits: tuple[int, int], seed: int
) -> pd.DataFrame:
    """The table that `natural_split` returns, when the subset of every image is known."""
    class_names = sorted(table["class_name"].unique())
    split = table[["image_id", "class_name"]].assign(
        label=table["class_name"].map({name: label for label, name in enumerate(class_names)}),
        subset=subsets,
        longtailed=subsets != "val",
    )
    split["balanced"] = _balanced(split, seed)
    trained = split.loc[split["subset"] == "train", "label"].value_counts().reindex(range(len(class_names)))
    split["group"] = split["label"].map(frequency_groups(trained.tolist(), groups, limits))
    columns = ["image_id", "label", "class_name", "subset", "longtailed", "balanced", "group"]
    return split[columns]


def frequency_groups(counts: Sequence[int], groups: str, limits: tuple[int, int]) -> dict[int, str]:
    """The group of every label, by its training images.

    Args:
        counts: training images by label.
        groups: "thirds" divides the classes from the most frequent on, equals in label order, and gives the remainder
            to the tail. By "counts" a class with more than `limits[0]` images is head, one with fewer than `limits[1]`
            tail, and one between them middle.

    Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", 2019 (more than 100, fewer than 20).
    """
    if groups == "thirds":
        order = sorted(range(len(counts)), key=lambda label: (-counts[label], label))
        return dict(zip(order, class_groups(len(counts)), strict=True))
    many, few = limits
    head, middle, tail = GROUPS
    return {
        label: head if count > many else tail if count < few else middle for label, count in enumerate(counts)
    }


def _units(table: pd.DataFrame) -> np.ndarray:
    """For each image a number that it shares with those it must stay with."""
    links: list[tuple[int, int]] = []
    first: dict[tuple[str, object], int] = {}
    for place, (twin, group) in enumerate(zip(table["twin"], table["group"], strict=True)):
        links.append((first.setdefault(("twin", twin), place), place))
        if group:
            links.append((first.setdefault(("group", group), place), place))
    return connected(len(table), links)


def _divide(
    table: pd.DataFrame, test_fraction: float, val_fraction: float, min_test: int, seed: int
) -> tuple[pd.Series, list[str]]:
    """The subset of every image, and the classes that are too small."""
    given = (table["subset"] != "").any()
    if given and (table["subset"] == "val").any():
        return table["subset"].copy(), []
    sizes = table["class_name"].value_counts()
    free = table[table["subset"] == "train"] if given else table
    available = free["class_name"].value_counts()
    if given:
        taken = _draw(free, {name: _share(n, val_fraction, 1) for name, n in available.items()}, seed, "val")
        return table["subset"].mask(table["unit"].isin(taken), "val"), []
    wanted = {name: _share(n, test_fraction, min_test) for name, n in sizes.items()}
    small = {str(name) for name, n in sizes.items() if n < min_test + 1}
    while True:
        # A unit stays together, so one that holds an image of a small class trains as a whole.
        free = table[~table["unit"].isin(table.loc[table["class_name"].isin(small), "unit"])]
        test = _draw(free, wanted, seed, "test", min_test)
        tested = table.loc[table["unit"].isin(test), "class_name"].value_counts()
        failed = {str(name) for name in sizes.index if name not in small and tested.get(name, 0) < min_test}
        if not failed:
            break
        small |= failed
    left = free[~free["unit"].isin(test)]
    validating = {name: _share(n, val_fraction, 1) for name, n in sizes.items()}
    val = _draw(left, validating, seed, "val")
    subsets = pd.Series("train", index=table.index)
    subsets[table["unit"].isin(test)] = "test"
    subsets[table["unit"].isin(val)] = "val"
    return subsets, sorted(small)


def _share(count: int, fraction: float, least: int) -> int:
    return max(least, int(count * fraction + 0.5))


def _draw(table: pd.DataFrame, wanted: dict[str, int], seed: int, purpose: str, least: int = 0) -> set[int]:
    """Units to take so that every class gets about the wanted number of images and keeps at least one.

    From the rarest class on, units in a seeded order are taken while they bring the class nearer to its number
    and leave every class of theirs an image.
    """
    by_unit: dict[int, dict[str, int]] = {}
    units: dict[str, list[int]] = {}
    for (unit, name), count in table.groupby(["unit", "class_name"]).size().items():
        by_unit.setdefault(unit, {})[name] = count
        units.setdefault(name, []).append(unit)
    first_id = table.groupby("unit")["image_id"].min()
    order = {
        unit: (derive_seed(seed, f"{purpose}/{identity}"), identity) for unit, identity in first_id.items()
    }
    left = table["class_name"].value_counts().to_dict()
    got = dict.fromkeys(left, 0)
    taken: set[int] = set()
    for name in sorted(left, key=lambda name: (left[name], name)):
        ordered = sorted(units[name], key=order.__getitem__)
        # Where whole groups cannot meet the share, the smallest still give the class the least it needs.
        by_size = sorted(ordered, key=lambda unit: by_unit[unit][name])
        for candidates, target, whole in ((ordered, wanted[name], False), (by_size, least, True)):
            for unit in candidates:
                counts, missing = by_unit[unit], target - got[name]
                if missing <= 0:
                    break
                overshoots = not whole and counts[name] >= 2 * missing
                if unit in taken or overshoots or any(left[other] <= n for other, n in counts.items()):
                    continue
                taken.add(unit)
                for other, n in counts.items():
                    left[other] -= n
                    got[other] += n
    return taken


def _balanced(split: pd.DataFrame, seed: int) -> pd.Series:
    """Whether each image is in the balanced training or test set, cut to the smallest class that is there."""
    chosen: set[int] = set()
    for subset in ("train", "test"):
        rows = split[split["subset"] == subset]
        smallest = rows["label"].value_counts().min()
        for _, ids in rows.groupby("label")["image_id"]:
            chosen.update(seeded_order(ids, seed, "balanced")[:smallest])
    return split["image_id"].isin(chosen)


def _problem(table: pd.DataFrame, subsets: pd.Series) -> str:
    """Why nothing can be trained, validated or tested with these subsets; empty if it can."""
    trained = set(table.loc[subsets == "train", "class_name"])
    if untrained := sorted(set(table["class_name"]) - trained):
        return (
            f"classes without a training image: {', '.join(map(repr, untrained[:5]))}; "
            "mend the column split of the csv"
        )
    for subset, remedy in (
        ("test", "lower min_test_per_class, or add images"),
        ("val", "no class has an image, or a group of them, to spare; add some, or lower test_fraction"),
    ):
        if not (subsets == subset).any():
            return f"no image is left for {subset}: {remedy}"
    return ""


def _too_small(table: pd.DataFrame, small: list[str], min_test: int) -> str:
    counts = table["class_name"].value_counts()
    units = table.groupby("class_name")["unit"].nunique()
    listed = [
        f"{name!r} ({counts[name]} images"
        + (f" in {units[name]} groups" if units[name] < counts[name] else "")
        + ")"
        for name in small
    ]
    more = f", and {len(listed) - 10} more" if len(listed) > 10 else ""
    return (
        f"{len(small)} of {len(counts)} classes are too small for {min_test} test images and one to train on: "
        f"{', '.join(listed[:10])}{more}. Lower data.image_folder.min_test_per_class, or set "
        "data.image_folder.small_classes to train_only (they are not tested) or merge (they become one class)"
    )
