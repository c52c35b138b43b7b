"""LADE: balanced softmax with a regulariser that disentangles the logits from the training distribution."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, is_label
from longtail.settings import NonNegative

PART = 1 << 18
"""Logits that are looked at together in evaluation, if one class has no more."""


class LADE(Loss):
    """Balanced softmax plus alpha times the LADER regulariser.

    For class c with prior p_c, T1 is the mean of the logits z_c over the batch's images of the class (0 without any),
    and T2 is log mean_i exp(z_ic - log p_c - log C) over all its images. The regulariser is
    -sum_c p_c (T1 - T2 - lam T2^2), the Donsker-Varadhan bound of each class with its own penalty. It belongs to the
    whole batch. Predict from the bare logits, which are those for a balanced test set. As in the authors' code the
    priors have 1e-9 added before their logarithm is taken; a class with no images adds nothing to the regulariser.

    Source: Hong et al., Disentangling Label Distribution for Long-Tailed Visual Recognition, CVPR 2021.
    The defaults are those of the authors' command for CIFAR-100 with imbalance 0.01.

    Args:
        class_counts: training images per class, integers of shape (C,).
        alpha: weight of the regulariser; 0 is `balanced_softmax`.
        lam: weight of the square within it, which keeps it bounded.
    """

    corrects = "adjusts its logits by the class counts in training"
    no_mixup = "its regulariser takes means over the images of a class, and a mixed image has two"
    no_parts = "its regulariser takes means over the whole batch"
    prior: Tensor

    def __init__(self, class_counts: Tensor, *, alpha: NonNegative = 0.1, lam: NonNegative = 0.01):
        super().__init__(class_counts)
        self.alpha, self.lam = alpha, lam
        self.register_buffer("prior", self.class_counts.double() / self.class_counts.sum())

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each image; the regulariser is that of its batch."""
        return F.cross_entropy(logits + self._log_prior(logits.dtype), labels, reduction="none")

    def of_batch(self, logits: Tensor, labels: Tensor, dtype: torch.dtype) -> Tensor:
        """Alpha times the regulariser of the batch."""
        images, classes = logits.shape
        # A whole test set is evaluated some classes at a time, since copies of all its logits would fill the memory.
        # What stays is allocated first, since after the parts it would keep their memory from being given back.
        step = classes if self.training else max(PART // images, 1)
        bounds = torch.empty(classes, dtype=dtype, device=logits.device)
        for first in range(0, classes, step):
            part = slice(first, first + step)
            bounds[part] = self._bounds(
                logits[:, part].to(dtype), labels - first, self._log_prior(dtype)[part]
            )
        return self.alpha * -(self.prior.to(dtype) * bounds).sum()

    def _bounds(self, logits: Tensor, labels: Tensor, log_prior: Tensor) -> Tensor:
        """What the regulariser sums over the classes, of those of these columns; labels of others are outside."""
        own = is_label(logits, labels).to(logits.dtype)
        inside = (own * logits).sum(dim=0) / (own.sum(dim=0) + 1e-8)
        uniform = math.log(1 / len(self.prior) + 1e-9)
        overall = (logits - log_prior + uniform).logsumexp(dim=0) - math.log(len(logits))
        return inside - overall - self.lam * overall**2

    def _log_prior(self, dtype: torch.dtype) -> Tensor:
        return (self.prior + 1e-9).log().to(dtype)
