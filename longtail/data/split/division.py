"""Divide the images of a collection into sets, class by class, where some have to stay together."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from longtail.data.collection.duplicates import connected
from longtail.data.collection.listing import SUBSETS
from longtail.data.split.exchange import exchange
from longtail.machine.randomness import derive_seed

_ALIKE = 8
"""So many units of one class, one size and one set take part in exchanges; the others are exchangeable with them."""
_FEW = 20
"""With so few units, one start may end far from the best; then there are _STARTS of them."""
_STARTS = 16


class Asked(NamedTuple):
    """What is asked of a division."""

    test_fraction: float
    val_fraction: float
    min_test: int
    seed: int

    @property
    def shares(self) -> str:
        """The shares of training, validation and test, such as "70 / 10 / 20 %"."""
        parts = 1 - self.test_fraction - self.val_fraction, self.val_fraction, self.test_fraction
        return " / ".join(f"{100 * part:.3g}" for part in parts) + " %"

    def fractions(self, sets: Iterable[str]) -> dict[str, float]:
        """The shares of these sets beside training."""
        return {name: self.test_fraction if name == "test" else self.val_fraction for name in sets}


def units(table: pd.DataFrame) -> np.ndarray:
    """A number for each image, int64 (N,). Images that must stay together, by `twin` or by `group`, share it."""
    links: list[tuple[int, int]] = []
    first: dict[tuple[str, object], int] = {}
    for place, (twin, group) in enumerate(zip(table["twin"], table["group"], strict=True)):
        links.append((first.setdefault(("twin", twin), place), place))
        if group:
            links.append((first.setdefault(("group", group), place), place))
    return connected(len(table), links)


def divide(
    table: pd.DataFrame, asked: Asked, *, frozen: bool = False, spared: Collection[str] = ()
) -> tuple[pd.Series, list[str]]:
    """The set of every image, and the classes that are too small to be tested.

    Args:
        table: columns image_id, class_name, group, unit, and subset, "" where it is free. Unless `frozen`, subsets are
            those of a given split: if there are validation images nothing changes, else they are cut from the training
            images.
        frozen: whether images that have a subset keep it, and the others are divided so that all together come near
            to the shares. A free image goes where images are that it must stay with.
        spared: classes that are not too small in any case.

    Returns:
        The subset of each image, with the index of the table, and the sorted names of the small classes.
    """
    given = table["subset"] != ""
    if not frozen and given.any():
        if (table["subset"] == "val").any():
            return table["subset"].copy(), []
        training = table[table["subset"] == "train"]
        wanted = {"val": _shares(training, asked.val_fraction, 1)}
        set_of = _choose(training, training.iloc[:0], wanted, asked, set())
        # A unit may lie on both sides of the given split. Then its test images stay where they are.
        cut = (table["subset"] == "train") & (table["unit"].map(set_of) == "val")
        return table["subset"].mask(cut, "val"), []
    wanted = {
        "test": _shares(table, asked.test_fraction, asked.min_test),
        "val": _shares(table, asked.val_fraction, 1),
    }
    subsets = _joined(table)
    bound = subsets != ""
    small = _too_few(table, asked.min_test) - set(spared)
    while True:
        # A unit that holds an image of a small class trains as a whole.
        held = ~bound & table["unit"].isin(table.loc[table["class_name"].isin(small), "unit"])
        subsets[held] = "train"
        free = ~bound & ~held
        there = table.assign(subset=subsets)[~free]
        set_of = _choose(table[free], there, wanted, asked, small)
        subsets[free] = table.loc[free, "unit"].map(set_of)
        tested = table.loc[subsets == "test", "class_name"].value_counts()
        failed = {str(name) for name in table["class_name"].unique() if tested.get(name, 0) < asked.min_test}
        if not failed - small - set(spared):
            return subsets, sorted(small)
        small |= failed - set(spared)


def _joined(table: pd.DataFrame) -> pd.Series:
    """The subsets, where a free image has that of the images that it must stay with.

    Where those are in several sets, it is the set of most of them; of equally many, the first of SUBSETS.
    """
    known = table[table["subset"] != ""]
    if known.empty:
        return table["subset"].copy()
    counts = pd.crosstab(known["unit"], known["subset"]).reindex(columns=list(SUBSETS), fill_value=0)
    of_unit = counts.idxmax(axis=1).to_dict()
    joined = [of_unit.get(unit, "") for unit in table["unit"]]
    return table["subset"].where(table["subset"] != "", pd.Series(joined, index=table.index))


def _too_few(table: pd.DataFrame, min_test: int) -> set[str]:
    """The classes that cannot be divided, whatever becomes of the others: too few images, or units that are too big."""
    sizes = table["class_name"].value_counts()
    smallest = table.groupby(["class_name", "unit"]).size().groupby("class_name").min()
    bound = set(table.loc[table["subset"] != "", "class_name"])
    return {
        str(name)
        for name, count in sizes.items()
        if count <= min_test or (count - smallest[name] < min_test and name not in bound)
    }


def _shares(table: pd.DataFrame, fraction: float, least: int) -> dict[str, int]:
    """The number of images that is a fraction of each class, rounded, but at least `least`."""
    sizes = table["class_name"].value_counts()
    return {str(name): max(least, int(count * fraction + 0.5)) for name, count in sizes.items()}


def _choose(
    free: pd.DataFrame,
    there: pd.DataFrame,
    wanted: Mapping[str, Mapping[str, int]],
    asked: Asked,
    small: set[str],
) -> dict[int, str]:
    """The set of every unit of the free images.

    Units of one class are drawn in a seeded order, class by class. Those that hold several classes (a night, a trap)
    are drawn by themselves first; afterwards they, and the units of their classes, are exchanged between the sets.

    Args:
        there: images whose subset stands; they count towards what is wanted.
        wanted: the number of images of each class, for each set beside training that is drawn, in this order.
        small: the classes that need no test image.
    """
    holds = free.groupby("unit")["class_name"].nunique()
    shared = free[free["unit"].isin(holds.index[holds > 1])]
    single = free[~free["unit"].isin(shared["unit"])]
    set_of = _drawn(_identities(shared), asked.fractions(wanted), asked.seed, "shared")
    settled = pd.concat([there, shared.assign(subset=shared["unit"].map(set_of))])
    spare = settled.loc[settled["subset"] == "train", "class_name"].value_counts().to_dict()
    for name, numbers in wanted.items():
        undrawn = single[~single["unit"].isin(set_of.keys())]
        got = settled.loc[settled["subset"] == name, "class_name"].value_counts().to_dict()
        least = asked.min_test if name == "test" else 0
        taken = _draw(undrawn, numbers, asked.seed, name, least, got, spare)
        set_of |= dict.fromkeys(taken, name)
    set_of = dict.fromkeys(free["unit"].tolist(), "train") | set_of
    if len(shared):
        set_of |= _exchanged(free, there, set_of, wanted, asked, small)
    return set_of


def _drawn(
    identities: Mapping[int, str], fractions: Mapping[str, float], seed: int, purpose: str
) -> dict[int, str]:
    """A set for each unit, drawn by itself, so that another unit more or less changes no other's."""
    found = {}
    for unit, identity in identities.items():
        place = derive_seed(seed, f"{purpose}/{identity}") / 2**63
        found[unit] = "train"
        for name, fraction in fractions.items():
            if 0 <= place < fraction:
                found[unit] = name
            place -= fraction
    return found


