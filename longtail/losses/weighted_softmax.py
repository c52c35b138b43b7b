"""Softmax cross-entropy weighted by inverse class frequency."""

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.losses.weights import inverse_frequency
from longtail.settings import NonNegative, Reduction


class WeightedSoftmax(Loss):
    """Cross-entropy with class weights n_c^-power, scaled to sum to C.

    Under `weighted_mean` the scale of the weights cancels, and a batch of one class has the plain loss. Under
    `batch_mean` rare classes also take larger steps. The loss is equal to `softmax` on balanced counts. A class with
    no images has the weight of a class with one.

    Source: the method is older than the literature on long tails. Cui et al., Class-Balanced Loss Based on Effective
    Number of Samples, CVPR 2019, section 2, compare with w_c proportional to 1 / n_c and, smoothed (`power=0.5`), to
    1 / sqrt(n_c).

    Args:
        class_counts: training images per class, integers of shape (C,).
        power: class weights are n_c^-power, scaled to sum to the number of classes; 0 is `softmax`.
        reduction: a batch's sum is divided by the sum of its weights (`weighted_mean`) or by its images (`batch_mean`).
    """

    corrects = "weighs its classes by their counts in training"

    def __init__(
        self, class_counts: Tensor, *, power: NonNegative = 1.0, reduction: Reduction = "weighted_mean"
    ):
        super().__init__(class_counts, reduction=reduction)
        self.set_class_weight(inverse_frequency(self.class_counts, power=power))

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")
