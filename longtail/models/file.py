"""A trained model as one safetensors file: its weights, and its card in the metadata."""

from collections.abc import Mapping
from pathlib import Path

import torch

from longtail.files.safetensors import read_safetensors, write_safetensors
from longtail.models import build_model
from longtail.models.card import KEY, ModelCard, read_card
from longtail.models.classifier import ImageClassifier, WithoutMemory
from longtail.models.weights import explain_mismatch


def save_model(path: str | Path, weights: Mapping[str, torch.Tensor], card: ModelCard) -> None:
    """Write weights and card; the same content gives the same bytes.

    Raises:
        OSError: the file could not be written; nothing is left under `path`.
    """
    write_safetensors(path, weights, KEY, card.content())


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[ImageClassifier, ModelCard]:
    """The model in evaluation mode on `device`, and its card.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is no model of this project, or its weights do not fit its architecture.
    """
    card = read_card(path)
    # This is read first, so that a damaged file is told as such, and not as one of another model.
    weights, _ = read_safetensors(path, KEY)
    with explain_mismatch(path, card.architecture):
        try:
            _check_shapes(card, weights)
            model = _built(card)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        model.load_state_dict(weights)
    # PyTorch's types lack this pair of arguments, which its documentation has.
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), card


def _built(card: ModelCard) -> ImageClassifier:
    return build_model(
        card.architecture,
        num_classes=len(card.class_names),
        head=card.head,
        image_size=card.image_size,
        experts=card.experts,
        narrow_experts=card.narrow_experts,
    )


def _check_shapes(card: ModelCard, weights: Mapping[str, torch.Tensor]) -> None:
    """Raise PyTorch's error where weights of these shapes do not fit, before a model that is too large is built."""
    with torch.random.fork_rng(devices=[]), WithoutMemory():  # which draws no number
        model = _built(card)
    model.load_state_dict({name: tensor.to("meta") for name, tensor in weights.items()}, assign=True)
