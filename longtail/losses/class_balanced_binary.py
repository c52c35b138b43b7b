"""Class-balanced binary cross-entropy of the softmax probabilities, the second stage of weight balancing."""

import torch
from torch import Tensor

from longtail.losses.base import Loss, is_label
from longtail.losses.weights import effective_number
from longtail.settings import HalfOpenUnit


class ClassBalancedBinary(Loss):
    """The binary cross-entropy of every probability of a softmax, weighted by the effective number of images.

    With p = softmax(z), the loss of an image is w_y times the mean over the C classes of -log p_y and, elsewhere,
    -log(1 - p_c). It is no cross-entropy, and about C times smaller, so a learning rate that suits one takes small
    steps here. The weights are scaled to sum to C, and the sum is divided by the images of the batch. A class with no
    images has the weight of a class with one. The authors' code cuts the logarithms at -100, as torch does; this does
    not, so that no gradient vanishes.

    Source: the code of Alshammari et al., Long-Tailed Recognition via Weight Balancing, CVPR 2022, whose second stage
    it is; the weights are those of Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019.

    Args:
        class_counts: training images per class, integers of shape (C,).
        beta: the beta of the effective number of samples; 0 is without weights.
    """

    corrects = "weighs its classes by their counts in training"

    def __init__(self, class_counts: Tensor, *, beta: HalfOpenUnit = 0.9999):
        super().__init__(class_counts, reduction="batch_mean")
        self.set_class_weight(effective_number(self.class_counts, beta=beta))

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        log_p = logits.log_softmax(dim=1)
        top = is_label(logits, logits.argmax(dim=1))
        # 1 - p cancels where p is close to 1, which only the largest p is: there, it is what the other classes have.
        of_others = logits.masked_fill(top, -torch.inf).logsumexp(dim=1, keepdim=True) - logits.logsumexp(
            dim=1, keepdim=True
        )
        log_rest = torch.where(top, of_others, torch.log1p(-log_p.masked_fill(top, -1.0).exp()))
        return -torch.where(is_label(logits, labels), log_p, log_rest).mean(dim=1)
