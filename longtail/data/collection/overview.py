"""A first look at a collection, by which a configuration is proposed: all files as listed, some of them decoded."""

import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from longtail.data.collection.decoding import in_order
from longtail.data.collection.file import inspect
from longtail.data.collection.findings import check, findings_table
from longtail.data.collection.listing import Listing, image_id, list_images
from longtail.data.lists.rows import GROUP_COLUMN, Choices
from longtail.data.split.told import fitting_groups, share_table

LOOKED_AT = 120
"""How many pictures are decoded: enough to tell their sizes, and the mean of a channel to a few grey levels."""
SIDE = 32
OF_GROUPS = (
    *("individual", "animal", "specimen", "patient", "subject", "track", "burst", "sequence", "occurrence"),
    *(
        "event",
        "night",
        "trap",
        "camera",
        "deployment",
        "station",
        "slide",
        "session",
        "site",
        "location",
        "day",
        "date",
    ),
)
"""Words in the names of columns whose equal values are pictures of one thing, one place or one time, the closest tie
first."""


@dataclass(frozen=True)
class Overview:
    """What is seen of a collection.

    Attributes:
        images: usable by their names, regions counted each.
        left_out: files and rows that are not.
        counts: training images of each class that the split would leave, by class name.
        tested, validated: images of these sets, and the most of one class in the latter.
        small: the classes that are too small to be tested.
        given: whether the collection brings a split of its own.
        groups: how many groups there are; 0, none are known.
        group_column: the column that they come from; None for a folder, or where there is none.
        other_columns: further columns that may be groups.
        nested: images in folders below those of the classes.
        looked_at, unreadable: how many pictures were decoded, and how many could not be.
        sizes: width and height of each decoded picture or region, in pixels.
        mean, std: of the three channels, from 0 to 1, over the decoded pictures.
        cut, limits, reason: which groups of classes fit, as `fitting_groups` says.
    """

    images: int
    left_out: int
    counts: Mapping[str, int]
    tested: int
    validated: int
    most_validated: int
    small: tuple[str, ...]
    given: bool
    groups: int
    group_column: str | None
    other_columns: tuple[str, ...]
    nested: int
    looked_at: int
    unreadable: int
    sizes: tuple[tuple[int, int], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cut: str
    limits: tuple[int, int] | None
    reason: str

    @property
    def imbalance(self) -> float:
        """How many times as many training images the largest class has as the smallest."""
        return max(self.counts.values()) / max(1, min(self.counts.values()))


def look(
    source: str, choices: Choices, root: str | None, settings: Mapping[str, Any], threads: int
) -> Overview:
    """Look at a collection. Without a column of groups by the user, one that is called like it is taken.

    Args:
        source, choices, root: as `list_images` takes them.
        settings: the arguments of `natural_split`.
        threads: how many pictures are decoded at a time.

    Raises:
        FileNotFoundError, ValueError: as `list_images`; or no picture can be decoded, or none can be divided.
    """
    listing = list_images(source, choices, root)
    found = _columns_of_groups(listing) if choices.group_column == GROUP_COLUMN else []
    divided, column = _divided(listing, settings), None
    if any(entry.group for entry in listing.entries):
        column, found = choices.group_column, []
    for name in found:
        grouped = list_images(source, replace(choices, group_column=name), root)
        try:
            divided, column = _divided(grouped, settings), name
        except ValueError:  # too few groups to divide by
            continue
        listing = grouped
        break
    split, small = divided
    shares = share_table(split)
    counts = dict(zip(shares["class_name"], shares["train"].tolist(), strict=True))
    cut, limits, reason = fitting_groups(list(counts.values()))
    sizes, mean, std, looked_at = _decoded(listing, threads)
    return Overview(
        images=len(listing.entries),
        left_out=sum(finding.action == "left out" for finding in listing.findings),
        counts=counts,
        tested=int(shares["test"].sum()),
        validated=int(shares["val"].sum()),
        most_validated=int(shares["val"].max()),
        small=small,
        given=any(entry.subset for entry in listing.entries),
        groups=len({entry.group for entry in listing.entries if entry.group}),
        group_column=column,
        other_columns=tuple(name for name in found if name != column),
        nested=0
        if column
        else sum(entry.path.count("/") > 1 + bool(entry.subset) for entry in listing.entries),
        looked_at=looked_at,
        unreadable=looked_at - len(sizes),
        sizes=tuple(sizes),
        mean=mean,
        std=std,
        cut=cut,
        limits=limits,
        reason=reason,
    )


def _columns_of_groups(listing: Listing) -> list[str]:
    """The further columns of a list that are called like groups and have fewer values than images, the best first."""
    values: dict[str, Counter[str]] = {}
    for entry in listing.entries:
        for name, value in entry.more:
            values.setdefault(name, Counter())[value.strip()] += 1
    total = len(listing.entries)
    ranks = {}
    for name, own in values.items():
        words = {
            word.rstrip("s")
            for word in re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
        }
        rank = next((place for place, word in enumerate(OF_GROUPS) if word in words), None)
        if rank is not None and own[""] < total / 10 and 1 < len(own) < total:
            ranks[name] = rank
    return sorted(ranks, key=lambda name: ranks[name])


def _divided(listing: Listing, settings: Mapping[str, Any]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The split of the listed files, and the classes that are too small to be tested."""
    ids = [image_id(entry.name) for entry in listing.entries]
    index = pd.DataFrame(
        {
            "image_id": np.array(ids, np.int64),
            "path": [entry.name for entry in listing.entries],
            "class_name": [entry.class_name for entry in listing.entries],
            "subset": [entry.subset for entry in listing.entries],
            "group": [entry.group for entry in listing.entries],
            "twin": np.array(ids, np.int64),
        }
    )
    table, split = check(index, findings_table(listing.findings), strict=False, **settings)
    if split is None:
        raise ValueError(table.loc[table["kind"] == "split", "found"].iloc[0])
    return split, tuple(table.loc[table["kind"] == "small class", "path"])


def _decoded(
    listing: Listing, threads: int
) -> tuple[list[tuple[int, int]], tuple[float, ...], tuple[float, ...], int]:
    """Sizes, mean and standard deviation of some pictures of each class, and of how many this was tried."""
    of_class: Counter[str] = Counter()
    ranked = []
    for entry in sorted(listing.entries, key=lambda entry: image_id(entry.name)):
        of_class[entry.class_name] += 1
        ranked.append((of_class[entry.class_name], entry))
    entries = [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])[:LOOKED_AT]]
    with ThreadPoolExecutor(threads) as pool:

        def read(entry: Any) -> Any:
            return inspect(listing.root, entry, SIDE, max_side=30_000, min_side=2)

        found = list(in_order(pool, read, entries, ahead=2 * threads))
    usable = [one for one in found if one.pixels is not None]
    if not usable:
        told = "; ".join(
            f"{one.findings[0].path} {one.findings[0].found}" for one in found[:3] if one.findings
        )
        raise ValueError(f"none of {len(found)} pictures of {listing.root} can be decoded, such as {told}")
    pixels = np.stack([one.pixels for one in usable]).astype(np.float64) / 255
    mean, std = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    sizes = [(one.width, one.height) for one in usable]
    return sizes, tuple(mean.tolist()), tuple(std.tolist()), len(found)
