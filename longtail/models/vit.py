"""ViT-B/16 (Dosovitskiy et al., 2021, arXiv:2010.11929), trained on ImageNet-21k, then fine-tuned on ImageNet-1k."""

from pathlib import Path

from torch import nn

from longtail.models import from_timm

MODELS = {"vit_b16": "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k"}


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """As `longtail.models.from_timm.build_backbone`."""
    return from_timm.build_backbone(MODELS[name], image_size=image_size, weights=weights)
