"""Files of pretrained weights: what a backbone starts from, and what is said when they do not fit."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from longtail.files import atomic_path

# One entry only: safetensors writes several in an order that changes from process to process.
KEY = "longtail pretrained weights"


def write_weights(path: str | Path, state: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write a backbone's weights and the facts about them; the same content gives the same bytes."""
    with atomic_path(path) as temporary:
        save_file(
            {name: tensor.contiguous() for name, tensor in state.items()},
            temporary,
            {KEY: json.dumps(facts, sort_keys=True)},
        )


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The weights of a backbone, without classifier, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or `write_weights` did not make it.
    """
    read_facts(path)
    return load_file(path)


def read_facts(path: str | Path) -> dict[str, Any]:
    """The facts that were written with the weights (see `longtail.models.pretrained.Published`).

    Raises:
        FileNotFoundError, ValueError: as `read_weights`.
    """
    remedy = "make it with workflow/scripts/fetch_weights.py"
    if not Path(path).is_file():
        raise FileNotFoundError(f"weights file {path} does not exist; {remedy}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({error}); delete it and {remedy}"
        ) from None
    if KEY not in metadata:
        raise ValueError(f"{path} does not say which weights it holds (no entry {KEY!r}); {remedy}")
    return json.loads(metadata[KEY])


@contextmanager
def explain_mismatch(origin: str | Path, architecture: str) -> Iterator[None]:
    """Turn PyTorch's error on loading a state that does not fit into a short one that names the file.

    Raises:
        ValueError: names the first differing shapes, or the first missing and unexpected entries.
    """
    try:
        yield
    except RuntimeError as error:
        faults = [line.strip() for line in str(error).splitlines()[1:]]
        shapes = [fault for fault in faults if "shape" in fault]
        shown = "; ".join(
            fault if len(fault) <= 200 else f"{fault[:200]} …" for fault in (shapes or faults)[:2]
        )
        raise ValueError(
            f"{origin} does not hold weights of {architecture}: {shown or error} "
            "Give the file that belongs to this model."
        ) from None
