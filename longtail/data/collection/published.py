"""Decode the pictures of published lists once, part by part, so that an interrupted job goes on where it was."""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from tqdm import tqdm

from longtail.data.collection.decoding import UnreadableImage, decode, in_order
from longtail.data.collection.shape import Shape
from longtail.data.lists.published import PARTS, Listed
from longtail.data.tensors.files import LabelledImages, parts_begun, save_parts
from longtail.data.tensors.selection import LARGE

PART_BYTES = 2**28
"""Bytes of the images that are decoded between two files, which an interruption costs at most."""
SPARE = 2**30
"""Bytes of the disk that stay free for everything else."""


def decode_listed(
    listed: Listed,
    root: str | Path,
    path: str | Path,
    size: int,
    *,
    shape: Shape,
    threads: int = 1,
    part_bytes: int = PART_BYTES,
) -> None:
    """Write all pictures of the lists as size x size pixels to a file of tensors with shards.

    The ids count the images of all lists. A progress bar goes to stderr, and what the disk has to hold to stdout.

    Args:
        root: the folder in which the paths of the lists start.
        path: the file of tensors (.pth); its shards lie in a folder beside it.
        shape: how pictures become squares.
        threads: how many pictures are decoded at a time.

    Raises:
        ValueError: pictures cannot be read. The message says how many, and names the first.
        OSError: the disk does not hold what the experiment writes, or cannot be written to.
    """
    root, path, of_one = Path(root), Path(path), 3 * size**2
    each = max(1, part_bytes // of_one)
    count = -(-len(listed.paths) // each)
    of = _fingerprint(listed, root, size, shape, each)
    begun = min(count, parts_begun(path, of))
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_disk(listed, path.parent, of_one, min(begun * each, len(listed.paths)))
    bar = tqdm(desc="decoding", total=len(listed.paths), initial=begun * each, unit=" images")
    unreadable: list[UnreadableImage] = []

    def read(name: str) -> torch.Tensor | UnreadableImage:
        try:
            return decode(root / name, size, shape=shape)
        except UnreadableImage as error:
            return error

    with bar, ThreadPoolExecutor(threads) as pool:

        def part(number: int) -> LabelledImages:
            own = slice(number * each, (number + 1) * each)
            names = listed.paths[own]
            images = torch.empty((len(names), 3, size, size), dtype=torch.uint8)
            for place, found in enumerate(in_order(pool, read, names, ahead=4 * threads)):
                bar.update()
                if isinstance(found, UnreadableImage):
                    unreadable.append(found)
                else:
                    images[place] = found
            if unreadable:
                raise ValueError(
                    f"{len(unreadable):,} of {len(names):,} pictures cannot be read, such as "
                    f"{'; '.join(map(str, unreadable[:3]))}. Unpack the archive anew, or take them out of the lists"
                )
            ids = torch.arange(own.start, own.start + len(names))
            return LabelledImages(images, torch.tensor(listed.labels[own]), ids, listed.class_names)

        kept = save_parts(path, count, part, of)
    print(
        f"{len(listed.paths):,} images of {len(listed.class_names):,} classes in {count:,} files"
        + (f", {kept:,} of them from an interrupted job" if kept else ""),
        flush=True,
    )


def bytes_needed(listed: Listed, of_one: int) -> int:
    """Bytes that all files of images take at the most: all images, those of each set, and a temporary file.

    Args:
        of_one: the bytes of one image.
    """
    sets = [of_one * listed.subsets.count(subset) for subset in PARTS]
    # Without a list of its own, the test images take the place of those to validate with.
    validating = 0 if sets[1] else sets[2]
    largest = max(sets)
    return 2 * sum(sets) + validating + (largest if largest >= LARGE else 0)


def _check_disk(listed: Listed, folder: Path, of_one: int, done: int) -> None:
    needed = bytes_needed(listed, of_one) - of_one * done
    free = shutil.disk_usage(folder).free
    print(
        f"{len(listed.paths):,} images of {of_one:,} bytes; with the files of the sets they take "
        f"{needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free"
        + (f"; {done:,} images are there from an interrupted job" if done else ""),
        flush=True,
    )
    if free < needed + SPARE:
        raise OSError(
            f"{folder} has {free / 1e9:.1f} GB free, and the images take {needed / 1e9:.1f} GB and {SPARE / 1e9:.1f} "
            "GB to spare; free some, set paths.results to a larger disk, or lower data.lists.size"
        )


def _fingerprint(listed: Listed, root: Path, size: int, shape: Shape, each: int) -> str:
    """What the parts are made of: the lists, the files by what the file system says of them, and the settings."""
    digest = hashlib.sha256(json.dumps([listed.class_names, listed.labels, size, shape, each]).encode())
    for name in listed.paths:
        status = os.stat(root / name)  # noqa: PTH116 (there may be a million)
        digest.update(json.dumps([name, status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()
