"""The model that a run trains: how it starts, how it computes a training step, and its moving average."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import torch
from torch import nn

from longtail.models import build_model
from longtail.models.classifier import ForLoss, ImageClassifier, WithoutMemory, check_size
from longtail.models.heads import CosineLinear
from longtail.training.ranks import Ranks
from longtail.training.recipe import Recipe
from longtail.training.retraining import decoupled_model
from longtail.training.settings import RunSettings
from longtail.training.tuning import freeze

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3


def initial_model(
    settings: RunSettings, num_classes: int, *, weights: str | None, start: str | None
) -> ImageClassifier:
    """The model before its first step, on the CPU, with the weights frozen that are not trained.

    What is random is drawn from PyTorch's global generator.

    Args:
        weights, start: as of `longtail.training.run.Trainer`.

    Raises:
        ValueError: the settings do not fit each other or the files.
        FileNotFoundError: there is no such file.
    """
    if settings.retrain and not start:
        raise ValueError("decoupled training needs the model file of the run that it starts from")
    if start and not settings.retrain:
        raise ValueError(f"{start} is given to start from, but the settings lack retrain: new or scale")
    if start:
        model = decoupled_model(start, settings, num_classes)
    else:
        model = build_model(
            settings.architecture,
            num_classes=num_classes,
            head=settings.head,
            image_size=settings.recipe.image_size,
            weights=weights,
            experts=settings.experts,
            narrow_experts=settings.narrow_experts,
        )
    check_size(model, settings.architecture, settings.recipe.image_size)
    if settings.head_init != "random" and not isinstance(model.head, CosineLinear):
        raise ValueError(
            f"head_init: {settings.head_init} with head: {settings.head}; allowed: random, or class_means with "
            "head: cosine"
        )
    freeze(model, settings.tune, settings.recipe.lora_rank)
    return model


def check_model(architecture: str, recipe: Recipe) -> None:
    """Build a model without its weights, as a run starts it, and try one image.

    Raises:
        ValueError: its library has no such model, or the model cannot take the image size or the tuning.
    """
    with WithoutMemory():
        model = build_model(architecture, num_classes=2, image_size=recipe.image_size)
    model.to("meta")
    check_size(model, architecture, recipe.image_size)
    freeze(model, recipe.tune, recipe.lora_rank)


def forward_function(
    model: ImageClassifier,
    recipe: Recipe,
    device: torch.device,
    ranks: Ranks,
    *,
    needs: Collection[str] = (),
    views: int = 1,
) -> Callable[..., tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """The model as the training step calls it: over all ranks, and compiled, where that is wanted.

    Args:
        needs, views: what it gives beside its logits, and how many views of an image it gets; see
            `longtail.models.classifier.ForLoss`.
    """
    module: nn.Module = ForLoss(model, needs, views)
    if ranks.count > 1:
        if device.type == "cuda":  # PyTorch has no synchronised batch norm on the CPU
            nn.SyncBatchNorm.convert_sync_batchnorm(model)  # exchanges the norms inside the model
        module = nn.parallel.DistributedDataParallel(module)
    if recipe.cuda_graphs and device.type == "cuda":
        return torch.compile(module, mode="reduce-overhead")
    return torch.compile(module) if recipe.compile else module


def moving_average(model: ImageClassifier, decay: float | None) -> ModelEmaV3 | None:
    """A copy of the model whose weights follow those of the model slowly; None without a decay.

    timm warms the decay up, at step n to at most 1 - n^(-2/3): a constant one would keep a short run's initial weights.
    """
    if decay is None:
        return None
    from timm.utils import ModelEmaV3  # takes seconds, and few recipes need it

    return ModelEmaV3(model, decay=decay, use_warmup=True)
