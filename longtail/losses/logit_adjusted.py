"""Logit-adjusted softmax cross-entropy."""

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import NonNegative, Positive


class LogitAdjusted(Loss):
    """Cross-entropy of the logits plus tau times the log of the class priors, -log softmax(z + tau log pi)_y.

    The priors are added in training only, so predict from the bare logits. Post-hoc adjustment is the other way to
    use the priors: it changes the logits of a model trained with `softmax`. Do not do both. The loss is equal to
    `softmax` on balanced counts, and to `balanced_softmax` with tau=1. A class with no images counts as one with a
    single image.

    Source: Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021, equation 10.

    Args:
        class_counts: training images per class, integers of shape (C,).
        tau: strength of the adjustment; 1 is `balanced_softmax`, 0 is `softmax`.
        s: scale of the logits; for `head: cosine`, whose logits lie in [-1, 1], such as 25.
    """

    corrects = "adjusts its logits by the class counts in training"
    adjustment: Tensor

    def __init__(self, class_counts: Tensor, *, tau: NonNegative = 1.0, s: Positive = 1.0):
        super().__init__(class_counts)
        self.logit_scale = s
        counts = self.class_counts.clamp(min=1).double()
        self.register_buffer("adjustment", tau * (counts / counts.sum()).log())

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        adjusted = self.logit_scale * logits + self.adjustment.to(logits.dtype)
        return F.cross_entropy(adjusted, labels, reduction="none")
