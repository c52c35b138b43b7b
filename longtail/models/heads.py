"""Heads: the last layer, from features to logits."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def build_head(kind: str, num_features: int, num_classes: int, experts: int = 1) -> nn.Module:
    """A new head of one of the kinds in `HEADS`; `linear` has a bias, and starts as PyTorch does it.

    Args:
        num_features: of all experts together.
        experts: how many heads there are side by side, each with its part of the features.

    Raises:
        ValueError: another kind.
    """
    if kind not in HEADS:
        raise ValueError(f"unknown head {kind!r}; choose one of {', '.join(HEADS)}")
    if experts > 1:
        return ExpertHeads([HEADS[kind](num_features // experts, num_classes) for _ in range(experts)])
    return HEADS[kind](num_features, num_classes)


@torch.no_grad()
def class_means(backbone: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], num_classes: int) -> Tensor:
    """The mean feature of each class's images, for the weights of a cosine head; zeros for a class without images.

    Source: Shi et al., Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts, ICML 2024, and their code,
    which averages the features as they are. They do so where no text encoder belongs to the backbone.

    Args:
        backbone: images to features; it is put into evaluation mode and stays in it.
        batches: images (B, 3, H, W) and labels (B,) on the backbone's device.

    Returns:
        float64, (num_classes, features).
    """
    backbone.eval()
    sums = counts = torch.zeros((), dtype=torch.float64)
    for images, labels in batches:
        of_class = F.one_hot(labels, num_classes).double().T
        # index_add would not be deterministic, since the order of its atomic additions changes each time.
        sums = sums + of_class @ backbone(images).double()
        counts = counts + of_class.sum(dim=1, keepdim=True)
    return sums / counts.clamp(min=1)


class CosineLinear(nn.Module):
    """The cosine between the features and each class's weight vector; no bias.

    The logits lie in [-1, 1] whatever the features' length, so a softmax over them is nearly flat: the loss has to
    scale them, as LDAM does. Features of length zero give 0 for every class.

    Weights start as directions: uniform in [-1, 1] per entry, then scaled to length one, as in the layer that the
    authors of LDAM use (Cao et al., 2019, arXiv:1906.07413).

    Shapes: features (N, num_features) to logits (N, num_classes), in the features' dtype.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.in_features = num_features
        drawn = nn.init.uniform_(torch.empty(num_classes, num_features), -1.0, 1.0)
        self.weight = nn.Parameter(F.normalize(drawn, dim=1))

    @torch.no_grad()
    def point_to(self, directions: Tensor) -> None:
        """Start from these directions, (num_classes, num_features); a class whose row is zero keeps its own."""
        found = directions.norm(dim=1, keepdim=True) > 0
        self.weight.copy_(torch.where(found, F.normalize(directions, dim=1).to(self.weight), self.weight))

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))


class ScaledLinear(nn.Module):
    """A linear classifier whose logits are multiplied with one factor for each class, at first 1.

    With the classifier itself frozen this is learnable weight scaling (LWS; Kang et al., 2020, arXiv:1910.09217,
    section 4.3). As in the authors' code, the factor applies to the biases too.

    Shapes: features (N, num_features) to logits (N, num_classes).
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.in_features = num_features
        self.linear = nn.Linear(num_features, num_classes)
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features) * self.scale


class NearestMean(nn.Module):
    """Minus the squared distance of each feature, centred and brought to length one, to a mean for each class.

    Nothing in it is trained: `longtail.models.variants.ncm` fills it in. `never` is taken off the logits of classes
    that have no mean.

    Shapes: features (N, num_features) to logits (N, num_classes).
    """

    weight: Tensor
    centre: Tensor
    never: Tensor

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(num_classes, num_features))
        self.register_buffer("centre", torch.zeros(num_features))
        self.register_buffer("never", torch.zeros(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        directions = F.normalize(features - self.centre, dim=1)
        bias = -self.weight.square().sum(dim=1) - self.never
        return F.linear(directions, 2 * self.weight, bias) - directions.square().sum(dim=1, keepdim=True)


class ExpertHeads(nn.Module):
    """A head for each expert. The logits are the mean of theirs, weighted or not.

    Args:
        heads: E of them, each from F features to C logits.

    Attributes:
        shares: how much each expert counts in proportion to the others, shape (E,): equally, unless
            `longtail.models.variants.aggregation` has found others.

    Shapes: features (N, E F), those of one expert after those of the other, to logits (N, C).
    """

    shares: Tensor

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.in_features = sum(cast(int, head.in_features) for head in heads)
        self.heads = nn.ModuleList(heads)
        self.register_buffer("shares", torch.ones(len(heads)))

    def each(self, features: Tensor) -> Tensor:
        """The logits of each expert, (N, E, C)."""
        parts = features.chunk(len(self.heads), dim=1)
        return torch.stack([head(part) for head, part in zip(self.heads, parts, strict=True)], dim=1)

    def combined(self, each: Tensor) -> Tensor:
        """The logits (N, C) of all experts together, from those of each, (N, E, C)."""
        return (self.shares[:, None] * each).sum(dim=1) / self.shares.sum()

    def forward(self, features: Tensor) -> Tensor:
        return self.combined(self.each(features))


HEADS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": nn.Linear,
    "cosine": CosineLinear,
    "scaled": ScaledLinear,
    "nearest_mean": NearestMean,
}