def _identities(table: pd.DataFrame) -> dict[int, str]:
    """What names each unit: its group, which added images do not change, or else its first image."""
    ids = table.groupby("unit")["image_id"].min().astype(str)
    named = table[table["group"] != ""].groupby("unit")["group"].min()
    return {**ids.to_dict(), **named.to_dict()}


def _draw(
    table: pd.DataFrame,
    wanted: Mapping[str, int],
    seed: int,
    purpose: str,
    least: int,
    got: Mapping[str, int],
    spare: Mapping[str, int],
) -> set[int]:
    """Choose units so that every class gives about the wanted number of images and keeps at least one.

    The rarest class comes first. Its units are taken in a seeded order while they bring the class nearer to its
    number and leave an image to every class that they hold.

    Args:
        got: images of each class that the set has already.
        spare: images of each class that train in any case.
    """
    by_unit: dict[int, dict[str, int]] = {}
    units_of: dict[str, list[int]] = {}
    for (unit, name), count in table.groupby(["unit", "class_name"]).size().items():
        by_unit.setdefault(unit, {})[name] = count
        units_of.setdefault(name, []).append(unit)
    first_id = table.groupby("unit")["image_id"].min()
    order = {
        unit: (derive_seed(seed, f"{purpose}/{identity}"), identity) for unit, identity in first_id.items()
    }
    present = table["class_name"].value_counts()
    left = {name: count + spare.get(name, 0) for name, count in present.items()}
    has = {name: got.get(name, 0) for name in left}
    taken: set[int] = set()
    for name in sorted(left, key=lambda name: (left[name], name)):
        ordered = sorted(units_of[name], key=order.__getitem__)
        # Whole groups may be too large for the share. Then the smallest of them give the class the least that it needs.
        by_size = sorted(ordered, key=lambda unit: by_unit[unit][name])
        for candidates, target, whole in ((ordered, wanted[name], False), (by_size, least, True)):
            for unit in candidates:
                count, missing = by_unit[unit][name], target - has[name]
                if missing <= 0:
                    break
                overshoots = not whole and count >= 2 * missing
                if unit in taken or overshoots or left[name] <= count:
                    continue
                taken.add(unit)
                left[name] -= count
                has[name] += count
    return taken


