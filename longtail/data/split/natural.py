"""The split of a collection that is long-tailed by nature: its class counts are kept."""

import numpy as np
import pandas as pd

from longtail.data.collection.duplicates import connected
from longtail.data.collection.listing import Finding
from longtail.data.split.balanced import seeded_order
from longtail.data.split.sets import CLUSTER
from longtail.machine.randomness import derive_seed


class SplitError(ValueError):
    """The collection cannot be divided. `findings` still holds what was found about its classes."""

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
    seed: int,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Divide a collection into training, validation and test images, class by class, with its natural counts.

    Of every class, the share `test_fraction` tests, but at least `min_test_per_class` images. The share
    `val_fraction` validates, but at least one image where one can be spared. At least one image trains. Images of
    one group, and duplicates, stay together, so the shares are met only as nearly as whole groups allow. A given
    split is kept, also where it divides them; if it has no validation images, they are cut from its training images.

    The choice depends on the seed and on the ids of the images, so one more image moves few of the others.

    A class that cannot have its test images and a training image is too small. `small_classes` says what becomes
    of it: `error` refuses it, `train_only` leaves it out of the tests, `merge` makes all small classes one.

    Args:
        index: the table of `longtail.data.collection.reading`; used are image_id, class_name, subset, group, twin.
        merged_name: the name of the class that `merge` makes.

    Returns:
        One row per image, by ascending id: image_id, label int64, class_name, subset ("train", "val", "test"),
        longtailed (all of train and test), balanced (equally many of every class in train, and in test of every
        tested class), cluster int64 (the same for images that stay together); and what was done about small classes.

    Raises:
        ValueError: small classes, by `small_classes: error` or because merging them does not help.
        SplitError: no image is left to validate or to test, or none of a class to train on.
    """
    table = index.sort_values("image_id", ignore_index=True)
    table = table.assign(unit=_units(table))
    fractions = test_fraction, val_fraction, min_test_per_class, seed
    findings: list[Finding] = []
    subsets, small = _divide(table, *fractions)
    if small and small_classes == "error":
        raise ValueError(_too_small(table, small, min_test_per_class))
    if small and small_classes == "merge":
        table, findings = _merge(table, small, merged_name)
        subsets, small = _divide(table, *fractions)
        if small:
            too_small = _too_small(table, small, min_test_per_class)
            raise ValueError(f"merging the small classes does not help: {too_small}")
    findings += [
        Finding(name, "small class", f"has {(table['class_name'] == name).sum()} images", "only trains")
        for name in small
    ]
    if problem := _problem(table, subsets):
        raise SplitError(problem, findings)
    untested = set(table["class_name"]) - set(table.loc[subsets == "test", "class_name"]) - set(small)
    findings += [
        Finding(name, "untested class", "has no test image in the given split", "only trains")
        for name in sorted(untested)
    ]
    return _labelled(table, subsets, seed), findings


def _merge(table: pd.DataFrame, small: list[str], merged_name: str) -> tuple[pd.DataFrame, list[Finding]]:
    """The table with one class in place of the small ones, and a finding for each of those."""
    merged = table["class_name"].isin(small)
    others = set(table.loc[~merged, "class_name"])
    if merged_name in others:
        raise ValueError(
            f"the merged class would be called {merged_name!r}, as another one is; set merged_name"
        )
    if not others:
        raise ValueError("all classes are too small, so merging them leaves one; add images")
    findings = [
        Finding(name, "small class", f"has {count} images", f"merged into {merged_name!r}")
        for name, count in table.loc[merged, "class_name"].value_counts().sort_index().items()
    ]
    return table.assign(class_name=table["class_name"].mask(merged, merged_name)), findings


def _labelled(table: pd.DataFrame, subsets: pd.Series, seed: int) -> pd.DataFrame:
    """The split as `natural_split` returns it: with labels in the order of the names, and sets."""
    class_names = sorted(table["class_name"].unique())
    split = table[["image_id", "class_name"]].assign(
        label=table["class_name"].map({name: label for label, name in enumerate(class_names)}),
        subset=subsets,
        longtailed=subsets != "val",
    )
    split["balanced"] = _balanced(split, seed)
    split[CLUSTER] = table["unit"]
    return split[["image_id", "label", "class_name", "subset", "longtailed", "balanced", CLUSTER]]


def _units(table: pd.DataFrame) -> np.ndarray:
    """A number for each image. Images that must stay together share it."""
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
    if (table["subset"] == "val").any():
        return table["subset"].copy(), []
    if (table["subset"] != "").any():
        training = table[table["subset"] == "train"]
        taken = _draw(training, _shares(training, val_fraction, 1), seed, "val")
        # A unit may lie on both sides of the given split. Then its test images stay where they are.
        return table["subset"].mask((table["subset"] == "train") & table["unit"].isin(taken), "val"), []
    sizes = table["class_name"].value_counts()
    wanted = _shares(table, test_fraction, min_test)
    small = {str(name) for name, n in sizes.items() if n < min_test + 1}
    while True:
        # A unit that holds an image of a small class trains as a whole.
        free = table[~table["unit"].isin(table.loc[table["class_name"].isin(small), "unit"])]
        test = _draw(free, wanted, seed, "test", min_test)
        tested = table.loc[table["unit"].isin(test), "class_name"].value_counts()
        failed = {str(name) for name in sizes.index if name not in small and tested.get(name, 0) < min_test}
        if not failed:
            break
        small |= failed
    val = _draw(free[~free["unit"].isin(test)], _shares(table, val_fraction, 1), seed, "val")
    subsets = pd.Series("train", index=table.index)
    subsets[table["unit"].isin(test)] = "test"
    subsets[table["unit"].isin(val)] = "val"
    return subsets, sorted(small)


def _shares(table: pd.DataFrame, fraction: float, least: int) -> dict[str, int]:
    """The number of images that is a fraction of each class, rounded, but at least `least`."""
    sizes = table["class_name"].value_counts()
    return {str(name): max(least, int(count * fraction + 0.5)) for name, count in sizes.items()}


def _draw(table: pd.DataFrame, wanted: dict[str, int], seed: int, purpose: str, least: int = 0) -> set[int]:
    """Choose units so that every class gives about the wanted number of images and keeps at least one.

    The rarest class comes first. Its units are taken in a seeded order while they bring the class nearer to its
    number and leave an image to every class that they hold.
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
        # Whole groups may be too large for the share. Then the smallest of them give the class the least that it needs.
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
            "add some, or mend the given split"
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
