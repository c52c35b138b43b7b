"""Models of timm: some by names of our own, and any as `timm/NAME`."""

from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from longtail.models import unfilled_patches
from longtail.models.weights import explain_mismatch, read_weights

# A further name belongs in a file of its own: here, it would make the runs of all others stale.
MODELS = {
    # He et al., 2016, arXiv:1603.05027: ResNet-50 with pre-activation, the true ResNet50V2
    "resnetv2_50": "timm/resnetv2_50.a1h_in1k",
    # Dosovitskiy et al., 2021, arXiv:2010.11929, trained on ImageNet-21k, then fine-tuned on ImageNet-1k
    "vit_b16": "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k",
}


def build_backbone(name: str, *, image_size: int, weights: str | Path | None = None) -> tuple[nn.Module, int]:
    """The model without its classifier, and its number of features.

    Args:
        name: one of MODELS, `timm/NAME` or `timm/NAME.TAG`; the tag may imply an image size, and otherwise says only
            which weights.

    Raises:
        ValueError: timm has no such model, it cannot take the image size, or the weights are another model's.
        FileNotFoundError: there is no file `weights`.
    """
    name = MODELS.get(name, name)
    architecture = name.removeprefix("timm/")
    model = new_model(architecture)
    model.reset_classifier(0)
    config = model.pretrained_cfg
    state = None if weights is None else read_weights(weights)
    other_size = config["fixed_input_size"] and image_size != config["input_size"][-1]
    # Weights of a run of this project may be of that size already.
    if other_size and state and _positions(state) != _positions(model.state_dict()):
        _resize(model, name, image_size)
        other_size = False
    if state is not None:
        with explain_mismatch(weights or "", architecture):
            model.load_state_dict(state)
    if other_size:
        _resize(model, name, image_size)
    return model, model.head_hidden_size


def _positions(state: dict[str, torch.Tensor]) -> tuple[int, ...]:
    """The shape of a transformer's position embeddings; empty where it has none."""
    return tuple(state["pos_embed"].shape) if "pos_embed" in state else ()


def new_model(architecture: str, **options: Any) -> Any:
    """A model that `timm.create_model` makes, after `check_name`.

    It is an `nn.Module` with what timm adds to each of its models, which no type of timm's declares.
    """
    check_name(architecture)
    return timm.create_model(architecture, **options)


def check_name(architecture: str) -> None:
    """A ValueError unless timm has a model of that name and, where it ends in one, weights of that tag."""
    base, _, tag = architecture.partition(".")
    if not timm.is_model(base):
        raise ValueError(
            f"timm/{architecture}: timm {timm.__version__} has no model of that name; "
            f"`timm.list_models('*{base.partition('_')[0]}*')` lists those like it"
        )
    if tag and not timm.is_model_pretrained(architecture):
        tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{base}.*")]
        raise ValueError(f"timm/{architecture}: no such weights; tags of {base}: {', '.join(tags) or 'none'}")


def _resize(model: Any, name: str, image_size: int) -> None:
    """Prepare a model that is built for one image size for another, interpolating position embeddings."""
    if not hasattr(model, "set_input_size"):
        own_size = model.pretrained_cfg["input_size"][-1]
        raise ValueError(f"{name} takes images of {own_size} px only; found image_size {image_size}")
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", (1, 1))[0]
    if image_size % patch:
        raise ValueError(unfilled_patches(name, patch, image_size))
    model.set_input_size(img_size=image_size)
