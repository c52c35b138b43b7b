"""Divide the images of a collection into sets, class by class, where some have to stay together."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass
class _Unit:
    """Images that stay together."""

    first: int
    """The smallest id of its images."""
    group: str
    """The first group that some of its images have, by the alphabet; empty where none has any."""
    counts: dict[str, int]
    """Its images of each class that it has."""

    @property
    def identity(self) -> str:
        """What names it: its group, which added images do not change, or else its first image."""
        return self.group or str(self.first)


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
    # Plain lists, since tables of pandas for each class and unit would take far longer.
    given, unit_of, names = (table[name].tolist() for name in ("subset", "unit", "class_name"))
    images = list(zip(unit_of, names, table["image_id"].tolist(), table["group"].tolist(), strict=True))

    def as_column(subsets: list[str]) -> pd.Series:
        return pd.Series(subsets, index=table.index, dtype=table["subset"].dtype, name="subset")

    if not frozen and any(given):
        if "val" in given:
            return table["subset"].copy(), []
        training = [image for image, subset in zip(images, given, strict=True) if subset == "train"]
        wanted = {"val": _shares(Counter(name for _, name, *_ in training), asked.val_fraction, 1)}
        set_of = _choose(_gathered(training), {}, wanted, asked, set())
        # A unit may lie on both sides of the given split. Then its test images stay where they are.
        cut = [
            "val" if subset == "train" and set_of[unit] == "val" else subset
            for unit, subset in zip(unit_of, given, strict=True)
        ]
        return as_column(cut), []
    sizes, gathered = Counter(names), _gathered(images)
    wanted = {
        "test": _shares(sizes, asked.test_fraction, asked.min_test),
        "val": _shares(sizes, asked.val_fraction, 1),
    }
    known = {name for name, subset in zip(names, given, strict=True) if subset}
    small = _too_few(sizes, gathered, known, asked.min_test) - set(spared)
    subsets = _joined(unit_of, given)
    bound: dict[str, Counter[str]] = defaultdict(Counter)
    for unit, name, subset in zip(unit_of, names, subsets, strict=True):
        if subset:
            bound[subset][name] += 1
            gathered.pop(unit, None)
    while True:
        # A unit that holds an image of a small class trains as a whole.
        held = {unit: found for unit, found in gathered.items() if found.counts.keys() & small}
        free = {unit: found for unit, found in gathered.items() if unit not in held}
        set_of = dict.fromkeys(held, "train")
        there = _counted(bound, held, set_of)
        set_of |= _choose(free, there, wanted, asked, small)
        tested = _counted(there, free, set_of)["test"]
        failed = {name for name in sizes if tested[name] < asked.min_test}
        if not failed - small - set(spared):
            divided = [subset or set_of[unit] for unit, subset in zip(unit_of, subsets, strict=True)]
            return as_column(divided), sorted(small)
        small |= failed - set(spared)


def _gathered(images: Iterable[tuple[int, str, int, str]]) -> dict[int, _Unit]:
    """The units by their numbers.

    Args:
        images: unit, class, id and group of each.
    """
    found: dict[int, _Unit] = {}
    for number, name, image_id, group in images:
        unit = found.get(number) or found.setdefault(number, _Unit(image_id, group, {}))
        unit.first = min(unit.first, image_id)
        unit.group = min(unit.group or group, group) if group else unit.group
        unit.counts[name] = unit.counts.get(name, 0) + 1
    return found


def _counted(
    there: Mapping[str, Counter[str]], units: Mapping[int, _Unit], set_of: Mapping[int, str]
) -> dict[str, Counter[str]]:
    """The images of each class in each set: those that are there, and those of the units."""
    found = defaultdict(Counter, {name: counts.copy() for name, counts in there.items()})
    for number, unit in units.items():
        counts = found[set_of[number]]
        for name, count in unit.counts.items():
            counts[name] += count
    return found


def _joined(unit_of: Sequence[int], given: Sequence[str]) -> list[str]:
    """The subsets, where a free image has that of the images that it must stay with.

    Where those are in several sets, it is the set of most of them; of equally many, the first of SUBSETS.
    """
    known: dict[int, Counter[str]] = defaultdict(Counter)
    for unit, subset in zip(unit_of, given, strict=True):
        if subset:
            known[unit][subset] += 1
    most = {unit: max(SUBSETS, key=counts.__getitem__) for unit, counts in known.items()}
    return [subset or most.get(unit, "") for unit, subset in zip(unit_of, given, strict=True)]


def _too_few(
    sizes: Mapping[str, int], gathered: Mapping[int, _Unit], known: Collection[str], min_test: int
) -> set[str]:
    """The classes that cannot be divided, whatever becomes of the others: too few images, or units that are too big.

    Args:
        known: the classes of the images that have a subset.
    """
    smallest: dict[str, int] = {}
    for unit in gathered.values():
        for name, count in unit.counts.items():
            smallest[name] = min(smallest.get(name, count), count)
    return {
        name
        for name, count in sizes.items()
        if count <= min_test or (count - smallest[name] < min_test and name not in known)
    }


def _shares(sizes: Mapping[str, int], fraction: float, least: int) -> dict[str, int]:
    """The number of images that is a fraction of each class, rounded, but at least `least`."""
    return {name: max(least, int(count * fraction + 0.5)) for name, count in sizes.items()}


def _choose(
    free: Mapping[int, _Unit],
    there: Mapping[str, Counter[str]],
    wanted: Mapping[str, Mapping[str, int]],
    asked: Asked,
    small: set[str],
) -> dict[int, str]:
    """The set of every free unit.

    Units of one class are drawn in a seeded order, class by class. Those that hold several classes (a night, a trap)
    are drawn by themselves first; afterwards they, and the units of their classes, are exchanged between the sets.

    Args:
        there: the images of each class in each set that stay there; they count towards what is wanted.
        wanted: the number of images of each class, for each set beside training that is drawn, in this order.
        small: the classes that need no test image.
    """
    shared = {number: unit for number, unit in free.items() if len(unit.counts) > 1}
    set_of = _drawn(shared, asked.fractions(wanted), asked.seed, "shared")
    settled = _counted(there, shared, set_of)
    for name, numbers in wanted.items():
        undrawn = {number: unit for number, unit in free.items() if number not in set_of}
        least = asked.min_test if name == "test" else 0
        taken = _draw(undrawn, numbers, asked.seed, name, least, settled[name], settled["train"])
        set_of |= dict.fromkeys(taken, name)
    set_of = dict.fromkeys(free, "train") | set_of
    if shared:
        set_of |= _exchanged(free, there, set_of, wanted, asked, small)
    return set_of


def _drawn(
    units: Mapping[int, _Unit], fractions: Mapping[str, float], seed: int, purpose: str
) -> dict[int, str]:
    """A set for each unit, drawn by itself, so that another unit more or less changes no other's."""
    found = {}
    for number, unit in units.items():
        place = derive_seed(seed, f"{purpose}/{unit.identity}") / 2**63
        found[number] = "train"
        for name, fraction in fractions.items():
            if 0 <= place < fraction:
                found[number] = name
            place -= fraction
    return found


