"""Changes of a trained model's classifier that need no training, one per file, chosen by the name of the file.

    adjust("la", model.head, class_counts, tau=1.0)

A new one is a new file beside this one with a function `change(weight, bias, class_counts, tau, logit_scale)` that
returns the new weight and bias, and its name in `longtail.config.load.Variant`.
"""

import importlib

import torch
from torch import Tensor, nn


@torch.no_grad()
def adjust(name: str, head: nn.Module, class_counts: Tensor, *, tau: float, logit_scale: float = 1.0) -> None:
    """Change a linear classifier in place.

    Args:
        name: a file of this package: "la" or "taunorm".
        head: linear, F features to C logits, with bias.
        class_counts: training images per class, integers of shape (C,).
        tau: strength, 0 or more.
        logit_scale: what the model's logits are multiplied with before a softmax makes probabilities of them.

    Raises:
        ValueError: the head is not linear.
        ModuleNotFoundError: there is no variant of that name.
    """
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"the model's head is a {type(head).__name__}; only a linear one can be adjusted. Use a run with "
            "head: linear"
        )
    variant = importlib.import_module(f"longtail.models.variants.{name}")
    weight, bias = variant.change(head.weight.double(), head.bias.double(), class_counts, tau, logit_scale)
    head.weight.copy_(weight)
    head.bias.copy_(bias)
