"""The split of a collection that is long-tailed by nature: its class counts are kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from longtail.data.collection.listing import Finding
from longtail.data.split.balanced import seeded_order
from longtail.data.split.classes import check_left, class_mapping
from longtail.data.split.division import Asked, divide, units
from longtail.data.split.frozen import frozen_subsets, read_frozen
from longtail.data.split.sets import CLUSTER, GROUPED


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
    classes: Mapping[str, Any] | None = None,
    frozen: str | Path | None = None,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Divide a collection into training, validation and test images, class by class, with its natural counts.

    Of every class, the share `test_fraction` tests, but at least `min_test_per_class` images. The share
    `val_fraction` validates, but at least one image where one can be spared. At least one image trains. Images of
    one group, and duplicates, stay together, so the shares are met only as nearly as whole groups allow. A given
    split is kept, also where it divides them; if it has no validation images, they are cut from its training images.

    The choice depends on the seed and on the ids of the images, so one more image moves few of the others. Where groups
    hold several classes it may move whole groups. With a frozen split none moves.

    A class that cannot have its test images and a training image is too small. `small_classes` says what becomes
    of it: `error` refuses it, `train_only` leaves it out of the tests, `merge` makes all small classes one.

    Args:
        index: the table of `longtail.data.collection.reading`; used are image_id, class_name, subset, group, twin, and
            with a frozen split path and sha256.
        merged_name: the name of the class that `merge` makes.
        classes: the rules of `class_mapping`, and `min_images`, with fewer of which a class is left out; None: the
            classes stay as they are.
        frozen: a list of `longtail.data.split.frozen`, whose images stay in their sets; None: there is none.

    Returns:
        One row per image, by ascending id: image_id, label int64, class_name, subset ("train", "val", "test"),
        longtailed (all of train and test), balanced (equally many of every class in train, and in test of every
        tested class), cluster int64 (the same for images that stay together), grouped (whether the index has its
        group); and what was done about classes, and about images that a frozen split lists.

    Raises:
        ValueError: small classes, by `small_classes: error` or because merging them does not help; rules of classes or
            a frozen split that do not fit.
        SplitError: no image is left to validate or to test, or none of a class to train on.
    """
    table = index.sort_values("image_id", ignore_index=True)
    asked = Asked(test_fraction, val_fraction, min_test_per_class, seed)
    findings: list[Finding] = []
    chosen, told = _chosen(table, classes or {})
    if frozen is not None:
        before, findings = read_frozen(frozen)
        subset, changed = frozen_subsets(table, before, table.index.isin(chosen.index))
        findings += changed
        chosen = chosen.assign(subset=subset[chosen.index])
    table = chosen.reset_index(drop=True)
    findings += told
    table = table.assign(unit=units(table))
    fixed = set(table.loc[table["subset"] == "test", "class_name"]) if frozen is not None else set()
    spared = set() if small_classes == "merge" else fixed
    subsets, small = divide(table, asked, frozen=frozen is not None, spared=spared)
    lead = ""
    if small and small_classes == "merge":
        merged, told = _merge(table, small, merged_name)
        subsets, left = divide(merged, asked, frozen=frozen is not None, spared=spared)
        if left and frozen is not None:
            # When the list was drawn, classes were small that its sets spare now, and stood in the merged class.
            small = sorted({*small, *divide(table.assign(subset=""), asked)[1]})
            merged, told = _merge(table, small, merged_name)
            subsets, left = divide(merged, asked, frozen=True, spared=spared)
        table, small = merged, left
        findings += told
        lead = "merging the small classes does not help: "
    if small and small_classes != "train_only":
        raise ValueError(lead + _too_small(table, small, asked))
    counts = _counted(table)
    findings += [Finding(name, "small class", f"has {counts[name]}", "only trains") for name in small]
    if problem := _problem(table, subsets, small, asked):
        raise SplitError(problem, findings)
    tested = table.loc[subsets == "test", "class_name"].value_counts()
    for name in sorted(set(table["class_name"]) - set(small)):
        if name not in tested:
            findings.append(
                Finding(name, "untested class", "has no test image in the given split", "only trains")
            )
        elif name in fixed and tested[name] < min_test_per_class:
            found = f"has {tested[name]} test images in the frozen split, and no others can be taken"
            findings.append(Finding(name, "few test images", found, "tested on them", False))
    return _labelled(table, subsets, seed), findings


