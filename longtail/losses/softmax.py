"""Softmax cross-entropy, the baseline."""

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import HalfOpenUnit, Positive


class Softmax(Loss):
    """Cross-entropy of the softmax, -log p_y with p = softmax(z), averaged over the batch.

    The counts only give the number of classes. The loss treats a long tail like any other data.

    Args:
        class_counts: training images per class, integers of shape (C,).
        smoothing: label smoothing, the share of each label that goes to all classes alike (Szegedy et al., Rethinking
            the Inception Architecture for Computer Vision, CVPR 2016, section 7).
        s: scale of the logits; for `head: cosine`, whose logits lie in [-1, 1], such as 25.
    """

    def __init__(self, class_counts: Tensor, *, smoothing: HalfOpenUnit = 0.0, s: Positive = 1.0):
        super().__init__(class_counts)
        self.logit_scale = s
        self.smoothing = smoothing

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        scaled = self.logit_scale * logits
        return F.cross_entropy(scaled, labels, reduction="none", label_smoothing=self.smoothing)
