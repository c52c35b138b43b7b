"""Optimisers and learning-rate schedules of the training recipe."""

import math

import torch
from torch import nn


def build_optimizer(
    model: nn.Module, name: str, *, learning_rate: float, weight_decay: float, momentum: float
) -> torch.optim.Optimizer:
    """`adam`, `adamw` or `sgd` over all parameters that are trained, in its fused form.

    Adam's `weight_decay` is L2 regularisation added to the gradient; AdamW's is decoupled (Loshchilov and
    Hutter, 2019).
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
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
