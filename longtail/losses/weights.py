"""Class weights from class counts.

Both are scaled to sum to C, so that they are 1 for every class when the counts are equal, and both give a class
with no images the weight of a class with one image.
"""

import math

from torch import Tensor

from longtail.losses.base import check_class_counts, check_parameter


def inverse_frequency(class_counts: Tensor, *, power: float = 1.0) -> Tensor:
    """Weights n_c^-power, scaled to sum to C.

    `power=1` is inverse frequency; 0.5 is the gentler square root; 0 gives every class the weight 1.

    Args:
        class_counts: images per class, integers of shape (C,).
        power: 0 or more.

    Returns:
        float64, shape (C,), on the device of the counts.
    """
    power = check_parameter("power", power, lambda p: 0 <= p < math.inf, "of at least 0")
    counts = check_class_counts(class_counts).clamp(min=1).double()
    # Relative to the smallest count, so that no power underflows for every class at once.
    weight = (counts / counts.min()) ** -power
    return weight * (len(counts) / weight.sum())


def effective_number(class_counts: Tensor, *, beta: float = 0.9999) -> Tensor:
    """Weights (1 - beta) / (1 - beta^n_c), one over the effective number of images, scaled to sum to C.

    `beta=0` gives every class the weight 1; towards 1 they become inverse frequencies. Deferred re-weighting
    sets these weights for the last epochs.

    Source: Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019,
    Proposition 1 and section 4.

    Args:
        class_counts: images per class, integers of shape (C,).
        beta: from 0 to below 1.

    Returns:
        float64, shape (C,), on the device of the counts.
    """
    beta = check_parameter("beta", beta, lambda b: 0 <= b < 1, "from 0 to below 1")
    counts = check_class_counts(class_counts).clamp(min=1).double()
    weight = (1 - beta) / (1 - beta**counts)
    return weight * (len(counts) / weight.sum())
