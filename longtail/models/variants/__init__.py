"""Changes of a trained model's classifier that need no training, one per file, chosen by the name of the file.

    adjust("la", model.head, class_counts, tau=1.0)

A new one is a new file beside these, and nothing else changes. It holds

- `change(weight, bias, class_counts, tau, logit_scale)`, which returns the new weight and bias,
  `head(features, labels, num_classes, of, distance)`, which returns a new classifier, or `learnt_weights(epochs,
  experts)`, which returns the weights of several experts,
- `NO_COSINE`: why a cosine head cannot be changed so, which ends the sentence "the cosine head of softmax …"; None: it
  can,
- `CORRECTS_LOGITS`: whether it takes the class counts out of the logits, which must not be done twice,
- `SETTINGS`: which settings of an entry of `variants` it takes,
- `IMAGES`: the set of images that it needs (`train`, or `test` without labels), or None, and
- `EXPERTS`: whether it is for models of several experts, and not for others.

The configuration reads the constants from the source. Importing this package imports no PyTorch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def known_variants() -> list[str]:
    """The names that `adjust` knows, in alphabetical order."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def adjust(name: str, head: nn.Module, class_counts: Tensor, *, tau: float, logit_scale: float = 1.0) -> None:
    """Change a linear classifier in place.

    Args:
        name: one of `known_variants()`.
        head: linear, F features to C logits, with bias.
        class_counts: training images per class, integers of shape (C,), on any device.
        tau: strength of the change, 0 or more.
        logit_scale: what the model's logits are multiplied with before a softmax makes probabilities of them.

    Raises:
        ValueError: the head is not linear.
        ModuleNotFoundError: there is no variant of that name.
    """
    import torch
    from torch import nn

    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"the model's head is a {type(head).__name__}; only a linear one can be adjusted. Use a run with "
            "head: linear"
        )
    variant = importlib.import_module(f"{__name__}.{name}")
    with torch.no_grad():
        counts = class_counts.to(head.weight.device)
        weight, bias = variant.change(head.weight.double(), head.bias.double(), counts, tau, logit_scale)
        head.weight.copy_(weight)
        head.bias.copy_(bias)
