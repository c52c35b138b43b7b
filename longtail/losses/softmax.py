"""Softmax cross-entropy, the baseline."""

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss


class Softmax(Loss):
    """Cross-entropy of the softmax, -log p_y with p = softmax(z), averaged over the batch.

    The counts only give the number of classes; it treats a long tail like any other data.

    Args:
        class_counts: training images per class, integers of shape (C,).
    """

    def __init__(self, class_counts: Tensor):
        super().__init__(class_counts)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")
