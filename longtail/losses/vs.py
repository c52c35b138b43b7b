"""Vector scaling: the logits are multiplied and shifted by class counts in training."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, is_label
from longtail.settings import NonNegative


class VectorScaling(Loss):
    """Cross-entropy of (n_c / n_max)^gamma z_c + tau log pi_c, with the class priors pi.

    It joins the two adjustments: gamma=0 is `logit_adjusted`, tau=0 is `cdt`. Both exist in training only: predict from
    the bare logits. The loss is equal to `softmax` on balanced counts. A class with no images is left out of the
    softmax, as its prior of 0 says, except for images of its own, for which it counts as one with a single image.

    Source: Kini et al., Label-Imbalanced and Group-Sensitive Classification under Overparameterization, NeurIPS 2021.
    The defaults are those of the authors' code; they chose both parameters for each data set on its test
    set.

    Args:
        class_counts: training images per class, integers of shape (C,).
        gamma: strength of the multiplicative part.
        tau: strength of the additive part.
    """

    corrects = "scales and shifts its logits by the class counts in training"
    scale: Tensor
    adjustment: Tensor

    def __init__(self, class_counts: Tensor, *, gamma: NonNegative = 0.3, tau: NonNegative = 1.0):
        super().__init__(class_counts)
        counts = self.class_counts.clamp(min=1).double()
        self.register_buffer("scale", (counts / counts.max()) ** gamma)
        self.register_buffer("adjustment", tau * (counts / counts.sum()).log())

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        adjusted = logits * self.scale.to(logits.dtype) + self.adjustment.to(logits.dtype)
        left_out = (self.class_counts == 0) & ~is_label(logits, labels)
        return F.cross_entropy(adjusted.masked_fill(left_out, -torch.inf), labels, reduction="none")
