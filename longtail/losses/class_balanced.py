"""Class-balanced softmax cross-entropy."""

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.losses.weights import effective_number
from longtail.settings import HalfOpenUnit, Reduction


class ClassBalanced(Loss):
    """Cross-entropy weighted by one over the effective number of images, (1 - beta) / (1 - beta^n_c).

    The weights are scaled to sum to C. Some code forgets this: then the weights are close to 1 / n_c, and
    `batch_mean` shrinks the loss and its gradient that much. The loss is equal to `softmax` on balanced counts. With
    the default beta and at most a few hundred images per class it is close to inverse frequency. A class with no
    images has the weight of a class with one.

    Source: Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, section 4.1. The
    authors divide by the number of images, `batch_mean`; most later code divides by the sum of the weights.

    Args:
        class_counts: training images per class, integers of shape (C,).
        beta: the beta of the effective number of samples; 0 is `softmax`.
        reduction: a batch's sum is divided by the sum of its weights (`weighted_mean`) or by its images (`batch_mean`).
    """

    corrects = "weighs its classes by their counts in training"

    def __init__(
        self, class_counts: Tensor, *, beta: HalfOpenUnit = 0.9999, reduction: Reduction = "weighted_mean"
    ):
        super().__init__(class_counts, reduction=reduction)
        self.set_class_weight(effective_number(self.class_counts, beta=beta))

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")
