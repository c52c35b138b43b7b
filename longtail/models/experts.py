"""Experts: networks that share their first layers and have the last stages of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Experts(nn.Module):
    """A backbone whose features are those of several networks, one after the other.

    Args:
        shared: what all of them begin with.
        own: the rest of each, from what `shared` gives to features (N, F).

    Shapes: images (N, 3, H, W) to features (N, E F).
    """

    def __init__(self, shared: nn.Module, own: Sequence[nn.Module]) -> None:
        super().__init__()
        self.shared = shared
        self.own = nn.ModuleList(own)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.shared(images)
        return torch.cat([network(maps) for network in self.own], dim=1)


def narrowed(channels: int) -> int:
    """The channels of a narrow stage, for a stage that has so many.

    Three quarters, so that several experts are not as slow as so many networks. Source: the option `reduce_dimension`
    of the code of Wang et al., Long-tailed Recognition by Routing Diverse Distribution-Aware Experts, ICLR 2021.
    """
    return 3 * channels // 4


def means() -> tuple[nn.Module, nn.Module]:
    """The layers that make features of the maps of the last stage: the mean over the pixels."""
    return nn.AdaptiveAvgPool2d(1), nn.Flatten()
