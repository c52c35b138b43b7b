"""Class weights from class counts.

Both are scaled to sum to C, so that they are 1 for every class when the counts are equal, and both give a class
with no images the weight of a class with one image.
"""

from torch import Tensor

from longtail.losses.base import check_class_counts
from longtail.settings import HalfOpenUnit, NonNegative, checked


@checked
def inverse_frequency(class_counts: Tensor, *, power: NonNegative = 1.0) -> Tensor:
    """Weights n_c^-power, scaled to sum to C.

    `power=1` is inverse frequency; 0.5 is the gentler square root; 0 gives every class the weight 1.

    Args:
        class_counts: images per class, integers of shape (C,).
        power: how strongly the counts weigh.

    Returns:
        float64, shape (C,), on the device of the counts.
    """
    counts = check_class_counts(class_counts).clamp(min=1).double()
    # The counts are divided by the smallest one, so that no power underflows for every class at once.
    weight = (counts / counts.min()) ** -power
    return weight * (len(counts) / weight.sum())


@checked
def effective_number(class_counts: Tensor, *, beta: HalfOpenUnit = 0.9999) -> Tensor:
    """Weights (1 - beta) / (1 - beta^n_c), one over the effective number of images, scaled to sum to C.

    `beta=0` gives every class the weight 1; towards 1 they become inverse frequencies. Deferred re-weighting
    sets these weights for the last epochs.

    Source: Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019,
    Proposition 1 and section 4.

    Args:
        class_counts: images per class, integers of shape (C,).
        beta: (N - 1) / N, with N the number of images that a class can have which all differ.

    Returns:
        float64, shape (C,), on the device of the counts.
    """
    counts = check_class_counts(class_counts).clamp(min=1).double()
    weight = (1 - beta) / (1 - beta**counts)
    return weight * (len(counts) / weight.sum())
