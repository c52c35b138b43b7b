"""ResNets for small images (He et al., 2016, arXiv:1512.03385, section 4.2), as the long-tail papers use them."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtail.models.experts import Experts, means, narrowed
from longtail.models.weights import explain_mismatch, read_weights

MODELS = {
    "resnet8": None,
    "resnet20": None,
    "resnet32": None,
    "resnet32x4": None,
    "resnet44": None,
    "resnet56": None,
    "resnet110": None,
}

WIDTHS = (16, 32, 64)
"""The channels of the three stages; a name that ends in x4 has four times as many, as Du et al. (2023) have them."""


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """The network without its classifier, and its number of features. It takes images of any size.

    Nobody publishes weights; those that are given come from a run of this project.

    Raises:
        ValueError: the weights are another model's.
    """
    depth, _, times = name.removeprefix("resnet").partition("x")
    model = CifarResNet(int(depth), int(times or 1))
    if weights is not None:
        with explain_mismatch(weights, name):
            model.load_state_dict(read_weights(weights))
    return model, model.widths[-1]


def side_by_side(networks: Sequence[nn.Module], *, narrow: bool) -> tuple[nn.Module, int]:
    """Experts that share all before the second of the three stages, and the number of all their features.

    Source: the code of Wang et al., Long-tailed Recognition by Routing Diverse Distribution-Aware Experts, ICLR 2021.

    Args:
        networks: as `build_backbone` makes them, one for each expert; the first one gives the shared part.
        narrow: whether the stages of an expert are new ones with three quarters of the channels.
    """
    every = [cast(CifarResNet, network) for network in networks]
    first, (shallow, *deep) = every[0], every[0].widths
    blocks = len(first.blocks) // len(first.widths)
    shared = nn.Sequential(first.conv, first.norm, nn.ReLU(), *first.blocks[:blocks])
    widths = [narrowed(width) if narrow else width for width in deep]
    own = [
        _initialized(_stages(shallow, widths, blocks)) if narrow else network.blocks[blocks:]
        for network in every
    ]
    return Experts(shared, [nn.Sequential(each, *means()) for each in own]), len(own) * widths[-1]


class CifarResNet(nn.Module):
    """6n + 2 layers: a convolution, three stages of n blocks of two, and the classifier that is not here.

    Images (N, 3, H, W) to features (N, 64 times the width). Weights start as He et al. (2015, arXiv:1502.01852)
    propose.
    """

    def __init__(self, depth: int, times: int = 1) -> None:
        super().__init__()
        self.widths = [times * width for width in WIDTHS]
        blocks, remainder = divmod(depth - 2, 6)
        if remainder or blocks < 1:
            raise ValueError(f"depth {depth}: these networks have 6n + 2 layers, such as 8, 20 or 32")
        self.conv = _conv3x3(3, self.widths[0])
        self.norm = nn.BatchNorm2d(self.widths[0])
        self.blocks = _stages(self.widths[0], self.widths, blocks)
        _initialized(self)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.norm(self.conv(images)))
        return self.blocks(maps).mean(dim=(2, 3))


class Block(nn.Module):
    """Two convolutions beside a shortcut without parameters (option A of He et al., 2016).

    Where the channels grow, height and width halve: the shortcut then takes every second pixel and adds channels
    of zeros, half of them before and half after its own.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.grows = width != channels
        self.padding = (width - channels) // 2
        self.conv1 = _conv3x3(channels, width, stride=2 if self.grows else 1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        residual = torch.relu(self.norm1(self.conv1(maps)))
        residual = self.norm2(self.conv2(residual))
        if self.grows:
            maps = F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return torch.relu(maps + residual)


def _stages(channels: int, widths: Sequence[int], blocks: int) -> nn.Sequential:
    """So many blocks of each of these widths, in a row."""
    stages = []
    for width in widths:
        for _ in range(blocks):
            stages.append(Block(channels, width))
            channels = width
    return nn.Sequential(*stages)


def _initialized(module: nn.Module) -> nn.Module:
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight)
    return module


def _conv3x3(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
