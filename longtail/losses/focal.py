"""Focal loss: easy images count less."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import NonNegative


class Focal(Loss):
    """Cross-entropy times (1 - p_y)^gamma, with p = softmax(z) and p_y differentiated.

    It looks at how hard an image is, not at class counts: those only give the number of classes. Without the
    class factor alpha of the paper.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4, in its softmax form.

    Args:
        class_counts: training images per class, integers of shape (C,).
        gamma: focusing parameter; 0 is `softmax`.
    """

    def __init__(self, class_counts: Tensor, *, gamma: NonNegative = 2.0):
        super().__init__(class_counts)
        self.gamma = gamma

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        cross_entropy = F.cross_entropy(logits, labels, reduction="none")
        # Clamped above zero: for gamma below 1 the slope of x^gamma at 0 is infinite, and times a zero loss NaN.
        error = (-torch.expm1(-cross_entropy)).clamp(min=torch.finfo(logits.dtype).tiny)
        return error**self.gamma * cross_entropy
