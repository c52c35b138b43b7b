"""Files of pretrained weights, which a backbone starts from, and the error when weights do not fit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from longtail.files.safetensors import WEIGHTS, read_safetensors, write_safetensors

KEY = WEIGHTS
REMEDY = "make it with workflow/scripts/fetch_weights.py"


def write_weights(path: str | Path, state: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write a backbone's weights and the facts about them; the same content gives the same bytes.

    Args:
        facts: as `longtail.models.pretrained.fetch` gives them; they stand in the metadata under `KEY`.
    """
    write_safetensors(path, state, KEY, facts)


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The weights of a backbone, without classifier, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or `write_weights` did not make it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"weights file {path} does not exist; {REMEDY}")
    state, facts = read_safetensors(path, KEY)
    if not facts:
        raise ValueError(f"{path} does not say which weights it holds (no entry {KEY!r}); {REMEDY}")
    return state


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