def _chosen(table: pd.DataFrame, rules: Mapping[str, Any]) -> tuple[pd.DataFrame, list[Finding]]:
    """The images of the classes that the rules leave, by their new names, and a finding for each class that changes."""
    sizes = table["class_name"].value_counts()
    # Planning has refused rules on classes that the collection lacks. A class may have lost all its images since.
    mapping = class_mapping(sorted(sizes.index), rules, complete=False)
    findings = []
    for old, new in mapping.items():
        kind, action = ("excluded", "left out") if new is None else ("renamed", f"is {new!r}")
        if new != old:
            found = f"has {_images(sizes[old])}"
            findings.append(Finding(old, f"{kind} class", found, f"{action}, by data.classes", False))
    table = table.assign(class_name=table["class_name"].map(mapping)).dropna(subset="class_name")
    least = rules.get("min_images") or 0
    sizes = table["class_name"].value_counts()
    rare = sizes[sizes < least].sort_index()
    action = f"left out, as data.classes.min_images is {least}"
    findings += [Finding(name, "rare class", f"has {_images(n)}", action, False) for name, n in rare.items()]
    check_left(len(sizes) - len(rare), len(sizes), least)
    return table[~table["class_name"].isin(rare.index)], findings


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
        Finding(name, "small class", f"has {_images(count)}", f"merged into {merged_name!r}")
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
    split["balanced"] = balanced_part(split, seed)
    split[CLUSTER] = table["unit"]
    split[GROUPED] = table["group"] != ""
    return split[["image_id", "label", "class_name", "subset", "longtailed", "balanced", CLUSTER, GROUPED]]


def balanced_part(split: pd.DataFrame, seed: int) -> pd.Series:
    """Whether each image is in the balanced training or test set, cut to the smallest class that is there."""
    chosen: set[int] = set()
    for subset in ("train", "test"):
        rows = split[split["subset"] == subset]
        smallest = rows["label"].value_counts().min()
        for _, ids in rows.groupby("label")["image_id"]:
            chosen.update(seeded_order(ids, seed, "balanced")[:smallest])
    return split["image_id"].isin(chosen)


def _problem(table: pd.DataFrame, subsets: pd.Series, small: list[str], asked: Asked) -> str:
    """Why nothing can be trained, validated or tested with these subsets; empty if it can."""
    trained = set(table.loc[subsets == "train", "class_name"])
    if untrained := sorted(set(table["class_name"]) - trained):
        return (
            f"classes without a training image: {', '.join(map(repr, untrained[:5]))}; "
            "add some, or mend the given split"
        )
    for subset, remedy in (
        ("test", "lower min_test_per_class, or add images"),
        ("val", "no class has an image to spare; add some, or lower test_fraction"),
    ):
        if not (subsets == subset).any():
            return f"no image is left for {subset}: {_groups_in_the_way(table, small, asked) or remedy}"
    return ""


def _groups_in_the_way(table: pd.DataFrame, small: list[str], asked: Asked) -> str:
    """How the groups keep the images from being divided, and what to do; empty where there are none."""
    count = table["unit"].nunique()
    if count == len(table):
        return ""
    largest = table["unit"].value_counts(normalize=True)
    group = table.loc[table["unit"] == largest.index[0], "group"].max()
    told = (
        f"{count} groups of images that stay together cannot be divided into three sets of {asked.shares} (training, "
        f"validation, test); the largest{f', {group!r},' if group else ''} has {100 * largest.iloc[0]:.0f} % of the "
        "images"
    )
    sizes = table["class_name"].value_counts()
    few = [name for name in small if sizes[name] <= asked.min_test]
    if few:
        bound = table.loc[table["class_name"].isin(few), "unit"].nunique()
        return (
            f"{told}, and {bound} have an image of a class that is too small to be tested, such as {few[0]!r}, and "
            "so train as a whole. Leave such classes out (data.classes.min_images), merge them (small_classes: merge), "
            "or give groups of fewer images"
        )
    return (
        f"{told}. Give groups of fewer images (of a night and a trap, not of a night), more of them, or a split of "
        "your own"
    )


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


def _counted(table: pd.DataFrame) -> dict[str, str]:
    """The images of each class, and the groups that they lie in where these are fewer."""
    counts = table["class_name"].value_counts()
    groups = table.groupby("class_name")["unit"].nunique()
    return {
        str(name): _images(count)
        + (f" in {groups[name]} group{'s' if groups[name] > 1 else ''}" if groups[name] < count else "")
        for name, count in counts.items()
    }


def _too_small(table: pd.DataFrame, small: list[str], asked: Asked) -> str:
    """Which classes are too small, and why: they have too few images, or too few groups of them."""
    sizes, counted = table["class_name"].value_counts(), _counted(table)
    few = [name for name in small if sizes[name] <= asked.min_test]
    bound = [name for name in small if sizes[name] > asked.min_test]

    def listed(names: list[str]) -> str:
        more = f", and {len(names) - 10} more" if len(names) > 10 else ""
        return ", ".join(f"{name!r} ({counted[name]})" for name in names[:10]) + more

    least = f"{asked.min_test} test images and one to train on"
    told, remedies = [], []
    if few:
        told.append(f"{len(few)} of {len(sizes)} classes are too small for {least}: {listed(few)}")
        remedies.append("Lower data.image_folder.min_test_per_class, or")
    if bound:
        told.append(
            f"{len(bound)} of {len(sizes)} classes cannot be divided into {least}, since images of one group "
            f"stay on one side of the split{' (a group of a small class trains)' if few else ''}: {listed(bound)}"
        )
        remedies.append("Give groups of fewer images, or")
    return (
        f"{'; '.join(told)}. {' '.join(remedies)} set data.image_folder.small_classes to train_only (they are not "
        "tested) or merge (they become one class), or leave them out by data.classes.exclude or min_images"
    )
