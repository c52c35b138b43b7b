"""Softmax cross-entropy, the baseline."""

import math

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, check_parameter


class Softmax(Loss):
    """Cross-entropy of the softmax, -log p_y with p = softmax(z), averaged over the batch.

    The counts only give the number of classes; it treats a long tail like any other data.

    Args:
        class_counts: training images per class, integers of shape (C,).
        smoothing: from 0 to below 1. Above 0, labels are smoothed (Szegedy et al., Rethinking the Inception
            Architecture for Computer Vision, CVPR 2016, section 7): that share of each goes to all C classes alike.
        s: scale of the logits, above 0; `logit_scale`. The cosines of a cosine head need one, such as 25.
    """

    def __init__(self, class_counts: Tensor, *, smoothing: float = 0.0, s: float = 1.0):
        super().__init__(class_counts)
        self.logit_scale = check_parameter("s", s, lambda scale: 0 < scale < math.inf, "above 0")
        self.smoothing = check_parameter("smoothing", smoothing, lambda e: 0 <= e < 1, "from 0 to below 1")

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        scaled = self.logit_scale * logits
        return F.cross_entropy(scaled, labels, reduction="none", label_smoothing=self.smoothing)
