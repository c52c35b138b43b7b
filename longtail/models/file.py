"""A trained model as one safetensors file that says all that is needed to use it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from longtail.files.safetensors import read_content, read_safetensors, write_safetensors
from longtail.models import build_model
from longtail.models.weights import explain_mismatch

KEY = "longtail"
FORMAT = "longtail model 1"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model file says of its model.

    `logit_scale` is what logits are multiplied with before a softmax makes probabilities of them (the scale s of
    LDAM's cosine logits, else 1), and `temperature` is what they are then divided by, fitted on the validation set
    (None: not calibrated). `stored_size` is the height and width of the training images before they were resized to
    `image_size` (None: not known, in files of an earlier version). `variant` says how the classifier was changed after
    training (None: it was not).
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
    stored_size: int | None = None
    temperature: float | None = None
    variant: Mapping[str, Any] | None = None

    @property
    def picture_size(self) -> int:
        """Height and width that pictures are stretched to before all else, so that they look as in training."""
        return self.stored_size or self.image_size


def save_model(path: str | Path, weights: Mapping[str, torch.Tensor], card: ModelCard) -> None:
    """Write weights and card; the same content gives the same bytes."""
    write_safetensors(path, weights, KEY, {"format": FORMAT, **asdict(card)})


def read_card(path: str | Path) -> ModelCard:
    """The card alone, without reading the weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or is no model of this project.
    """
    return _card(path, read_content(path, KEY))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelCard]:
    """The model in evaluation mode on `device`, and its card.

    Raises:
        FileNotFoundError, ValueError: as `read_card`; also when weights and architecture do not fit.
    """
    weights, content = read_safetensors(path, KEY)
    card = _card(path, content)
    try:
        model = build_model(
            card.architecture, num_classes=len(card.class_names), head=card.head, image_size=card.image_size
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    with explain_mismatch(path, card.architecture):
        model.load_state_dict(weights)
    return model.to(device, memory_format=torch.channels_last).eval(), card


def _card(path: str | Path, content: dict[str, Any]) -> ModelCard:
    found = content.pop("format", None)
    if found != FORMAT:
        raise ValueError(
            f"{path} is no model of this project: its format is {found!r}, expected {FORMAT!r}; train it again"
        )
    try:
        return ModelCard(**content)
    except TypeError as error:
        raise ValueError(f"{path} does not say what is needed to use it ({error}); train it again") from None
