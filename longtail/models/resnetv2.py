"""ResNet-50 with pre-activation (He et al., 2016, arXiv:1603.05027): the true ResNet50V2."""

from pathlib import Path

from torch import nn

from longtail.models import from_timm

MODELS = {"resnetv2_50": "timm/resnetv2_50.a1h_in1k"}


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """As `longtail.models.from_timm.build_backbone`."""
    return from_timm.build_backbone(MODELS[name], image_size=image_size, weights=weights)
