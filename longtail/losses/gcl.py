"""Gaussian clouded logits: noise in the logits, the more the rarer the class."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, is_label
from longtail.settings import NonNegative, Positive


class GaussianClouded(Loss):
    """Cross-entropy of s (z_c - noise |e_c| d_c), where e is drawn for every image and class.

    With d_c = (log n_max - log n_c) / (log n_max - log n_min), the cloud is nothing for the most frequent class and
    widest for the rarest. e is normal with standard deviation 1/3, cut to [-1, 1]. As its absolute value counts, logits
    are only lowered. The logits must be cosines, from a head with normalised features and weights. On balanced counts
    there is no noise. Every batch draws anew, in evaluation too: set `generator` to a seeded one for a reproducible
    value. A class with no images has the cloud of a class with one.

    Source: Li et al., Long-Tailed Visual Recognition via Gaussian Clouded Logit Adjustment, CVPR 2022. The constants
    are those of the authors' code: this is the first stage on CIFAR; the second, on a frozen backbone with balanced
    sampling, has s=20, m=0.1 and gamma=1.

    Args:
        class_counts: training images per class, integers of shape (C,).
        m: margin at the label, in units of the cosine.
        s: scale of the cosine logits.
        noise: width of the cloud of the rarest class, in units of the cosine.
        gamma: focusing parameter; the factor (1 - p_y)^gamma is not differentiated. 0: no factor.
    """

    default_head = "cosine"
    corrects = "lowers its logits by the class counts in training"
    cloud: Tensor

    def __init__(
        self,
        class_counts: Tensor,
        *,
        m: NonNegative = 0.0,
        s: Positive = 30.0,
        noise: NonNegative = 0.5,
        gamma: NonNegative = 0.0,
    ):
        super().__init__(class_counts)
        self.logit_scale = s
        self.m, self.gamma = m, gamma
        below = self.class_counts.max().double().log() - self.class_counts.clamp(min=1).double().log()
        self.register_buffer("cloud", noise * below / below.max().clamp(min=torch.finfo(below.dtype).tiny))

    def draw_noise(self, logits: Tensor) -> Tensor:
        """Normal numbers of standard deviation 1/3, one per image and class."""
        # The numbers are float32 whatever the logits are, so that a seed gives the same cloud in every precision.
        drawn = torch.randn(logits.shape, generator=self.generator, device=logits.device, dtype=torch.float32)
        return drawn / 3

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        noise = self.draw_noise(logits).to(logits.dtype).clamp(-1, 1).abs()
        margin = self.m * is_label(logits, labels).to(logits.dtype)
        lowered = logits - noise * self.cloud.to(logits.dtype) - margin
        cross_entropy = F.cross_entropy(self.logit_scale * lowered, labels, reduction="none")
        return (-torch.expm1(-cross_entropy)).detach() ** self.gamma * cross_entropy
