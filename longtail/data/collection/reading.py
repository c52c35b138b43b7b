"""A collection of image files, decoded once: tensors, a table of the images, and what was found on the way."""

import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm import tqdm

from longtail.data.collection.duplicates import connected, near_duplicates
from longtail.data.collection.file import Inspected, inspect
from longtail.data.collection.listing import Entry, Finding, Listing, image_id
from longtail.data.tensors.files import LabelledImages
from longtail.files.atomic import writing

INDEX = ["image_id", "path", "class_name", "subset", "group", "twin", "width", "height", "sha256"]


@dataclass(frozen=True)
class Collection:
    """Images of a collection.

    Attributes:
        images: all that can be used, by ascending id, the classes in the order of their names.
        index: one row each, columns INDEX: the path in the collection, subset and group of the csv ("" where not
            given), the smallest id among the image's duplicates (its own without any), the size of the upright
            image in pixels, and the hash of the file.
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
) -> Collection:
    """Decode every image of a listing to size x size pixels, in parallel, with a progress bar on stderr.

    The pixels go through a file in `scratch`, which disappears with them, so a collection may be larger than
    the memory.

    Args:
        near: look for near duplicates, not only for equal files.
        threads: how many images are decoded at a time.

    Raises:
        ValueError: fewer than two classes have usable images.
        OSError: the scratch file could not be written.
    """
    entries = sorted(listing.entries, key=lambda entry: image_id(entry.path))
    read = partial(_read, listing.root, size=size, max_side=max_side, min_side=min_side)
    kept, facts, pixels, found = _decoded(entries, read, size, scratch, threads)
    findings = listing.findings + found
    class_names = sorted({entry.class_name for entry in kept})
    if len(class_names) < 2:
        raise ValueError(
            f"{listing.root} has usable images of {len(class_names)} classes; two are needed. "
            f"{len(entries) - len(kept)} of {len(entries)} files cannot be used, such as "
            f"{', '.join(f'{f.path} ({f.found})' for f in findings if f.action == 'left out')[:300]}"
        )
    findings += [
        Finding(name, "empty class", "a class whose images all cannot be used", "left out")
        for name in sorted({entry.class_name for entry in entries} - set(class_names))
    ]
    ids = np.array([image_id(entry.path) for entry in kept], dtype=np.int64)
    sha256 = [image.sha256 for image in facts]
    twins = _twins(facts, near)
    findings += _duplicate_findings(kept, sha256, twins)
    label_of = {name: label for label, name in enumerate(class_names)}
    images = LabelledImages(
        images=pixels,
        labels=torch.tensor([label_of[entry.class_name] for entry in kept]),
        image_ids=torch.from_numpy(ids),
        class_names=class_names,
    )
    index = pd.DataFrame(
        {
            "image_id": ids,
            "path": [entry.path for entry in kept],
            "class_name": [entry.class_name for entry in kept],
            "subset": [entry.subset for entry in kept],
            "group": [entry.group for entry in kept],
            "twin": ids[twins],
            "width": [image.width for image in facts],
            "height": [image.height for image in facts],
            "sha256": sha256,
        }
    )
    return Collection(images, index, sorted(findings))


def _decoded(
    entries: list[Entry], read: Callable[[Entry], Inspected], size: int, scratch: str | Path, threads: int
) -> tuple[list[Entry], list[Inspected], torch.Tensor, list[Finding]]:
    """The entries that can be used, what is known of each, their pixels in a temporary file, and all findings."""
    findings: list[Finding] = []
    kept, facts = [], []
    with (
        writing(Path(scratch) / "(temporary file)"),
        tempfile.TemporaryFile(dir=scratch) as file,
        ThreadPoolExecutor(threads) as pool,
        warnings.catch_warnings(),
    ):
        # Pillow warns of very large pictures; here they become findings.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        results = _in_order(pool, read, entries, ahead=4 * threads)
        for entry, image in tqdm(
            zip(entries, results, strict=True), "decoding", len(entries), unit=" images"
        ):
            findings += image.findings
            if image.pixels is not None:
                file.write(image.pixels.tobytes())
                kept.append(entry)
                facts.append(replace(image, pixels=None))
        file.flush()
        return kept, facts, _mapped(file, len(kept), size), findings


def _read(root: Path, entry: Entry, **options: int) -> Inspected:
    return inspect(root, entry.path, **options)


def _in_order(
    pool: Executor, function: Callable[[Entry], Inspected], entries: Iterable[Entry], ahead: int
) -> Iterator[Inspected]:
    """Results in the order of the entries, at most `ahead` of them before they are taken."""
    waiting: deque[Future[Inspected]] = deque()
    for entry in entries:
        waiting.append(pool.submit(function, entry))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _mapped(file: BinaryIO, count: int, size: int) -> torch.Tensor:
    """The images in an open file as a tensor that stays there, also after the file is closed."""
    if not count:
        return torch.empty(0, 3, size, size, dtype=torch.uint8)
    return torch.from_numpy(np.memmap(file, np.uint8, "c", shape=(count, 3, size, size)))


def _twins(images: list[Inspected], near: bool) -> np.ndarray:
    """Position of the first duplicate of every image, its own if there is none; duplicates in order of the ids."""
    first: dict[str, int] = {}
    links = [(first.setdefault(image.sha256, place), place) for place, image in enumerate(images)]
    if near:
        hashes = np.array([image.hash for image in images], dtype=np.uint64)
        links += near_duplicates(
            hashes, np.stack([image.thumbnail for image in images if image.thumbnail is not None])
        )
    return connected(len(images), links)


def _duplicate_findings(entries: list[Entry], sha256: list[str], twins: np.ndarray) -> list[Finding]:
    findings = []
    for place in np.flatnonzero(twins != np.arange(len(twins))):
        own, other = entries[place], entries[twins[place]]
        exact = "exact" if sha256[place] == sha256[twins[place]] else "near"
        found = f"{'is the same file as' if exact == 'exact' else 'looks like'} {other.path}"
        if own.class_name != other.class_name:
            found += f", of class {other.class_name!r}"
        if own.subset != other.subset:
            findings.append(
                Finding(
                    own.path,
                    f"{exact} duplicate",
                    f"{found}; one is in {own.subset}, the other in {other.subset}",
                    "kept, as the csv divides them; accuracies are too high",
                )
            )
        else:
            refused = own.class_name != other.class_name
            action = "both are kept" if own.subset else "both are kept, on the same side of the split"
            findings.append(Finding(own.path, f"{exact} duplicate", found, action, refused))
    return findings
