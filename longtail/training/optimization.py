"""Optimisers and learning-rate schedules of the training recipe."""

import math

import torch
from torch import nn


def build_optimizer(
    model: nn.Module,
    name: str,
    *,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
    layer_decay: float | None = None,
) -> torch.optim.Optimizer:
    """`adam`, `adamw` or `sgd` over all parameters that are trained, in its fused form.

    With `layer_decay` their groups have an `lr_scale`, which the caller multiplies each group's rate with.

    Adam's `weight_decay` is L2 regularisation added to the gradient; AdamW's is decoupled (Loshchilov and
    Hutter, 2019).
    """
    if layer_decay is None:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    else:
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


def _layer_groups(model: nn.Module, weight_decay: float, layer_decay: float) -> list[dict]:
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


def learning_rate_factor(
    epoch: int,
    *,
    schedule: str,
    epochs: int,
    step_size: int,
    milestones: tuple[int, ...],
    gamma: float,
    warmup_epochs: int,
) -> float:
    """What the learning rate is multiplied with in an epoch, counted from 0.

    A function of the epoch alone, so a resumed run needs no state of a scheduler. During the warm-up, epoch e
    (from 0) gets (e + 1) / warmup_epochs. `step` and `multistep` are PyTorch's StepLR and MultiStepLR; `cosine`
    is half a cosine from 1 to 0 over the epochs after the warm-up (Loshchilov and Hutter, 2017).
    """
    if epoch < warmup_epochs:
        return (epoch + 1) / warmup_epochs
    match schedule:
        case "constant":
            return 1.0
        case "step":
            return gamma ** (epoch // step_size)
        case "multistep":
            return gamma ** sum(epoch >= milestone for milestone in milestones)
        case "cosine":
            return (1 + math.cos(math.pi * (epoch - warmup_epochs) / (epochs - warmup_epochs))) / 2
    raise ValueError(f"schedule '{schedule}' is not known; allowed: step, multistep, cosine, constant")
