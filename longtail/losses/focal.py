"""Focal loss: easy images count less."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import NonNegative


class Focal(Loss):
    """Cross-entropy times (1 - p_y)^gamma, with p = softmax(z) and p_y differentiated.

    The loss depends on how hard an image is, not on class counts, which only give the number of classes. The class
    factor alpha of the paper is left out.

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
        # 1 - p is kept above 0, where for gamma below 1 the slope of x^gamma is infinite, and infinity times 0 is NaN.
        error = (-torch.expm1(-cross_entropy)).clamp(min=torch.finfo(logits.dtype).tiny)
        return error**self.gamma * cross_entropy
