"""Class-balanced focal loss."""

from torch import Tensor

from longtail.losses.sigmoid_focal import SigmoidFocal
from longtail.losses.weights import effective_number
from longtail.settings import HalfOpenUnit, NonNegative


class ClassBalancedFocal(SigmoidFocal):
    """Sigmoid focal loss weighted by one over the effective number of images, divided by the images of the batch.

    The weights are scaled to sum to C. With beta=0 it is `sigmoid_focal`. A class with no images has the weight of a
    class with one. The authors also start the bias of the classifier at -log(C - 1); this does not.

    Source: Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, equation 13. They choose
    beta and gamma for each data set: 0.9999 and 1 on CIFAR-10, 0.9 and 1 on CIFAR-100, both with imbalance 0.01.

    Args:
        class_counts: training images per class, integers of shape (C,).
        beta: the beta of the effective number of samples.
        gamma: focusing parameter.
    """

    corrects = "weighs its classes by their counts in training"

    def __init__(self, class_counts: Tensor, *, beta: HalfOpenUnit = 0.9999, gamma: NonNegative = 1.0):
        super().__init__(class_counts, gamma=gamma)
        self.reduction = "batch_mean"
        self.set_class_weight(effective_number(self.class_counts, beta=beta))
