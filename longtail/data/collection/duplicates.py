"""Find images that a collection has more than once, as equal files or as nearly equal pictures."""

from collections.abc import Iterable

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64
MAX_DISTANCE = 3
"""The number of bits in which the hashes of near duplicates may differ."""
MAX_DIFFERENCE = 5.0
"""The levels, out of 255, by which the thumbnails of near duplicates may differ on average."""
_BANDS = MAX_DISTANCE + 1


def difference_hash(grey: np.ndarray) -> int:
    """Hash a picture in 64 bits: whether each grey value exceeds its right neighbour. Similar pictures share most bits.

    Args:
        grey: 8 x 9 values.

    Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013 (dHash).
    """
    return int.from_bytes(np.packbits(grey[:, :-1] > grey[:, 1:]).tobytes())


def near_duplicates(hashes: np.ndarray, thumbnails: np.ndarray) -> list[tuple[int, int]]:
    """The pairs of positions whose pictures look the same.

    The hashes propose pairs, since they are quick to compare. The thumbnails decide, since plain backgrounds give
    many different pictures one hash. Hashes that differ in at most 3 bits agree in at least one of four bands of
    16 bits, so only images that share a band are compared.

    Args:
        hashes: uint64, N, from `difference_hash`.
        thumbnails: uint8, N x any shape, in colour, since shapes on plain grounds may differ in nothing else.

    Returns:
        Pairs (smaller, larger), sorted.
    """
    pairs: set[tuple[int, int]] = set()
    bits = HASH_BITS // _BANDS
    thumbnails = thumbnails.reshape(len(thumbnails), -1).astype(np.int16)
    for band in range(_BANDS):
        keys = (hashes >> np.uint64(band * bits)) & np.uint64((1 << bits) - 1)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] + np.uint64(1)))
        for members in np.split(order, starts[1:]):
            for place, first in enumerate(members[:-1]):  # in ascending order
                others = members[place + 1 :]
                close = np.bitwise_count(hashes[others] ^ hashes[first]) <= MAX_DISTANCE
                others = others[close]
                difference = np.abs(thumbnails[others] - thumbnails[first]).mean(axis=1)
                pairs.update((first, other) for other in others[difference <= MAX_DIFFERENCE])
    return sorted((int(first), int(second)) for first, second in pairs)


def connected(count: int, links: Iterable[tuple[int, int]]) -> np.ndarray:
    """For each of `count` things, the smallest one that it is linked with, directly or through others."""
    pairs = np.array([*links], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    group_of = connected_components(graph, directed=False)[1]
    return np.unique(group_of, return_index=True)[1][group_of]