def _draw(
    units: Mapping[int, _Unit],
    wanted: Mapping[str, int],
    seed: int,
    purpose: str,
    least: int,
    got: Counter[str],
    spare: Counter[str],
) -> set[int]:
    """Choose units of one class each so that every class gives about the wanted number and keeps at least one image.

    The rarest class comes first. Its units are taken in a seeded order while they bring the class nearer to its
    number and leave an image to it.

    Args:
        got: images of each class that the set has already.
        spare: images of each class that train in any case.
    """
    units_of: dict[str, list[int]] = defaultdict(list)
    size: dict[int, int] = {}
    for number, unit in units.items():
        ((name, size[number]),) = unit.counts.items()
        units_of[name].append(number)
    order = {
        number: (derive_seed(seed, f"{purpose}/{unit.first}"), unit.first) for number, unit in units.items()
    }
    left = {name: sum(map(size.__getitem__, own)) + spare[name] for name, own in units_of.items()}
    taken: set[int] = set()
    for name in sorted(left, key=lambda name: (left[name], name)):
        has = got[name]
        ordered = sorted(units_of[name], key=order.__getitem__)
        # Whole groups may be too large for the share. Then the smallest of them give the class the least that it needs.
        by_size = sorted(ordered, key=size.__getitem__)
        for candidates, target, whole in ((ordered, wanted[name], False), (by_size, least, True)):
            for number in candidates:
                count, missing = size[number], target - has
                if missing <= 0:
                    break
                overshoots = not whole and count >= 2 * missing
                if number in taken or overshoots or left[name] <= count:
                    continue
                taken.add(number)
                left[name] -= count
                has += count
    return taken


def _exchanged(
    free: Mapping[int, _Unit],
    there: Mapping[str, Counter[str]],
    set_of: Mapping[int, str],
    wanted: Mapping[str, Mapping[str, int]],
    asked: Asked,
    small: set[str],
) -> dict[int, str]:
    """The sets of the units that hold several classes, and of the units of these classes, after exchanges."""
    sets = [name for name in SUBSETS if name == "train" or name in wanted]
    classes = sorted({name for unit in free.values() if len(unit.counts) > 1 for name in unit.counts})
    concerned = set(classes)
    held = [number for number, unit in free.items() if unit.counts.keys() & concerned]
    held.sort(key=lambda number: derive_seed(asked.seed, f"exchange/{free[number].identity}"))
    moving: dict[int, _Unit] = {}
    alike: Counter[object] = Counter()
    for number in held:
        unit = free[number]
        kind = *unit.counts.items(), set_of[number]
        alike[kind] += 1
        if len(unit.counts) > 1 or alike[kind] <= _ALIKE:
            moving[number] = unit
    rest = {number: free[number] for number in held if number not in moving}
    still = _counted(there, rest, set_of)
    counts = np.zeros((len(moving), len(classes)), np.int64)
    column_of = {name: column for column, name in enumerate(classes)}
    for row, unit in enumerate(moving.values()):
        for name, count in unit.counts.items():
            counts[row, column_of[name]] = count
    base = np.array([[still[name][label] for name in sets] for label in classes], dtype=np.int64)
    goal = np.array([[wanted.get(name, {}).get(label, 0) for name in sets] for label in classes])
    goal[:, 0] = np.maximum(1, base.sum(axis=1) + counts.sum(axis=0) - goal.sum(axis=1))
    least = np.zeros_like(base)
    least[:, 0] = 1
    if "test" in sets:
        least[:, sets.index("test")] = [0 if name in small else asked.min_test for name in classes]
    everything = [
        np.vstack([table, total]).astype(np.int64)
        for table, total in ((base, base.sum(axis=0)), (goal, goal.sum(axis=0)), (least, np.ones(len(sets))))
    ]
    starts = [set_of]
    if len(moving) <= _FEW:
        names, fractions = [f"start {number}" for number in range(1, _STARTS)], asked.fractions(wanted)
        starts += [_drawn(moving, fractions, asked.seed, name) for name in names]
    columns = np.column_stack([counts, counts.sum(axis=1)])
    places = np.array([[sets.index(start[number]) for number in moving] for start in starts])
    end = exchange(columns, places, *everything)
    return {number: sets[place] for number, place in zip(moving, end.tolist(), strict=True)}
