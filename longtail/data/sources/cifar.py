"""The archives of CIFAR-10 and CIFAR-100, read without writing or running anything that they contain."""

import gzip
import hashlib
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from longtail.data.tensors.files import LabelledImages

MAX_UNPACKED_BYTES = 400_000_000  # Both official archives unpack to 186 MB.


@dataclass(frozen=True)
class Layout:
    """Where an archive has its images, labels and names."""

    title: str
    """What the data set is called in messages."""
    folder: str
    meta: str
    """The member with the names of the classes."""
    names: str
    """The entry of `meta` that lists them."""
    train: tuple[str, ...]
    """The members with training images, in their order."""
    test: str
    labels: str
    """The entry of a member with images that has their labels."""


def load_archive(archive: str | Path, sha256: str, layout: Layout) -> LabelledImages:
    """All images of the archive, training images first.

    The hash of the whole archive is compared before anything in it is opened. The image ids are the positions
    in the archive's files, so a rebuilt archive with the images in another order has other ids.

    Args:
        archive: the gzipped tar with the members of the layout. Others are ignored.
        sha256: the hexadecimal hash of the whole archive.

    Returns:
        N x 3 x 32 x 32 images with ids 0 to N - 1.

    Raises:
        FileNotFoundError: there is no such archive.
        ValueError: the hash differs, or the content is not that of the layout; the message names the archive.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    archive = Path(archive)
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256.lower():
            raise ValueError(
                f"{archive} has the SHA-256 {found}, expected {sha256.lower()}: it is damaged or another file. "
                "Delete it, so that it is downloaded again, or give the hash of the archive that is meant."
            )
        file.seek(0)
        try:
            return _assemble(_read_members(file, layout), layout)
        except MemoryError:
            raise
        except Exception as error:  # gzip, tar and pickle fail on foreign content with many unrelated types.
            raise ValueError(
                f"{archive} is not an archive of {layout.title} (Python version): {error}. "
                f"Give another archive; its SHA-256 alone does not make it {layout.title}."
            ) from error


def _assemble(content: dict[str, dict], layout: Layout) -> LabelledImages:
    names = _field(content[layout.meta], layout.meta, layout.names)
    parts = [
        _images_and_labels(content[member], member, layout.labels) for member in (*layout.train, layout.test)
    ]
    labels = np.concatenate([own for _, own in parts])
    tested = len(parts[-1][1])
    return LabelledImages(
        images=torch.from_numpy(np.concatenate([images for images, _ in parts])),
        labels=torch.from_numpy(labels),
        image_ids=torch.arange(len(labels)),
        class_names=[name.decode() if isinstance(name, bytes) else name for name in names],
        official_subset=["train"] * (len(labels) - tested) + ["test"] * tested,
    )


def _images_and_labels(content: dict, member: str, entry: str) -> tuple[np.ndarray, np.ndarray]:
    pixels = _field(content, member, "data")
    labels = _field(content, member, entry)
    if not isinstance(pixels, _PickledArray):
        raise ValueError(f"`data` of {member} is a {type(pixels).__name__} instead of an array")
    images = pixels.to_numpy()
    if images.dtype != np.uint8 or images.shape != (len(labels), 3 * 32 * 32):
        raise ValueError(
            f"`data` of {member} is {images.dtype} of shape {images.shape} "
            f"instead of uint8 of shape {(len(labels), 3 * 32 * 32)}, one row per label"
        )
    if not all(isinstance(label, int) for label in labels):
        raise ValueError(f"`{entry}` of {member} are not all integers")
    return images.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def _field(content: dict, member: str, name: str) -> Any:
    value = content.get(name.encode(), content.get(name))  # bytes where Python 2 wrote the pickle
    if value is None:
        raise ValueError(f"{member} has no entry `{name}`")
    return value


def _read_members(file: BinaryIO, layout: Layout) -> dict[str, dict]:
    """The unpickled dicts of the layout's members, by their names.

    The tar is read from front to back from a stream that ends after MAX_UNPACKED_BYTES, headers included. So neither
    a zip bomb nor a false size can fill the memory. Nothing is extracted, so paths and links in it can do no harm.
    """
    wanted = {f"{layout.folder}/{name}": name for name in (layout.meta, *layout.train, layout.test)}
    content: dict[str, dict] = {}
    # tarfile only reads from a stream, but its types ask for a whole file.
    with (
        gzip.open(file) as unpacked,
        tarfile.open(fileobj=cast(BinaryIO, _Limited(unpacked)), mode="r|") as tar,
    ):
        for member in tar:
            name = wanted.get(member.name)
            if name is None:
                continue
            plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
            stored = tar.extractfile(member) if plain else None
            if stored is None:
                raise ValueError(f"{member.name} is a link, device or folder instead of a plain file")
            if name in content:
                raise ValueError(f"{member.name} occurs twice")
            content[name] = _RestrictedUnpickler(stored, encoding="bytes").load()
            if not isinstance(content[name], dict):
                raise ValueError(f"{member.name} holds a {type(content[name]).__name__} instead of a dict")
    missing = sorted(set(wanted.values()) - set(content))
    if missing:
        raise ValueError(f"it has no {', '.join(f'{layout.folder}/{name}' for name in missing)}")
    return content


class _Limited:
    """A stream that refuses to give more than MAX_UNPACKED_BYTES."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._left = MAX_UNPACKED_BYTES

    def read(self, size: int, /) -> bytes:
        block = self._file.read(min(size, self._left + 1))
        self._left -= len(block)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
        return block


class _PickledArray:
    """A record of what a pickle says about a NumPy array. It is checked before NumPy makes an array of it."""

    def __setstate__(self, state: tuple) -> None:
        _, self._shape, self._dtype, self._fortran_order, self._data = state

    def to_numpy(self) -> np.ndarray:
        if not isinstance(self._dtype, _PickledDtype) or self._dtype.name not in ("u1", b"u1"):
            raise ValueError("an array does not consist of bytes (uint8)")
        if not isinstance(self._data, bytes):
            raise ValueError(f"an array's content is a {type(self._data).__name__} instead of bytes")
        # Transposed sources were stored in Fortran order.
        return np.frombuffer(self._data, np.uint8).reshape(
            self._shape, order="F" if self._fortran_order else "C"
        )


class _PickledDtype:
    def __init__(self, name: str | bytes, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        """Ignore byte order and similar facts, which mean nothing for single bytes."""


# A pickle builds a NumPy array by these names. They lead to the records above, so that no function that a pickle
# can name is ever called, not even one of NumPy.
_RECORDS = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _PickledArray(),
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _PickledArray(),
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledDtype,
}


class _RestrictedUnpickler(pickle.Unpickler):
    """Builds dicts, lists, numbers, strings and arrays of bytes. Anything else is refused before it runs."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _RECORDS:
            raise pickle.UnpicklingError(
                f"a pickle in it asks for {module}.{name}, which CIFAR's archives never do"
            )
        return _RECORDS[module, name]
