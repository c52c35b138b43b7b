"""A trained model as one safetensors file that says all that is needed to use it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from longtail.files import atomic_path
from longtail.models import build_model

FORMAT = "longtail model 1"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model file says of its model.

    `logit_scale` is what logits are multiplied with before a softmax makes probabilities of them (the scale s of
    LDAM's cosine logits, else 1).
    """

    architecture: str
    head: str
    class_names: list[str]
    class_counts: list[int]
    image_size: int
    mean: list[float]
    std: list[float]
    logit_scale: float
    loss: str | Mapping[str, str]
    loss_parameters: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seed: int
    best_epoch: int


def save_model(path: str | Path, weights: Mapping[str, torch.Tensor], card: ModelCard) -> None:
    """Write weights and card; the same content gives the same bytes."""
    # One entry: safetensors writes several in an order that changes from process to process.
    metadata = {
        "longtail": json.dumps({"format": FORMAT, **asdict(card)}, sort_keys=True, ensure_ascii=False)
    }
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary, metadata)


def read_card(path: str | Path) -> ModelCard:
    """The card alone, without reading the weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or is no model of this project.
    """
    with _open(path) as file:
        return _card(path, file.metadata())


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelCard]:
    """The model in evaluation mode on `device`, and its card.

    Raises:
        FileNotFoundError, ValueError: as `read_card`; also when weights and architecture do not fit.
    """
    with _open(path) as file:
        card = _card(path, file.metadata())
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    model = build_model(
        card.architecture, num_classes=len(card.class_names), head=card.head, image_size=card.image_size
    )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: its weights do not fit {card.architecture}: {error}") from None
    return model.to(device, memory_format=torch.channels_last).eval(), card


def _open(path: str | Path) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist; train the run it belongs to first")
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({error}); delete it and train again"
        ) from None


def _card(path: str | Path, metadata: Mapping[str, str] | None) -> ModelCard:
    content = json.loads((metadata or {}).get("longtail", "{}"))
    found = content.pop("format", None)
    if found != FORMAT:
        raise ValueError(f"{path} is no model of this project: its format is {found!r}, expected {FORMAT!r}")
    return ModelCard(**content)
