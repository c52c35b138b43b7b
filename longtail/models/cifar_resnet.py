"""ResNets for small images (He et al., 2016, arXiv:1512.03385, section 4.2), as the long-tail papers use them."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtail.models.weights import explain_mismatch, read_weights

MODELS = {
    "resnet8": None,
    "resnet20": None,
    "resnet32": None,
    "resnet44": None,
    "resnet56": None,
    "resnet110": None,
}

WIDTHS = (16, 32, 64)


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """The network without its classifier, and its number of features. It takes images of any size.

    Nobody publishes weights; those that are given come from a run of this project.

    Raises:
        ValueError: the weights are another model's.
    """
    model = CifarResNet(int(name.removeprefix("resnet")))
    if weights is not None:
        with explain_mismatch(weights, name):
            model.load_state_dict(read_weights(weights))
    return model, WIDTHS[-1]


class CifarResNet(nn.Module):
    """6n + 2 layers: a convolution, three stages of n blocks of two, and the classifier that is not here.

    Images (N, 3, H, W) to features (N, 64). Weights start as He et al. (2015, arXiv:1502.01852) propose.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        blocks, remainder = divmod(depth - 2, 6)
        if remainder or blocks < 1:
            raise ValueError(f"depth {depth}: these networks have 6n + 2 layers, such as 8, 20 or 32")
        self.conv = _conv3x3(3, WIDTHS[0])
        self.norm = nn.BatchNorm2d(WIDTHS[0])
        stages, channels = [], WIDTHS[0]
        for width in WIDTHS:
            for _ in range(blocks):
                stages.append(Block(channels, width))
                channels = width
        self.blocks = nn.Sequential(*stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

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


def _conv3x3(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
