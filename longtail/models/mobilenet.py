"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381)."""

from pathlib import Path

from torch import nn

from longtail.models import from_torchvision

MODELS = {"mobilenetv2": "torchvision/mobilenet_v2.IMAGENET1K_V1"}


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """As `longtail.models.from_torchvision.build_backbone`."""
    return from_torchvision.build_backbone(MODELS[name], image_size=image_size, weights=weights)
