"""ResNet-10: a ResNet-18 (He et al., 2016, arXiv:1512.03385) with one block in each stage in place of two."""

from pathlib import Path

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from longtail.models.resnet_experts import resnets_side_by_side as side_by_side
from longtail.models.weights import explain_mismatch, read_weights

__all__ = ["MODELS", "build_backbone", "side_by_side"]

MODELS = {"resnet10": None}


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """The network without its classifier, and its number of features. It takes images of any size.

    Liu et al. (2019, arXiv:1904.05160) and others train it on ImageNet-LT. Nobody publishes weights; those that are
    given come from a run of this project.

    Raises:
        ValueError: the weights are another model's.
    """
    model = ResNet(BasicBlock, [1, 1, 1, 1])
    features = model.fc.in_features
    model.set_submodule("fc", nn.Identity())
    if weights is not None:
        with explain_mismatch(weights, name):
            model.load_state_dict(read_weights(weights))
    return model, features
