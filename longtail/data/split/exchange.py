"""Move and exchange whole groups between the sets of a split, until no class comes nearer to its shares by it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Whole = np.ndarray[Any, np.dtype[np.int64]]

MOST_PAIRED = 200
"""The most groups of which all pairs are tried. With more of them, moving single ones comes as near."""
_AT_A_TIME = 4096
"""Candidates that are looked at together, so that the memory stays small."""
_SCALE = 2**40
_URGENT = np.array([2**20, 1, 1])
"""How much one lacking image of each set counts: without one to train on, a class cannot be learnt at all."""


def exchange(counts: Whole, starts: Whole, base: Whole, wanted: Whole, least: Whole) -> Whole:
    """Improve a division of whole groups: each step moves one, or exchanges two, where that is better.

    Better is, first, to lack fewer images of `least`, those of the first set (training) before others; and then a
    smaller sum of squared deviations from the wanted shares, over all classes and sets, where each class counts alike,
    however many images it has, and all images together as much as all classes. Everything is computed in whole numbers,
    so the result is the same on every machine.

    The aim is that of Sechidis et al., "On the Stratification of Multi-Label Data", 2011, who assign one example after
    the other. Groups are few and large, so the last ones could not make up for the earlier ones; hence exchanges.

    Args:
        counts: images of each class in each group, int64 (U, C), and in the last column of all classes together. Of
            changes that are equally good, that of the earlier groups is made.
        starts: the set of each group at the beginning, int64 (K, U); the best of the K ends is taken.
        base: images that stay in each set, int64 (C, S).
        wanted: images that each set should get, int64 (C, S).
        least: images that each set needs, int64 (C, S).

    Returns:
        The set of each group at the end, int64 (U,). No single move makes it better, and with at most MOST_PAIRED
        groups no exchange of two does.
    """
    ends = [_improved(counts, start, base, wanted, least) for start in starts]
    return min(ends, key=lambda end: end.badness()).sets


def _improved(counts: Whole, start: Whole, base: Whole, wanted: Whole, least: Whole) -> "_State":
    state = _State(counts, start.copy(), base.copy(), wanted, least)
    groups, others = np.arange(len(start)), wanted.shape[1] - 1
    while True:
        moved = np.repeat(groups, others)
        target = (state.sets[moved] + np.tile(1 + np.arange(others), len(groups))) % (others + 1)
        if state.improve(moved, np.full(len(moved), -1), target):
            continue
        if len(start) > MOST_PAIRED:
            return state
        first, second = np.triu_indices(len(start), 1)
        apart = state.sets[first] != state.sets[second]
        first, second = first[apart], second[apart]
        if not state.improve(first, second, state.sets[second]):
            return state


@dataclass
class _State:
    """A division, and how good it is."""

    counts: Whole
    sets: Whole
    got: Whole
    wanted: Whole
    least: Whole

    def __post_init__(self) -> None:
        np.add.at(self.got.T, self.sets, self.counts)
        sizes = self.got.sum(axis=1)
        self.weight = np.maximum(1, _SCALE // np.maximum(1, sizes) ** 2)
        self.weight[-1] *= max(1, len(sizes) - 1)

    def badness(self) -> tuple[int, int]:
        """The images that are lacking, those to train on above all, and the sum of squared deviations."""
        lacking = (_URGENT[: self.got.shape[1]] * np.maximum(0, self.least - self.got)).sum()
        return int(lacking), int((self.weight[:, None] * (self.got - self.wanted) ** 2).sum())

    def improve(self, first: Whole, second: Whole, target: Whole) -> bool:
        """Make those of the changes that help, the best one first; whether there was any.

        Each change moves the group `first` to the set `target` and, unless it is -1, the group `second` from there to
        where the first was.
        """
        if not len(first):
            return False
        parts = np.array_split(np.arange(len(first)), 1 + len(first) // _AT_A_TIME)
        effects = [self._effect(first[part], second[part], target[part]) for part in parts]
        lacking, cost = (np.concatenate(each) for each in zip(*effects, strict=True))
        helps = np.flatnonzero((lacking < 0) | ((lacking == 0) & (cost < 0)))
        order = np.lexsort((second[helps], first[helps], cost[helps], lacking[helps]))
        for place in helps[order]:
            one, other, to = first[place], second[place], target[place]
            source = self.sets[one]
            if source == to or (other >= 0 and self.sets[other] != to):
                continue  # An earlier change has moved them.
            at = slice(place, place + 1)
            (lacks,), (costs,) = self._effect(first[at], second[at], target[at])
            if lacks < 0 or (lacks == 0 and costs < 0):
                change = self.counts[one] - (self.counts[other] if other >= 0 else 0)
                self.got[:, source] -= change
                self.got[:, to] += change
                self.sets[one] = to
                if other >= 0:
                    self.sets[other] = source
        return len(helps) > 0

    def _effect(self, first: Whole, second: Whole, target: Whole) -> tuple[Whole, Whole]:
        """By how many images each change makes the sets lack more, and by how much it raises the deviations."""
        change = self.counts[first] - np.where(second[:, None] >= 0, self.counts[second], 0)
        source = self.sets[first]
        lacking = np.zeros(len(first), np.int64)
        cost = np.zeros(len(first), np.int64)
        for of_set, new in ((source, -change), (target, change)):
            got, wanted, least = (table.T[of_set] for table in (self.got, self.wanted, self.least))
            lacking += _URGENT[of_set] * (np.maximum(0, least - got - new) - np.maximum(0, least - got)).sum(
                axis=1
            )
            cost += (self.weight * new * (new + 2 * (got - wanted))).sum(axis=1)
        return lacking, cost
