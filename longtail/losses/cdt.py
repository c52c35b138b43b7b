"""Class-dependent temperatures: the logits of rare classes count less in training, so they have to grow."""

from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import NonNegative


class CDT(Loss):
    """Cross-entropy of the logits divided by temperatures, a_c = (n_max / n_c)^gamma.

    The temperature is 1 for the most frequent class and larger for rarer ones. It exists in training only: predict
    from the bare logits. The loss is equal to `softmax` on balanced counts. A class with no images has the temperature
    of a class with one.

    Source: Ye et al., Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning, 2020,
    arXiv:2001.01385.

    Args:
        class_counts: training images per class, integers of shape (C,).
        gamma: how strongly the counts weigh; 0 is `softmax`. Values up to 0.4 are usual.
    """

    corrects = "divides its logits by temperatures of the class counts in training"
    temperature: Tensor

    def __init__(self, class_counts: Tensor, *, gamma: NonNegative = 0.2):
        super().__init__(class_counts)
        counts = self.class_counts.clamp(min=1).double()
        self.register_buffer("temperature", (counts.max() / counts) ** gamma)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits / self.temperature.to(logits.dtype), labels, reduction="none")
