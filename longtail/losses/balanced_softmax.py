"""Balanced softmax: the class counts enter the softmax."""

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import Positive


class BalancedSoftmax(Loss):
    """Cross-entropy of the logits plus the logarithm of the class counts, -log softmax(z + log n)_y.

    The counts are added in training only. Predict from the bare logits, since the loss balances these. The loss is
    equal to `softmax` on balanced counts, and to `logit_adjusted` with tau=1. A class with no images counts as one
    with a single image.

    Source: Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020, Theorem 1.

    Args:
        class_counts: training images per class, integers of shape (C,).
        s: scale of the logits; for `head: cosine`, whose logits lie in [-1, 1], such as 25.
    """

    corrects = "adjusts its logits by the class counts in training"
    log_counts: Tensor

    def __init__(self, class_counts: Tensor, *, s: Positive = 1.0):
        super().__init__(class_counts)
        self.logit_scale = s
        self.register_buffer("log_counts", self.class_counts.clamp(min=1).double().log())

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        adjusted = self.logit_scale * logits + self.log_counts.to(logits.dtype)
        return F.cross_entropy(adjusted, labels, reduction="none")
