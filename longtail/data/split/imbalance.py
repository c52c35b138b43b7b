"""How many images each class of a long-tailed set has. Imports nothing, so that planning stays fast."""


def longtailed_counts(largest: int, num_classes: int, imbalance_factor: float) -> list[int]:
    """Images per class, falling exponentially in label order from `largest` to `largest * imbalance_factor`.

    Class i of C has max(1, int(largest * imbalance_factor ** (i / (C - 1)))) images. The number is truncated and
    not rounded, as the published numbers for CIFAR-LT are. The lower bound of 1 matters for small `largest` only.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", 2019, without
    the lower bound.
    """
    if not 0 < imbalance_factor <= 1:
        raise ValueError(f"imbalance_factor must be above 0 and at most 1, found {imbalance_factor}")
    last = max(num_classes - 1, 1)
    return [max(1, int(largest * imbalance_factor ** (i / last))) for i in range(num_classes)]
