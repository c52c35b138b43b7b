"""The card in a model file, which describes the model. It needs no PyTorch, so that figures read it quickly."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longtail.files.safetensors import read_content

KEY = "longtail"
FORMAT = "longtail model 1"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """All that is needed to use a model, apart from its weights.

    Attributes:
        class_counts: training images per class, in label order.
        logit_scale: what logits are multiplied with before a softmax makes probabilities of them: the scale s of
            LDAM's cosine logits, else 1.
        stored_size: height and width of the training images, in pixels, before they were resized to `image_size`;
            None, not known, in files of an earlier version.
        temperature: what logits are then divided by, fitted on the validation set; None, not calibrated.
        variant: how the classifier was changed after training; None, it was not.
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

    @property
    def sharpness(self) -> float:
        """The factor between logits and the softmax that gives probabilities, calibrated where the model is."""
        return self.logit_scale / (self.temperature or 1.0)

    def content(self) -> dict[str, Any]:
        """What stands under `KEY` in the metadata of the model file."""
        return {"format": FORMAT, **asdict(self)}


def card_from(content: Mapping[str, Any], path: str | Path) -> ModelCard:
    """The card in the metadata of a model file; `content` is what stands under `KEY`, empty where nothing does.

    Raises:
        ValueError: this is no model of this project, or it does not say all that is needed; names `path`.
    """
    facts = {name: value for name, value in content.items() if name != "format"}
    if content.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no model of this project: its format is {content.get('format')!r}, expected {FORMAT!r}; "
            "train it again"
        )
    try:
        return ModelCard(**facts)
    except TypeError as error:
        raise ValueError(f"{path} does not say what is needed to use it ({error}); train it again") from None


def read_card(path: str | Path) -> ModelCard:
    """The card of a model file, without reading the weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or is no model of this project.
    """
    return card_from(read_content(path, KEY), path)
