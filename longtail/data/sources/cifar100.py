"""CIFAR-100 from its archive, read without writing or running anything that it contains."""

import gzip
import hashlib
import pickle
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from longtail.data.sources.table import Source
from longtail.data.tensors.files import LabelledImages

SOURCE = Source(archive="cifar-100-python.tar.gz", classes=100, images=50_000, test_images=10_000)

FOLDER = "cifar-100-python"
MAX_UNPACKED_BYTES = 400_000_000  # The official archive unpacks to 186 MB.


def load_images(archive: str | Path, sha256: str) -> LabelledImages:
    """All images of `cifar-100-python.tar.gz`, training images first, with their 100 fine labels.

    The hash of the whole archive is compared before anything in it is opened. The image ids are the positions
    in the archive's files, so a rebuilt archive with the images in another order has other ids.

    Args:
        archive: the gzipped tar with `cifar-100-python/meta`, `train` and `test`. Other members are ignored.
        sha256: the hexadecimal hash of the whole archive.

    Returns:
        N x 3 x 32 x 32 images; ids 0 to 49,999 are the training images, 50,000 to 59,999 the test images.

    Raises:
        FileNotFoundError: there is no such archive.
        ValueError: the hash differs, or the content is not that of CIFAR-100; the message names the archive.

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
            content = _read_members(file)
            return _assemble(content["meta"], content["train"], content["test"])
        except MemoryError:
            raise
        except Exception as error:  # gzip, tar and pickle fail on foreign content with many unrelated types.
            raise ValueError(
                f"{archive} is not an archive of CIFAR-100 (Python version): {error}. "
                "Give another archive; its SHA-256 alone does not make it CIFAR-100."
            ) from error


def _assemble(meta: dict, train: dict, test: dict) -> LabelledImages:
    names = _field(meta, "meta", "fine_label_names")
    class_names = [name.decode() if isinstance(name, bytes) else name for name in names]
    train_images, train_labels = _images_and_labels(train, "train")
    test_images, test_labels = _images_and_labels(test, "test")
    labels = np.concatenate([train_labels, test_labels])
    return LabelledImages(
        images=torch.from_numpy(np.concatenate([train_images, test_images])),
        labels=torch.from_numpy(labels),
        image_ids=torch.arange(len(labels)),
        class_names=class_names,
        official_subset=["train"] * len(train_labels) + ["test"] * len(test_labels),
    )


def _images_and_labels(content: dict, member: str) -> tuple[np.ndarray, np.ndarray]:
    pixels = _field(content, member, "data")
    labels = _field(content, member, "fine_labels")
    if not isinstance(pixels, _PickledArray):
        raise ValueError(f"`data` of {member} is a {type(pixels).__name__} instead of an array")
    images = pixels.to_numpy()
    if images.dtype != np.uint8 or images.shape != (len(labels), 3 * 32 * 32):
        raise ValueError(
            f"`data` of {member} is {images.dtype} of shape {images.shape} "
            f"instead of uint8 of shape {(len(labels), 3 * 32 * 32)}, one row per label"
        )
    if not all(isinstance(label, int) for label in labels):
        raise ValueError(f"`fine_labels` of {member} are not all integers")
    return images.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def _field(content: dict, member: str, name: str) -> Any:
    value = content.get(name.encode(), content.get(name))  # bytes where Python 2 wrote the pickle
    if value is None:
        raise ValueError(f"{member} has no entry `{name}`")
    return value


def _read_members(file: BinaryIO) -> dict[str, dict]:
    """The unpickled dicts of meta, train and test, by these names.

    The tar is read from front to back from a stream that ends after MAX_UNPACKED_BYTES, headers included. So neither
    a zip bomb nor a false size can fill the memory. Nothing is extracted, so paths and links in it can do no harm.
    """
    wanted = {f"{FOLDER}/{name}": name for name in ("meta", "train", "test")}
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
        raise ValueError(f"it has no {', '.join(f'{FOLDER}/{name}' for name in missing)}")
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
                f"a pickle in it asks for {module}.{name}, which CIFAR-100 never does"
            )
        return _RECORDS[module, name]
