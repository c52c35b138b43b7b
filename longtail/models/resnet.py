"""ResNet-50 (He et al., 2016, arXiv:1512.03385), with torchvision's second weights: the thesis's "ResNet50V2"."""

from pathlib import Path

from torch import nn

from longtail.models import from_torchvision

MODELS = {"resnet50": "torchvision/resnet50.IMAGENET1K_V2"}


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """As `longtail.models.from_torchvision.build_backbone`."""
    return from_torchvision.build_backbone(MODELS[name], image_size=image_size, weights=weights)
