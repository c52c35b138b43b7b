"""Labelled images in memory, and in `.pth` files that hold only tensors. A large set has several files."""

import hashlib
import json
import math
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from longtail.data.tensors.shards import ShardedImages
from longtail.files.atomic import atomic_path, writing
from longtail.files.regular import check_regular

SHARD_BYTES = 2**31
"""Bytes of images in one file. The format has no limit, but some file systems (4 GiB), quotas, archives and uploads
have. And when a part is damaged, only that part has to be copied again."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels and the ids by which the split names them.

    Attributes:
        images: uint8, N x 3 x H x W, RGB, 0 to 255. A set in several files that stay mapped has ShardedImages,
            which are indexed like a tensor.
        labels: int64, N, indices into `class_names`.
        image_ids: int64, N, each at most once.
        class_names: one per class, in label order; a class may have no images here.
        official_subset: N times "train" or "test", where the source publishes a division of its own.

    Raises:
        ValueError: a tensor has another dtype or shape, or a label or id is not as above. Names the field.
    """

    images: torch.Tensor | ShardedImages
    labels: torch.Tensor
    image_ids: torch.Tensor
    class_names: list[str]
    official_subset: list[str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.images, ShardedImages):
            _check_tensor("images", self.images, torch.uint8, dimensions=4)
        count, channels = self.images.shape[:2]
        if channels != 3:
            raise ValueError(f"images must have 3 channels (N x 3 x H x W), found {tuple(self.images.shape)}")
        for field, tensor in (("labels", self.labels), ("image_ids", self.image_ids)):
            _check_tensor(field, tensor, torch.int64, dimensions=1)
            if len(tensor) != count:
                raise ValueError(f"{field} must have {count} entries, as images, found {len(tensor)}")
        _check_names(self.class_names)
        if count and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.class_names):
            found = f"{int(self.labels.min())} to {int(self.labels.max())}"
            raise ValueError(f"labels must lie in 0 to {len(self.class_names) - 1}, found {found}")
        if len(self.image_ids.unique()) != count:
            raise ValueError("image_ids must be unique, found an id more than once")
        if self.official_subset is not None:
            _check_official_subset(self.official_subset, count)


def save_tensors(data: LabelledImages, path: str | Path, shard_bytes: int = SHARD_BYTES) -> None:
    """Write `data` as a dict of tensors and strings that `torch.load(path, weights_only=True)` reads.

    The same data gives the same bytes under any name, with any object identities. Images that stay in a file are
    written from there.

    Args:
        shard_bytes: a set with more bytes of images than this is divided among `0000.pth` and so on, in a folder
            beside `path` that ends in `.shards`. `path` then lists their checksums. What an earlier set left in
            the folder is removed.

    Raises:
        OSError: the file could not be written; nothing is left under `path`.
    """
    path = Path(path)
    shards: list[str] = []
    if data.images.nbytes > shard_bytes:
        shards = _save_shards(data, path, shard_bytes)
        _save({"shards": shards, "sha256": _sha256_of(shards)}, path)
    else:
        _save(_content(replace(data, images=_whole(data.images))), path)
    _remove_shards(path, len(shards))


