"""The optimisers of the training recipe."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from longtail.models.classifier import ImageClassifier


def build_optimizer(
    model: ImageClassifier,
    name: str,
    *,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool = False,
    layer_decay: float | None = None,
    beside: Sequence[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """`adam`, `adamw` or `sgd` over all parameters that are trained, in its fused form.

    With `layer_decay` each of their groups has an `lr_scale`, with which the caller multiplies the group's rate.

    Adam's `weight_decay` is L2 regularisation added to the gradient; AdamW's is decoupled (Loshchilov and
    Hutter, 2019).

    Args:
        beside: parameters to train that are not the model's; they learn at the whole rate.

    Raises:
        ValueError: an unknown name, or `layer_decay` for an architecture whose layers are not known.
    """
    parameters: list[Any] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if layer_decay is not None:
        parameters = _layer_groups(model, weight_decay, layer_decay)
        if beside:
            parameters.append({"params": list(beside)})
    else:
        parameters.extend(beside)
    match name:
        case "adam":
            return torch.optim.Adam(parameters, learning_rate, weight_decay=weight_decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay, fused=True)
        case "sgd":
            return torch.optim.SGD(
                parameters,
                learning_rate,
                momentum=momentum,
                nesterov=nesterov,
                weight_decay=weight_decay,
                fused=True,
            )
    raise ValueError(f"optimizer '{name}' is not known; allowed: adam, adamw, sgd")


def _layer_groups(model: ImageClassifier, weight_decay: float, layer_decay: float) -> list[dict]:
    """timm's groups of the layers of the whole model, in which the head is the last (Bao et al., BEiT, ICLR 2022)."""
    from timm.optim import param_groups_layer_decay  # takes a second, and few recipes need it

    backbone: Any = model.backbone
    if not hasattr(backbone, "group_matcher"):
        raise ValueError(
            f"layer_decay needs to know the layers of {type(backbone).__name__}, which only architectures of timm "
            "tell; set architecture: timm/NAME for this model, or layer_decay: null"
        )
    # timm counts the layers from the names of the parameters. Without the head's, most backbones have one too few, so
    # our head stands where timm's was.
    classifier = backbone.pretrained_cfg.get("classifier") or "head"
    classifier = classifier if isinstance(classifier, str) else classifier[0]  # several, in distilled models
    head = [(f"{classifier}.{name}", parameter) for name, parameter in model.head.named_parameters()]
    whole: Any = SimpleNamespace(
        group_matcher=backbone.group_matcher, named_parameters=lambda: [*backbone.named_parameters(), *head]
    )
    return param_groups_layer_decay(
        whole,
        weight_decay,
        no_weight_decay_list=getattr(backbone, "no_weight_decay", set)(),
        layer_decay=layer_decay,
    )
