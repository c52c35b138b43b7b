"""LDAM: margins that grow as classes get rarer."""

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, is_label
from longtail.settings import NonNegative, Positive


class LDAM(Loss):
    """Cross-entropy of s (z - m_y at the label) with margins m_c proportional to n_c^(-1/4), the largest `max_m`.

    The logits must be cosines, from a head with normalised features and weights. The logits of a plain linear head
    are large already, and multiplying them by `s` makes training erratic. Probabilities are softmax(s z), so
    `logit_scale` is s. On balanced counts the loss is not equal to `softmax`. A class with no images has the margin
    of a class with one.

    LDAM-DRW is this loss with `set_class_weight(effective_number(...))` for the last epochs.

    Source: Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019,
    section 3.2; the scale s from the authors' code.

    Args:
        class_counts: training images per class, integers of shape (C,).
        max_m: margin of the rarest class in units of the cosine.
        s: scale of the cosine logits.
    """

    default_head = "cosine"  # as published; a linear one reproduces the thesis
    no_mixup = "its margin is that of one class, and a mixed image has two"
    margin: Tensor

    def __init__(self, class_counts: Tensor, *, max_m: NonNegative = 0.5, s: Positive = 30.0):
        super().__init__(class_counts)
        self.logit_scale = s
        margin = self.class_counts.clamp(min=1).double() ** -0.25
        self.register_buffer("margin", margin * (max_m / margin.max()))

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        margin = self.margin.to(logits.dtype) * is_label(logits, labels)
        return F.cross_entropy(self.logit_scale * (logits - margin), labels, reduction="none")