def _save_shards(data: LabelledImages, path: Path, shard_bytes: int) -> list[str]:
    """Write the parts of a set, and return their checksums."""
    each = max(1, shard_bytes // math.prod(data.images.shape[1:]))
    checksums = []
    for number, start in enumerate(range(0, len(data.labels), each)):
        part = slice(start, start + each)
        own = replace(
            data,
            images=data.images[part],
            labels=data.labels[part],
            image_ids=data.image_ids[part],
            official_subset=data.official_subset and data.official_subset[part],
        )
        content = _content(own)
        _save(content, _shard(path, number))
        checksums.append(content["sha256"])
    return checksums


def save_parts(path: str | Path, count: int, part: Callable[[int], LabelledImages], of: str) -> int:
    """Write a set of `count` parts, each made when its turn comes, and keep those that an interrupted job has left.

    Args:
        path: as `save_tensors` takes it. The set always has a folder of shards.
        part: makes the images of a part, by its number from 0.
        of: a text that says what the parts are made of. Parts of anything else are made anew.

    Returns:
        How many parts were kept.

    Raises:
        OSError: a file could not be written. The finished parts stay for the next time.
    """
    path, kept, checksums = Path(path), 0, []
    begun = path.with_suffix(".shards") / "begun.txt"
    if not begun.is_file() or begun.read_text(encoding="utf-8") != of:
        _remove_shards(path, 0)
        with atomic_path(begun) as temporary:
            temporary.write_text(of, encoding="utf-8")
    for number in range(count):
        shard = _shard(path, number)
        if shard.is_file():
            try:
                checksums.append(_verified(_read(shard, path, mmap=True), shard, path)[1])
                kept += 1
                continue
            except ValueError as error:  # It was damaged since.
                print(f"{error} It is made anew now.", flush=True)
        content = _content(part(number))
        _save(content, shard)
        checksums.append(content["sha256"])
    _save({"shards": checksums, "sha256": _sha256_of(checksums)}, path)
    _remove_shards(path, count)
    begun.unlink()
    return kept


def parts_begun(path: str | Path, of: str) -> int:
    """How many parts of such a set `save_parts` would look at before it makes others."""
    folder = Path(path).with_suffix(".shards")
    begun = folder / "begun.txt"
    if not begun.is_file() or begun.read_text(encoding="utf-8") != of:
        return 0
    return len(list(folder.glob("[0-9]*.pth")))


def _shard(path: Path, number: int) -> Path:
    return path.with_suffix(".shards") / f"{number:04}.pth"


def _remove_shards(path: Path, first: int) -> None:
    """Remove the parts from this number on, and their folder where none is left."""
    folder = path.with_suffix(".shards")
    for shard in folder.glob("[0-9]*.pth"):
        if int(shard.stem) >= first:
            shard.unlink()
    if not first and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _content(data: LabelledImages) -> dict[str, Any]:
    """The content of a set's file, as `_verified` expects it."""
    content = {
        "images": _compact(_whole(data.images)),
        "labels": _compact(data.labels),
        "image_ids": _compact(data.image_ids),
        "class_names": _interned(data.class_names),
    }
    if data.official_subset is not None:
        content["official_subset"] = _interned(data.official_subset)
    return content | {"sha256": _sha256(data)}


def _save(content: dict[str, Any], path: Path) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            # Given a path instead of a file, torch.save writes the (temporary) name into the archive.
            torch.save(content, file)
        except RuntimeError as error:
            # torch.save hides the error of the disk, such as "No space left on device".
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_tensors(path: str | Path, *, mmap: bool = False) -> LabelledImages:
    """Read what `save_tensors` wrote, in one file or in several; nothing in them is executed.

    All values are compared with the checksum in the file, because torch.load alone returns wrong pixels of a damaged
    file without an error, and the checksums of its zip container do not cover the container's own entries.

    Args:
        mmap: leave the tensors in the file until they are used, which saves memory where few are used. The
            checksum needs each value once all the same.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is truncated, damaged or not one of ours, or a part is missing. The message names the file
            and the remedy.
    """
    path = Path(path)
    content = _read(path, path, mmap)
    if isinstance(content, dict) and "shards" in content:
        return _joined(content, path, mmap)
    return _verified(content, path, path)[0]


def _read(path: Path, set_path: Path, mmap: bool) -> object:
    check_regular(path)
    with path.open("rb") as file, _refusal(path, set_path):
        _check_container(file)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def _verified(content: object, path: Path, set_path: Path) -> tuple[LabelledImages, str]:
    """The set in a file, and its checksum."""
    with _refusal(path, set_path):
        fields = _checked(content)
        expected = fields.pop("sha256")
        data = LabelledImages(**fields)
        if (found := _sha256(data)) != expected:
            raise ValueError(_MISMATCH)
    return data, found


def _joined(index: dict[str, Any], path: Path, mmap: bool) -> LabelledImages:
    """The set of the parts that an index lists."""
    with _refusal(path, path):
        shards = index["shards"]
        if set(index) != {"shards", "sha256"} or not shards or index["sha256"] != _sha256_of(shards):
            raise ValueError(_MISMATCH)
    parts = []
    for number, expected in enumerate(shards):
        shard = _shard(path, number)
        if not shard.is_file():
            raise _unreadable(shard, f"it is missing, part {number + 1} of {len(shards)}", path)
        data, found = _verified(_read(shard, path, mmap=True), shard, path)
        if found != expected:
            raise _unreadable(shard, "it is a part of another set", path)
        parts.append(data)
    official = [subset for part in parts for subset in part.official_subset or ()]
    images = ShardedImages([_whole(part.images) for part in parts])
    return LabelledImages(
        images=images if mmap else images.to("cpu"),
        labels=torch.cat([part.labels for part in parts]),
        image_ids=torch.cat([part.image_ids for part in parts]),
        class_names=parts[0].class_names,
        official_subset=official or None,
    )


def mapped(images: Iterable[np.ndarray], shape: tuple[int, ...], scratch: Path) -> torch.Tensor:
    """The images in a file that takes the place of memory, and disappears with the tensor: uint8, N x `shape`.

    Args:
        images: one or several at a time, in order.
        scratch: the folder of the file.

    Raises:
        OSError: the file could not be written.
    """
    with writing(scratch / "(temporary file)"), tempfile.TemporaryFile(dir=scratch) as file:
        for part in images:
            file.write(part.tobytes())
        file.flush()
        if not (count := file.tell() // math.prod(shape)):
            return torch.empty(0, *shape, dtype=torch.uint8)
        return torch.from_numpy(np.memmap(file, np.uint8, "c", shape=(count, *shape)))


def _check_container(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        compressed = [i.filename for i in archive.infolist() if i.compress_type != zipfile.ZIP_STORED]
    if compressed:  # torch.save never compresses, and a compressed part could unpack to any size.
        raise ValueError(f"its part {compressed[0]} is compressed")


def _checked(content: object) -> dict[str, Any]:
    """The content of a file, once it is known to have the fields of a set."""
    fields = {"images", "labels", "image_ids", "class_names", "sha256"}
    if not isinstance(content, dict) or set(content) - {"official_subset"} != fields:
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"it must hold {sorted(fields)}, found {found}")
    for name, value in content.items():
        # Strides of 0 would let a file of a few bytes unpack to any size.
        if isinstance(value, torch.Tensor) and not value.is_contiguous():
            raise ValueError(f"{name} is not contiguous")
    return content


def _whole(images: torch.Tensor | ShardedImages) -> torch.Tensor:
    """The images as one tensor in the memory of the host. Only those in several parts are copied."""
    return images[:] if isinstance(images, ShardedImages) else images


def _sha256(data: LabelledImages) -> str:
    digest = hashlib.sha256()
    for tensor in (_whole(data.images), data.labels, data.image_ids):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().reshape(-1).data)
    digest.update(json.dumps([data.class_names, data.official_subset]).encode())
    return digest.hexdigest()


def _sha256_of(shards: list[str]) -> str:
    return hashlib.sha256("".join(shards).encode()).hexdigest()


_MISMATCH = "its content does not match its checksum"


@contextmanager
def _refusal(path: Path, set_path: Path) -> Iterator[None]:
    """Turn the errors of a damaged or foreign file, which have many unrelated types, into one message."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise _unreadable(path, error, set_path) from error


def _unreadable(path: Path, reason: object, set_path: Path) -> ValueError:
    """The error for a file that belongs to the set at `set_path`, which is the file that the workflow knows."""
    return ValueError(
        f"{path} is damaged or no tensor file of this project: {reason}. "
        f"Delete {'it' if path == set_path else set_path} and run the same command again: the workflow makes it anew."
    )


def _check_tensor(field: str, tensor: torch.Tensor, dtype: torch.dtype, dimensions: int) -> None:
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise ValueError(f"{field} must be a dense tensor, found {type(tensor).__name__}")
    if tensor.dtype != dtype or tensor.ndim != dimensions:
        raise ValueError(
            f"{field} must be {dtype} with {dimensions} dimensions, "
            f"found {tensor.dtype} of shape {tuple(tensor.shape)}"
        )


def _check_names(names: list[str]) -> None:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError("class_names must be a list of one or more names")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"class_names must differ, found more than once: {repeated}")


def _check_official_subset(subsets: list[str], count: int) -> None:
    if len(subsets) != count or not set(subsets) <= {"train", "test"}:
        raise ValueError(
            f'official_subset must be {count} times "train" or "test", as images, '
            f"found {len(subsets)} entries of {sorted(set(subsets))}"
        )


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    # torch.save writes the whole storage of a view. Going through NumPy gives the view its own storage, without a copy.
    if not tensor.is_contiguous() or tensor.device.type != "cpu":
        return tensor.clone(memory_format=torch.contiguous_format)
    whole = tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if whole else torch.from_numpy(tensor.numpy())


def _interned(strings: list[str]) -> list[str]:
    # Pickle writes equal strings once or several times, depending on whether they are the same object.
    return [sys.intern(string) for string in strings]
