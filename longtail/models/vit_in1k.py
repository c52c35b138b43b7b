"""ViT-B/16 (Dosovitskiy et al., 2021, arXiv:2010.11929), trained on ImageNet-1k alone."""

from pathlib import Path

from torch import nn

from longtail.models import from_torchvision

MODELS = {"vit_b16_in1k": "torchvision/vit_b_16.IMAGENET1K_V1"}


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """As `longtail.models.from_torchvision.build_backbone`."""
    return from_torchvision.build_backbone(MODELS[name], image_size=image_size, weights=weights)
