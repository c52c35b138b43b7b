"""ConvNeXt-Base (Liu et al., 2022, arXiv:2201.03545)."""

from pathlib import Path

from torch import nn

from longtail.models import from_torchvision

MODELS = {"convnext_base": "torchvision/convnext_base.IMAGENET1K_V1"}


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """As `longtail.models.from_torchvision.build_backbone`."""
    return from_torchvision.build_backbone(MODELS[name], image_size=image_size, weights=weights)
