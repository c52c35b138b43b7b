"""Samplers: which training images an epoch sees.

Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 3.1.
"""

import torch
from torch import Tensor

SAMPLERS = ("instance", "class_balanced", "square_root", "progressive")


def class_probabilities(name: str, class_counts: Tensor, *, epoch: int, epochs: int) -> Tensor:
    """The probability of each class for an image of an epoch: float64 of shape (C,), summing to 1.

    Proportional to n_c^q with q = 1 for `instance`, 0 for `class_balanced` and 1/2 for `square_root` (equation 1);
    `progressive` goes from q = 1 to q = 0 as (1 - t / T) p_instance + (t / T) p_class_balanced in epoch t of T
    (equation 2), counted from 0. A class without images has probability 0.

    Args:
        class_counts: training images per class, integers of shape (C,).

    Raises:
        ValueError: an unknown sampler.
    """
    counts = class_counts.double()
    instance, balanced = counts, (counts > 0).double()
    match name:
        case "instance":
            shares = instance
        case "class_balanced":
            shares = balanced
        case "square_root":
            shares = counts.sqrt()
        case "progressive":
            t = epoch / epochs
            shares = (1 - t) * instance / instance.sum() + t * balanced / balanced.sum()
        case _:
            raise ValueError(f"sampler '{name}' is not known; allowed: {', '.join(SAMPLERS)}")
    return shares / shares.sum()


def sample(
    name: str, labels: Tensor, class_counts: Tensor, *, epoch: int, epochs: int, generator: torch.Generator
) -> Tensor | None:
    """Positions of an epoch's images, int64, as many as there are images; None for all of them once, in any order.

    They are drawn with replacement: first a class by `class_probabilities`, then any of its images.

    Args:
        labels: int64 of shape (N,), on the CPU.
        generator: on the CPU.
    """
    if name == "instance":
        return None
    probabilities = class_probabilities(name, class_counts, epoch=epoch, epochs=epochs)
    per_image = (probabilities / class_counts.clamp(min=1))[labels]
    return torch.multinomial(per_image, len(labels), replacement=True, generator=generator)