def _exchanged(
    free: pd.DataFrame,
    there: pd.DataFrame,
    set_of: Mapping[int, str],
    wanted: Mapping[str, Mapping[str, int]],
    asked: Asked,
    small: set[str],
) -> dict[int, str]:
    """The sets of the units that hold several classes, and of the units of these classes, after exchanges."""
    sets = [name for name in SUBSETS if name == "train" or name in wanted]
    held = free.groupby(["unit", "class_name"]).size().rename("images").reset_index()
    held["several"] = held.groupby("unit")["class_name"].transform("size") > 1
    classes = sorted(held.loc[held["several"], "class_name"].unique())
    held = held[held["class_name"].isin(classes)]
    identities = _identities(free[free["unit"].isin(held["unit"])])
    rank = {unit: derive_seed(asked.seed, f"exchange/{identity}") for unit, identity in identities.items()}
    held = held.assign(rank=held["unit"].map(rank), set=held["unit"].map(set_of)).sort_values("rank")
    alike = held.groupby(["several", "class_name", "images", "set"]).cumcount()
    held = held[held["several"] | (alike < _ALIKE)]
    counts = held.pivot(index="unit", columns="class_name", values="images").reindex(held["unit"].unique())
    counts = counts[classes].fillna(0).astype(np.int64)
    rest = free[free["class_name"].isin(classes) & ~free["unit"].isin(counts.index)]
    still = pd.concat([there, rest.assign(subset=rest["unit"].map(set_of))])
    base = pd.crosstab(still["class_name"], still["subset"]).reindex(
        index=classes, columns=sets, fill_value=0
    )
    goal = pd.DataFrame({name: pd.Series(numbers) for name, numbers in wanted.items()}).reindex(classes)
    goal["train"] = (base.sum(axis=1) + counts.sum() - goal.sum(axis=1)).clip(lower=1)
    least = pd.DataFrame(0, index=classes, columns=sets).assign(train=1)
    if "test" in sets:
        least["test"] = [0 if name in small else asked.min_test for name in classes]
    everything = [
        np.vstack([frame[sets].to_numpy(np.int64), total])
        for frame, total in ((base, base[sets].sum()), (goal, goal[sets].sum()), (least, np.ones(len(sets))))
    ]
    starts = [set_of]
    if len(counts) <= _FEW:
        names, fractions = [f"start {number}" for number in range(1, _STARTS)], asked.fractions(wanted)
        starts += [_drawn(identities, fractions, asked.seed, name) for name in names]
    columns = np.column_stack([counts, counts.sum(axis=1)])
    places = np.array([[sets.index(start[unit]) for unit in counts.index] for start in starts])
    end = exchange(columns, places, *(table.astype(np.int64) for table in everything))
    return {unit: sets[place] for unit, place in zip(counts.index.tolist(), end.tolist(), strict=True)}
