"""Labelled images in memory and as `.pth` files of tensors only."""

import hashlib
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from longtail.files import atomic_path


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels and the ids by which the split names them.

    Attributes:
        images: uint8, N x 3 x H x W, RGB, 0 to 255.
        labels: int64, N, indices into `class_names`.
        image_ids: int64, N, each at most once.
        class_names: one per class, in label order; a class may have no images here.
        official_subset: for a source that publishes a division of its own, N times "train" or "test".

    Raises:
        ValueError: a tensor has another dtype or shape, or a label or id is not as above; names the field.
    """

    images: torch.Tensor
    labels: torch.Tensor
    image_ids: torch.Tensor
    class_names: list[str]
    official_subset: list[str] | None = None

    def __post_init__(self) -> None:
        _check_tensor("images", self.images, torch.uint8, dimensions=4)
        count, channels = self.images.shape[:2]
        if channels != 3:
            raise ValueError(f"images must have 3 channels (N x 3 x H x W), found {tuple(self.images.shape)}")
        for field in ("labels", "image_ids"):
            _check_tensor(field, getattr(self, field), torch.int64, dimensions=1)
            if len(getattr(self, field)) != count:
                raise ValueError(
                    f"{field} must have {count} entries, as images, found {len(getattr(self, field))}"
                )
        _check_names(self.class_names)
        if count and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.class_names):
            found = f"{int(self.labels.min())} to {int(self.labels.max())}"
            raise ValueError(f"labels must lie in 0 to {len(self.class_names) - 1}, found {found}")
        if len(self.image_ids.unique()) != count:
            raise ValueError("image_ids must be unique, found an id more than once")
        if self.official_subset is not None:
            _check_official_subset(self.official_subset, count)


def save_tensors(data: LabelledImages, path: str | Path) -> None:
    """Write `data` as a dict of tensors and strings that `torch.load(path, weights_only=True)` reads.

    The same data gives the same bytes under any name, with any object identities.

    Raises:
        OSError: the file could not be written; nothing is left under `path`.
    """
    content: dict[str, torch.Tensor | list[str] | str] = {
        "images": _compact(data.images),
        "labels": _compact(data.labels),
        "image_ids": _compact(data.image_ids),
        "class_names": _interned(data.class_names),
    }
    if data.official_subset is not None:
        content["official_subset"] = _interned(data.official_subset)
    content["sha256"] = _sha256(data)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            # Given a path instead of a file, torch.save writes the (temporary) name into the archive.
            torch.save(content, file)
        except RuntimeError as error:
            # torch.save hides the disk's own error, "No space left on device", say.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_tensors(path: str | Path, *, mmap: bool = False) -> LabelledImages:
    """Read what `save_tensors` wrote; nothing in the file is executed.

    All values are compared with the checksum among them. torch.load alone returns the wrong pixels of a damaged
    file, and the checksums of its zip container leave the container's own entries uncovered.

    Args:
        mmap: leave the tensors in the file until they are used, which saves memory where few are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, damaged or not one of ours; names the file and the remedy.
    """
    path = Path(path)
    with path.open("rb") as file:
        _check_container(file, path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        _check_content(content)
        expected = content.pop("sha256")
        data = LabelledImages(**content)
        found = _sha256(data)
    except MemoryError:
        raise
    except Exception as error:  # torch.load's exceptions on foreign files are of many unrelated types.
        raise _unreadable(path, error) from error
    if found != expected:
        raise _unreadable(path, "its content does not match its checksum")
    return data


def _check_container(file: BinaryIO, path: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            compressed = [i.filename for i in archive.infolist() if i.compress_type != zipfile.ZIP_STORED]
    except Exception as error:  # zipfile's exceptions on damaged bytes are of many unrelated types.
        raise _unreadable(path, error) from error
    if compressed:  # Never by torch.save; it could unpack to any size.
        raise _unreadable(path, f"its part {compressed[0]} is compressed")


def _check_content(content: object) -> None:
    fields = {"images", "labels", "image_ids", "class_names", "sha256"}
    if not isinstance(content, dict) or set(content) - {"official_subset"} != fields:
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"it must hold {sorted(fields)}, found {found}")
    for name, value in content.items():
        # Strides of 0 would let a file of a few bytes unpack to any size.
        if isinstance(value, torch.Tensor) and not value.is_contiguous():
            raise ValueError(f"{name} is not contiguous")


def _sha256(data: LabelledImages) -> str:
    digest = hashlib.sha256()
    for tensor in (data.images, data.labels, data.image_ids):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().reshape(-1))
    digest.update(json.dumps([data.class_names, data.official_subset]).encode())
    return digest.hexdigest()


def _unreadable(path: Path, reason: object) -> ValueError:
    return ValueError(
        f"{path} is damaged or no tensor file of this project: {reason}. "
        "Delete it and run the same command again: the workflow makes it anew."
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
    # A view would bring its whole storage into the file.
    whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)


def _interned(strings: list[str]) -> list[str]:
    # Pickle writes equal strings as one or several, depending on whether they are the same object.
    return [sys.intern(string) for string in strings]
