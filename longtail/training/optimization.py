"""The optimisers of the training recipe."""

from typing import Any

import torch

from longtail.models.classifier import ImageClassifier


def build_optimizer(
    model: ImageClassifier,
    name: str,
    *,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
    layer_decay: float | None = None,
) -> torch.optim.Optimizer:
    """`adam`, `adamw` or `sgd` over all parameters that are trained, in its fused form.

    With `layer_decay` each of their groups has an `lr_scale`, with which the caller multiplies the group's rate.

    Adam's `weight_decay` is L2 regularisation added to the gradient; AdamW's is decoupled (Loshchilov and
    Hutter, 2019).

    Raises:
        ValueError: an unknown name, or `layer_decay` for an architecture whose layers are not known.
    """
    parameters: list[Any] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if layer_decay is not None:
        parameters = _layer_groups(model, weight_decay, layer_decay)
    match name:
        case "adam":
            return torch.optim.Adam(parameters, learning_rate, weight_decay=weight_decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay, fused=True)
        case "sgd":
            return torch.optim.SGD(
                parameters, learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True
            )
    raise ValueError(f"optimizer '{name}' is not known; allowed: adam, adamw, sgd")


def _layer_groups(model: ImageClassifier, weight_decay: float, layer_decay: float) -> list[dict]:
    """timm's groups of the backbone's layers, and the head's with the full rate (Bao et al., BEiT, ICLR 2022)."""
    from timm.optim import param_groups_layer_decay  # takes a second, and few recipes need it

    if not hasattr(model.backbone, "group_matcher"):
        raise ValueError(
            f"layer_decay needs to know the layers of {type(model.backbone).__name__}, which only architectures of "
            "timm tell; set architecture: timm/NAME for this model, or layer_decay: null"
        )
    groups = param_groups_layer_decay(
        model.backbone,
        weight_decay,
        no_weight_decay_list=getattr(model.backbone, "no_weight_decay", set)(),
        layer_decay=layer_decay,
    )
    head = [parameter for parameter in model.head.parameters() if parameter.requires_grad]
    decays = {"params": [p for p in head if p.ndim > 1], "lr_scale": 1.0}
    biases = {"params": [p for p in head if p.ndim <= 1], "lr_scale": 1.0, "weight_decay": 0.0}
    return [group for group in (*groups, decays, biases) if group["params"]]
