"""Models of torchvision: some by names of our own, and any classification model as `torchvision/NAME`."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn
from torchvision import models
from torchvision.models.resnet import ResNet
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from longtail.models import unfilled_patches
from longtail.models.resnet_experts import resnets_side_by_side
from longtail.models.weights import explain_mismatch, read_weights

# A further name belongs in a file of its own: here, it would make the runs of all others stale.
MODELS = {
    "mobilenetv2": "torchvision/mobilenet_v2.IMAGENET1K_V1",  # Sandler et al., 2018, arXiv:1801.04381
    # He et al., 2016, arXiv:1512.03385, with torchvision's second weights: the thesis's "ResNet50V2"
    "resnet50": "torchvision/resnet50.IMAGENET1K_V2",
    # Xie et al., 2017, arXiv:1611.05431
    "resnext50": "torchvision/resnext50_32x4d.IMAGENET1K_V2",
    "convnext_base": "torchvision/convnext_base.IMAGENET1K_V1",  # Liu et al., 2022, arXiv:2201.03545
    # Dosovitskiy et al., 2021, arXiv:2010.11929, trained on ImageNet-1k alone
    "vit_b16_in1k": "torchvision/vit_b_16.IMAGENET1K_V1",
}
# While they train, these models return more than logits, and no loss here takes that.
WITH_AUXILIARY_CLASSIFIERS = ("googlenet", "inception_v3")


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """The model without its last linear layer, and the number of features that this layer took.

    Args:
        name: one of MODELS, `torchvision/NAME` or `torchvision/NAME.TAG`; the tag says which weights and changes
            nothing here.

    Raises:
        ValueError: torchvision has no such classification model, or it does not end in one linear layer; it cannot
            take the image size; or the weights are another model's.
        FileNotFoundError: there is no file `weights`.
    """
    architecture = MODELS.get(name, name).removeprefix("torchvision/").partition(".")[0]
    model = new_model(architecture, image_size)
    num_features = remove_classifier(model, architecture)
    if weights is not None:
        state = read_weights(weights)
        if isinstance(model, VisionTransformer) and "encoder.pos_embedding" in state:
            state = interpolate_embeddings(image_size, model.patch_size, state)
        with explain_mismatch(weights, architecture):
            model.load_state_dict(state)
    return model, num_features


def side_by_side(networks: Sequence[nn.Module], *, narrow: bool) -> tuple[nn.Module, int]:
    """Experts of a ResNet or ResNeXt; see `longtail.models.resnet_experts`.

    Raises:
        ValueError: the networks are of another kind.
    """
    if not isinstance(networks[0], ResNet):
        raise ValueError(
            f"{type(networks[0]).__name__} cannot be divided among experts; of torchvision, ResNets and ResNeXts can"
        )
    return resnets_side_by_side(networks, narrow=narrow)


def new_model(architecture: str, image_size: int) -> nn.Module:
    """A model of torchvision with random weights and its own classifier."""
    check_name(architecture)
    sizes: dict[str, int | tuple[int, int]] = {}
    if architecture.startswith("vit_"):
        if image_size % (patch := int(architecture.rpartition("_")[2])):
            raise ValueError(unfilled_patches(f"torchvision/{architecture}", patch, image_size))
        sizes["image_size"] = image_size
    elif architecture.startswith("maxvit"):
        sizes["input_size"] = (image_size, image_size)
    return models.get_model(architecture, weights=None, **sizes)


def check_name(architecture: str) -> None:
    """A ValueError unless torchvision has an image classifier of that name that this project can train."""
    if architecture not in models.list_models(module=models) or architecture in WITH_AUXILIARY_CLASSIFIERS:
        raise ValueError(
            f"torchvision/{architecture}: torchvision has no image classifier of that name that returns logits "
            "alone; choose one of https://pytorch.org/vision/stable/models.html#classification"
        )


def remove_classifier(model: nn.Module, architecture: str) -> int:
    """Put nothing in place of the last linear layer, and return how many features it took."""
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(
            f"torchvision/{architecture} has no linear classifier to replace; choose another model"
        )
    name, classifier = linear[-1]
    model.set_submodule(name, nn.Identity())
    return classifier.in_features
