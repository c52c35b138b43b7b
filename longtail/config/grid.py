"""The sections `grid` and `models`: which combinations are run, and what each model is."""

import os
from collections import Counter
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from longtail.models import pretrained_source
from longtail.settings import Address, Name, Section, local_file

TrainSet = Literal["balanced", "longtailed"]

T = TypeVar("T")


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """The values themselves, after a check.

    Raises:
        ValueError: there are no values, or one of them occurs twice."""
    if not values:
        raise ValueError("is empty; at least one is needed")
    if repeated := sorted(str(value) for value, times in Counter(values).items() if times > 1):
        raise ValueError(f"holds {', '.join(repeated)} more than once")
    return values


Distinct = Annotated[tuple[T, ...], AfterValidator(distinct)]


class Grid(Section):
    """Which combinations are run: every training set with every model, loss and seed."""

    train_sets: Distinct[TrainSet] = ("balanced", "longtailed")
    """The training sets."""
    models: Distinct[Name] = ("mobilenetv2", "resnet50", "vit_b16", "convnext_base")
    """The models: names of entries under `models`, or of known architectures."""
    losses: Distinct[Name] = (
        "softmax",
        "weighted_softmax",
        "focal",
        "class_balanced",
        "balanced_softmax",
        "equalization",
        "ldam",
    )
    """The losses: names of entries under `losses`, or of known losses."""


class Model(Section):
    """One model of the grid; the entry's name is its label in all results."""

    architecture: (
        Annotated[str, Field(pattern=r"^((timm|torchvision)/)?[A-Za-z0-9][A-Za-z0-9_.-]*$")] | None
    ) = None
    """A known architecture (`mobilenetv2`, …), `torchvision/NAME` or `timm/NAME`; null: the entry's name."""
    pretrained: bool = True
    """Start from published ImageNet weights; false: from random ones."""
    weights: Address | None = None
    """A file or address of weights to use instead of the published ones; or the `model.safetensors` of a run of the
    same architecture, whose backbone is taken."""
    train: dict[str, Any] = {}
    """Settings of `train` that differ for this model."""


class ResolvedModel(Model):
    """A model's entry, with its architecture filled in."""

    architecture: str


def wrong_weights(name: str, model: ResolvedModel) -> str | None:
    """Why a model cannot start from pretrained weights; None: it can, as far as that is known before it is built."""
    key, source = f"models.{name}", pretrained_source(model.architecture)
    if model.weights is None:
        if source is None:
            return f"{key}: {model.architecture} has no published weights; set {key}.pretrained: false"
        return None
    file = local_file(model.weights)
    if file is None:
        return (
            None
            if source
            else f"{key}.weights: {model.architecture} can start only from a file of this project"
        )
    if not file.is_file():
        wrong = "is no file" if file.exists() else "does not exist"
        return f"{key}.weights: {model.weights} {wrong} (looked for {os.path.realpath(file)})"
    if file.suffix == ".safetensors":
        from longtail.files.safetensors import MODEL, read_content

        try:
            holds = read_content(file, MODEL).get("architecture")
        except ValueError as error:
            return f"{key}.weights: {error}"
        if holds == model.architecture or (holds is None and source):
            return None
        if holds is not None:
            return f"{key}.weights: {model.weights} holds a model of {holds}; expected {model.architecture}"
    if source is None:
        return (
            f"{key}.weights: {model.weights} is no model of this project, and {model.architecture} has no published "
            "weights of which others know the form; give a model.safetensors of a run of it"
        )
    return None
