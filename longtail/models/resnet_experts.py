"""Experts that torchvision's ResNets are divided into."""

from collections.abc import Sequence
from typing import cast

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from longtail.models.experts import Experts, means, narrowed


def resnets_side_by_side(networks: Sequence[nn.Module], *, narrow: bool) -> tuple[nn.Module, int]:
    """Experts of torchvision's ResNets that share all before the third of the four stages, and all their features.

    Source: the code of Wang et al., Long-tailed Recognition by Routing Diverse Distribution-Aware Experts, ICLR 2021.

    Args:
        networks: without classifier, one for each expert; the first one gives the shared part.
        narrow: whether the stages of an expert are new ones with three quarters of the channels.
    """
    every = [cast(ResNet, network) for network in networks]
    first = every[0]
    shared = nn.Sequential(first.conv1, first.bn1, first.relu, first.maxpool, first.layer1, first.layer2)
    own = [
        _narrow_stages(network) if narrow else nn.Sequential(network.layer3, network.layer4)
        for network in every
    ]
    width = (narrowed(512) if narrow else 512) * _kind(first).expansion
    return Experts(shared, [nn.Sequential(each, *means()) for each in own]), len(own) * width


def _narrow_stages(network: ResNet) -> nn.Sequential:
    """The third and the fourth stage with fewer channels and random weights, as torchvision draws them."""
    kind = _kind(network)
    form = {"groups": network.groups, "base_width": network.base_width}
    channels, stages = 128 * kind.expansion, nn.Sequential()
    for layer, planes in ((network.layer3, narrowed(256)), (network.layer4, narrowed(512))):
        width = planes * kind.expansion
        shortcut = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=1, stride=2, bias=False), nn.BatchNorm2d(width)
        )
        blocks = [kind(channels, planes, stride=2, downsample=shortcut, **form)]
        blocks += [kind(width, planes, **form) for _ in range(len(layer) - 1)]
        stages.append(nn.Sequential(*blocks))
        channels = width
    for module in stages.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stages


def _kind(network: ResNet) -> type[BasicBlock] | type[Bottleneck]:
    return type(cast(BasicBlock | Bottleneck, network.layer3[0]))
