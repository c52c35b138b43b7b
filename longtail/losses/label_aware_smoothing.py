"""Label-aware smoothing: frequent classes get softer targets."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import HalfOpenUnit, Positive, Shape


class LabelAwareSmoothing(Loss):
    """Cross-entropy with label smoothing whose strength grows with the class count, from tail to head.

    With t = (n_y - n_min) / (n_max - n_min), an image of class y has the smoothing
    e_y = smooth_tail + (smooth_head - smooth_tail) f(t) and the loss (1 - e_y) (-log p_y) + e_y mean_k(-log p_k). The
    shape f is sin(pi t / 2) (concave), t (linear), 1 - cos(pi t / 2) (convex) or t^power (exp). The loss is meant for
    the second stage of decoupled training, on a frozen backbone. On balanced counts every class has the smoothing
    `smooth_tail`.

    Source: Zhong et al., Improving Calibration for Long-Tailed Recognition, CVPR 2021, section 3.2. As in the
    authors' code, and as in torch, the smoothing is spread over all C classes; the paper's text spreads it over
    the C - 1 others. The defaults are theirs for CIFAR-100 with imbalance 0.01.

    Args:
        class_counts: training images per class, integers of shape (C,).
        smooth_head: label smoothing of the most frequent class.
        smooth_tail: label smoothing of the rarest class.
        shape: how the smoothing grows between them.
        power: the power of t; it counts for shape exp only.
    """

    smoothing: Tensor

    def __init__(
        self,
        class_counts: Tensor,
        *,
        smooth_head: HalfOpenUnit = 0.4,
        smooth_tail: HalfOpenUnit = 0.1,
        shape: Shape = "concave",
        power: Positive = 1.0,
    ):
        super().__init__(class_counts)
        counts = self.class_counts.double()
        span = (counts.max() - counts.min()).clamp(min=1)
        share = (counts - counts.min()) / span
        shapes = {
            "concave": lambda t: torch.sin(t * (math.pi / 2)),
            "linear": lambda t: t,
            "convex": lambda t: 1 - torch.cos(t * (math.pi / 2)),
            "exp": lambda t: t**power,
        }
        self.register_buffer("smoothing", smooth_tail + (smooth_head - smooth_tail) * shapes[shape](share))

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.smoothing.to(logits.dtype)[labels]
        cross_entropy = F.cross_entropy(logits, labels, reduction="none")
        spread = -logits.log_softmax(dim=1).mean(dim=1)
        return (1 - smoothing) * cross_entropy + smoothing * spread
