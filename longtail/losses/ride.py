"""RIDE: several experts that are trained with margins and pushed apart, the more so for frequent classes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, is_label
from longtail.losses.weights import effective_number
from longtail.settings import HalfOpenUnit, NonNegative, Positive, Unit


class RIDE(Loss):
    """The sum over the experts of LDAM minus `diversity` times how far an expert is from their mean.

    The distance of expert e is t^2 KL(softmax(s z / T) || softmax(s z_e / T)), averaged over the batch, where z are the
    mean logits, which are held constant, T a temperature for each class and t the mean of these. From `start` on,
    classes are weighted by one over their effective number of images, and the temperatures of rare classes fall below
    that of the most frequent one: T_c is proportional to 1 + `spread` (C n_c / sum n - 1). Before, all are
    `temperature`.

    The logits must be cosines, as for LDAM. The model predicts by the mean of the experts' logits. In evaluation mode,
    without the experts, the value is the class-weighted cross-entropy of these, without margins; the authors' code
    leaves out the weights too. As their code does, the loss sums over the experts, measures the distance from their
    mean in place of that between all pairs, and divides the temperatures by the largest.

    Source: Wang et al., Long-tailed Recognition by Routing Diverse Distribution-Aware Experts, ICLR 2021; the
    formulas are those of the authors' code, and the defaults those of its configuration for CIFAR-100-LT (ImageNet-LT:
    diversity 0.2, spread 0.02). The second stage, in which an image is routed to as few experts as it needs, is not
    here.

    Args:
        class_counts: training images per class, integers of shape (C,).
        max_m: margin of the rarest class in units of the cosine.
        s: scale of the cosine logits.
        diversity: how strongly experts are pushed apart.
        temperature: the largest temperature of the distance.
        spread: how much the temperatures follow the class counts.
        start: share of the epochs after which classes are weighted and have temperatures of their own.
        beta: as of the loss class_balanced, for the class weights.
    """

    default_head = "cosine"
    default_experts = 3
    needs = ("experts",)
    corrects = "re-weighs its classes in its last epochs"
    no_mixup = "its margin is that of one class, and a mixed image has two"
    no_parts = "the classes' weights and the distance of the experts are averaged over the whole batch"
    margin: Tensor
    weights: Tensor
    temperatures: Tensor
    spread_temperatures: Tensor

    def __init__(
        self,
        class_counts: Tensor,
        *,
        max_m: NonNegative = 0.5,
        s: Positive = 30.0,
        diversity: NonNegative = 0.45,
        temperature: Positive = 1.0,
        spread: HalfOpenUnit = 0.05,
        start: Unit = 0.8,
        beta: HalfOpenUnit = 0.9999,
    ):
        super().__init__(class_counts)
        self.logit_scale, self.diversity, self.temperature, self.start = s, diversity, temperature, start
        counts = self.class_counts.double()
        margin = counts.clamp(min=1) ** -0.25
        self.register_buffer("margin", margin * (max_m / margin.max()))
        self.register_buffer("weights", effective_number(self.class_counts, beta=beta))
        own = 1 + spread * (len(counts) * counts / counts.sum() - 1)
        self.register_buffer("spread_temperatures", temperature * own / own.max())
        self.register_buffer("temperatures", self.spread_temperatures.clone())
        self.set_class_weight(self.weights)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        late = epoch >= int(self.start * epochs)  # as `train.drw` counts
        self.class_weight.copy_(self.weights if late else torch.ones_like(self.weights))
        self.temperatures.copy_(
            self.spread_temperatures if late else torch.full_like(self.temperatures, self.temperature)
        )

    def per_sample(self, logits: Tensor, labels: Tensor, *, experts: Tensor | None = None) -> Tensor:
        if experts is None:
            return F.cross_entropy(self.logit_scale * logits, labels, reduction="none")
        images, number, classes = experts.shape
        margin = self.margin.to(logits.dtype) * is_label(logits, labels)
        scaled = self.logit_scale * experts.to(logits.dtype)
        shifted = scaled - self.logit_scale * margin[:, None]
        # One row for each image and expert, since the loss of three dimensions is not deterministic on GPUs.
        each = F.cross_entropy(
            shifted.view(-1, classes), labels.repeat_interleave(number), reduction="none"
        ).view(images, number)
        # The distance is averaged without the class weights, with which the result is multiplied and then divided.
        weight = self.class_weight.to(logits.dtype)[labels]
        share = weight.mean() / weight if self.reduction == "weighted_mean" else 1 / weight
        distance = self._distance(scaled, self.logit_scale * logits.detach())
        return each.sum(dim=1) - self.diversity * share * distance

    def _distance(self, experts: Tensor, mean: Tensor) -> Tensor:
        """The distances of the experts of each image from their mean, summed, shape (N,)."""
        temperatures = self.temperatures.to(mean.dtype)
        own = (experts / temperatures).log_softmax(dim=2)
        target = (mean / temperatures).softmax(dim=1)[:, None].expand_as(own)
        return temperatures.mean() ** 2 * F.kl_div(own, target, reduction="none").sum(dim=(1, 2))
