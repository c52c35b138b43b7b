"""Tensors and the JSON that describes them, in one safetensors file with a checksum, so that damage is noticed.

The format itself has no checksum, so one flipped bit would make another weight of a weight without an error. The
description is read without importing PyTorch, which takes seconds; only functions that touch tensors import it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from longtail.files.atomic import atomic_path
from longtail.files.sealed_json import REMEDY, digest, seal, unseal

if TYPE_CHECKING:
    from torch import Tensor

MODEL, WEIGHTS = "longtail", "longtail pretrained weights"
"""The entries under which this project describes a trained model, and pretrained weights."""
TENSORS_KEY = "tensors_sha256"


def write_safetensors(
    path: str | Path, tensors: Mapping[str, Tensor], key: str, content: Mapping[str, Any]
) -> None:
    """Write tensors, and JSON `content` as the one entry `key` of the metadata; equal content gives equal bytes.

    Raises:
        OSError: the file could not be written; nothing is left under `path`.
    """
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    # There is only one entry, because safetensors writes several in an order that changes from process to process.
    sealed = seal({**content, TENSORS_KEY: _sha256(tensors)})
    with atomic_path(path) as temporary:
        # `save_file` would write through a memory map, where a full disk kills the process.
        temporary.write_bytes(save(tensors, {key: sealed}))


def read_content(path: str | Path, key: str) -> dict[str, Any]:
    """The description of the tensors, without reading them; empty where the file has no such entry.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no safetensors file; names it and the remedy.
    """
    with _opened(path, key, "numpy") as (_, content):
        return {name: value for name, value in content.items() if name != TENSORS_KEY}


def read_digest(path: str | Path, key: str) -> str:
    """The hash of the description, in which that of the tensors is, without reading them: no two models share it.

    Raises:
        FileNotFoundError, ValueError: as `read_content`.
    """
    with _opened(path, key, "numpy") as (_, content):
        return digest(content)


def read_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors by name, without reading them.

    Raises:
        FileNotFoundError, ValueError: as `read_content`.
    """
    with _opened(path, "", "numpy") as (file, _):
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def read_safetensors(path: str | Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors on the CPU, after they were compared with their checksum, and their description.

    Raises:
        FileNotFoundError, ValueError: as `read_content`.
    """
    with _opened(path, key, "pt") as (file, content):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    if content.pop(TENSORS_KEY, None) not in (None, _sha256(tensors)):
        raise ValueError(f"{path} is damaged: its tensors do not match their checksum. {REMEDY}")
    return tensors, content


@contextmanager
def _opened(path: str | Path, key: str, framework: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist; run the workflow, which makes it")
    try:
        with safe_open(path, framework=framework) as file:
            entries = file.metadata() or {}
            if key not in entries and any(
                TENSORS_KEY in text for name, text in entries.items() if name not in (MODEL, WEIGHTS)
            ):
                raise ValueError(f"{path} is damaged: the name of its description has changed. {REMEDY}")
            yield file, unseal(entries[key], path) if key in entries else {}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}). {REMEDY}") from None


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
