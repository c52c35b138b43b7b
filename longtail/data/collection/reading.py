"""Decode a collection of image files once: into tensors, a table of the images, and the findings about them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from longtail.data.collection.decoding import in_order
from longtail.data.collection.duplicates import connected, near_duplicates
from longtail.data.collection.file import Inspected, inspect
from longtail.data.collection.listing import Entry, Finding, Listing, image_id
from longtail.data.collection.shape import STRETCHED, Shape
from longtail.data.tensors.files import LabelledImages, mapped

_DIVIDED = "kept, as the given split divides them; accuracies are too high"
INDEX = ["image_id", "path", "class_name", "subset", "group", "twin", "width", "height", "sha256"]


@dataclass(frozen=True)
class Collection:
    """Images of a collection.

    Attributes:
        images: all that can be used, by ascending id, the classes in the order of their names.
        index: one row for each image, columns INDEX. `subset` and `group` are those that were given, or "". `twin` is
            the smallest id among the image, its duplicates and other regions of its file. Width and height are those
            of the upright image or of its region, in pixels, and `sha256` is the hash of the file. The `path` of a
            region ends with its numbers.
        findings: all that was noticed, by path.
    """

    images: LabelledImages
    index: pd.DataFrame
    findings: list[Finding]


def read_collection(
    listing: Listing,
    size: int,
    scratch: str | Path,
    *,
    max_side: int,
    min_side: int,
    near: bool = True,
    threads: int = 1,
    shape: Shape = STRETCHED,
) -> Collection:
    """Decode every image of a listing to size x size pixels, in parallel, with a progress bar on stderr.

    The pixels lie in a file in `scratch`, so that a collection may be larger than the memory. The file disappears
    with them.

    Args:
        near: whether to look for near duplicates too, and not only for equal files.
        threads: how many images are decoded at a time.
        shape: how pictures become squares.

    Raises:
        ValueError: fewer than two classes have usable images.
        OSError: the scratch file could not be written.
    """
    everything = sorted(listing.entries, key=lambda entry: image_id(entry.name))

    def read(entry: Entry) -> Inspected:
        return inspect(listing.root, entry, size, max_side=max_side, min_side=min_side, shape=shape)

    pixels, entries, files, found = _decoded(everything, read, size, Path(scratch), threads)
    findings = [*listing.findings, *found]
    class_names = sorted({entry.class_name for entry in entries})
    if len(class_names) < 2:
        raise ValueError(
            f"{listing.root} has usable images of {len(class_names)} classes; two are needed. "
            f"{len(everything) - len(entries)} of {len(everything)} files cannot be used, such as "
            f"{', '.join(f'{f.path} ({f.found})' for f in findings if f.action == 'left out')[:300]}"
        )
    findings += [
        Finding(name, "empty class", "a class whose images all cannot be used", "left out")
        for name in {entry.class_name for entry in everything} - set(class_names)
    ]
    twins = _twins(entries, files, near)
    findings += _duplicate_findings(entries, files, twins) + _divided_groups(entries)
    ids = np.array([image_id(entry.name) for entry in entries], dtype=np.int64)
    label_of = {name: label for label, name in enumerate(class_names)}
    images = LabelledImages(
        images=pixels,
        labels=torch.tensor([label_of[entry.class_name] for entry in entries]),
        image_ids=torch.from_numpy(ids),
        class_names=class_names,
    )
    index = pd.DataFrame(entries).assign(
        path=[entry.name for entry in entries],
        image_id=ids,
        twin=ids[twins],
        width=[file.width for file in files],
        height=[file.height for file in files],
        sha256=[file.sha256 for file in files],
    )
    return Collection(images, index[INDEX], sorted(findings))


def _decoded(
    everything: list[Entry], read: Callable[[Entry], Inspected], size: int, scratch: Path, threads: int
) -> tuple[torch.Tensor, list[Entry], list[Inspected], list[Finding]]:
    """The pixels of all images that can be used, their entries and facts (without pixels), and the findings."""
    findings: list[Finding] = []
    entries: list[Entry] = []
    files: list[Inspected] = []

    def usable(pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
        results = zip(everything, in_order(pool, read, everything, ahead=4 * threads), strict=True)
        for entry, image in tqdm(results, "decoding", len(everything), unit=" images"):
            findings.extend(image.findings)
            if image.pixels is not None:
                entries.append(entry)
                files.append(replace(image, pixels=None))
                yield image.pixels

    with ThreadPoolExecutor(threads) as pool:
        return mapped(usable(pool), (3, size, size), scratch), entries, files, findings


def _twins(entries: list[Entry], files: list[Inspected], near: bool) -> np.ndarray:
    """For every image, the position of its first duplicate by id, or its own position if it has none before it.

    Regions of one file count as duplicates, since they show the same place at the same time.
    """
    first: dict[str, int] = {}
    links = [(first.setdefault(file.sha256, place), place) for place, file in enumerate(files)]
    links += [(first.setdefault(f"/{entry.path}", place), place) for place, entry in enumerate(entries)]
    if near:
        hashes = np.array([file.hash for file in files], dtype=np.uint64)
        links += near_duplicates(hashes, np.stack([file.thumbnail for file in files]))
    return connected(len(files), links)


def _duplicate_findings(entries: list[Entry], files: list[Inspected], twins: np.ndarray) -> list[Finding]:
    """A finding for each image that is not the first of its twins; one of another class is a conflict of labels."""
    findings = []
    first: dict[tuple[object, ...], int] = {}
    copies = [
        first.setdefault((file.sha256, entry.box), place)
        for place, (file, entry) in enumerate(zip(files, entries, strict=True))
    ]
    for place in np.flatnonzero(twins != np.arange(len(twins))):
        exact = copies[place] != place
        own, other = entries[place], entries[copies[place] if exact else twins[place]]
        divided, region = own.subset != other.subset, own.path == other.path
        if region and not divided:
            continue
        conflict = own.class_name != other.class_name and not region
        kind = f"{'exact' if exact else 'near'} duplicate"
        found = f"{'is the same file as' if exact else 'looks like'} {other.name}"
        if region:
            kind, found = "divided picture", f"is a region of the same picture as {other.name}"
        if conflict:
            kind = "label conflict" if exact else kind
            found += f", of class {other.class_name!r}"
        action = "both are kept" if own.subset else "both are kept, on the same side of the split"
        if divided:
            found += f"; one is in {own.subset}, the other in {other.subset}"
            action = _DIVIDED
        findings.append(Finding(own.name, kind, found, action, conflict or divided, other.name))
    return findings


def _divided_groups(entries: list[Entry]) -> list[Finding]:
    """A finding for each group on both sides of a given split."""
    groups: dict[str, dict[str, str]] = {}
    for entry in sorted(entries):
        if entry.group:
            groups.setdefault(entry.group, {}).setdefault(entry.subset, entry.path)
    return [
        Finding(
            group,
            "divided group",
            "is a group with images in "
            + " and in ".join(f"{subset} ({path})" for subset, path in sorted(sides.items())),
            _DIVIDED,
        )
        for group, sides in groups.items()
        if len(sides) > 1
    ]
