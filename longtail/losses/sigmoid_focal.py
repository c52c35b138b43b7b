"""Sigmoid focal loss: one yes-or-no question per class, in which easy answers count less."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, is_label
from longtail.settings import NonNegative


class SigmoidFocal(Loss):
    """Binary cross-entropy of every class times (1 - p_t)^gamma, summed over the classes.

    With p = sigmoid(z), p_t is p at the label and 1 - p at the other classes. This is the form in which focal loss was
    published and in which it stands in the tables of the long-tail papers; `focal` is its softmax form. The loss of an
    image starts near C log 2, so gradients are large in the first steps. The evaluation takes a softmax of the logits
    all the same, so the calibration of such a model says little.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4, without the class factor alpha;
    summed over the classes as by Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019,
    equation 13.

    Args:
        class_counts: training images per class, integers of shape (C,).
        gamma: focusing parameter; 0 is binary cross-entropy.
    """

    def __init__(self, class_counts: Tensor, *, gamma: NonNegative = 2.0):
        super().__init__(class_counts)
        self.gamma = gamma

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        # One softplus gives both: the cross-entropy of an answer, and from it 1 - p_t without cancellation.
        cross_entropy = F.softplus(torch.where(is_label(logits, labels), -logits, logits))
        # Clamped above zero: for gamma below 1 the slope of x^gamma at 0 is infinite, and times a zero loss NaN.
        error = (-torch.expm1(-cross_entropy)).clamp(min=torch.finfo(logits.dtype).tiny)
        return (error**self.gamma * cross_entropy).sum(dim=1)
