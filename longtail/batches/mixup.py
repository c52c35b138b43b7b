"""Mixup, CutMix, manifold mixup and Remix: training on mixtures of two images, made batch by batch on the device."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtail.losses.base import Loss
from longtail.machine.randomness import derive_seed

KINDS = ("input", "cutmix", "manifold")


class Targets(NamedTuple):
    """The labels of a batch: one for each image, or two where images are mixed.

    Attributes:
        labels: int64, shape (B,).
        others: the second label of each image, int64, shape (B,).
        share: how much of its image the first label is, shape (B,); the second label is the rest.
        partners: the images of the batch whose features are mixed in, int64, shape (B,); None: features are not mixed.
        blend: how much of its mixed feature an image is, shape (B,).
    """

    labels: Tensor
    others: Tensor | None = None
    share: Tensor | None = None
    partners: Tensor | None = None
    blend: Tensor | None = None

    @property
    def mixing(self) -> tuple[Tensor, ...]:
        """What the model has to be told beside the images, so that it mixes their features; nothing: it does not."""
        return () if self.partners is None or self.blend is None else (self.partners, self.blend)

    def total(self, loss: Loss, logits: Tensor, **beside: Tensor) -> Tensor:
        """The total of the loss over the batch (see `Loss.total`). Each label counts with its share."""
        total = loss.total(logits, self.labels, self.share, **beside)
        if self.others is None or self.share is None:
            return total
        return total + loss.total(logits, self.others, 1 - self.share, **beside)

    def normalizer(self, loss: Loss) -> Tensor:
        """The number by which that total is divided to give the mean over the batch."""
        normalizer = loss.normalizer(self.labels, self.share)
        if self.others is None or self.share is None:
            return normalizer
        return normalizer + loss.normalizer(self.others, 1 - self.share)

    def main_labels(self) -> Tensor:
        """The label with the larger share of each image, int64, shape (B,)."""
        if self.others is None or self.share is None:
            return self.labels
        return self.labels.where(self.share >= 0.5, self.others)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Targets":
        """Apply the function to each tensor of the targets."""
        return Targets(*(function(tensor) for tensor in self if tensor is not None))

    def split(self, size: int) -> list["Targets"]:
        """Divide the targets into parts of `size` images; the last part may be smaller."""
        parts = (tensor.split(size) for tensor in self if tensor is not None)
        return [Targets(*part) for part in zip(*parts, strict=True)]


class Mixer:
    """Mixes the batches of one epoch, each image with another one of its batch.

    With lambda drawn from Beta(alpha, alpha) for each batch, the mixture is lambda x_i + (1 - lambda) x_j, and its
    labels have the same shares. In manifold mixup the x are the features before the classifier, which the model mixes.
    In CutMix the mixture is x_i with a rectangle of x_j of the share 1 - lambda in it, as far as it lies in the image;
    lambda then becomes the share of x_i that is left. Remix gives the whole label to the rarer class where the other
    one has at least `kappa` times as many training images and its share of the image is below `tau`.

    Sources: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, equation 1. Yun et al., CutMix:
    Regularization Strategy to Train Strong Classifiers with Localizable Features, ICCV 2019, equations 1 and 2. Verma
    et al., Manifold Mixup: Better Representations by Interpolating Hidden States, ICML 2019; of the layers
    that they draw from, this is the last one alone, as in Zhang et al., Bag of Tricks for Long-Tailed Visual
    Recognition, AAAI 2021. Chou et al., Remix: Rebalanced Mixup, ECCV 2020 workshops, equation 7.

    Args:
        alpha: above 0.
        remix: None for mixed labels, or `kappa` of at least 1 and `tau` from 0 to 1.
        class_counts: training images per class, integers of shape (C,).
        steps, batch_size: the batches of the epoch, and the images in each.
        seed, epoch: all random numbers follow from them, so a resumed epoch has the mixtures it would have had.
        device: where the batches are.
        kind: one of KINDS.
        probability: the share of the batches that are mixed.
        views: where the batches have several views of each image, the kind for each of these. All views of an image are
            mixed with the same one, in CutMix with a rectangle drawn for the share lambda, which its part within the
            image does not change.

    Raises:
        ValueError: an unknown kind.
    """

    def __init__(
        self,
        alpha: float,
        remix: Mapping[str, float] | None,
        class_counts: Tensor,
        steps: int,
        batch_size: int,
        seed: int,
        epoch: int,
        device: torch.device,
        *,
        kind: str = "input",
        probability: float = 1.0,
        views: Sequence[str] = (),
    ):
        if kind not in KINDS:
            raise ValueError(f"the kind of mixture is {kind!r}; choose one of {', '.join(KINDS)}")
        random = np.random.default_rng(derive_seed(seed, "mixup", epoch))
        self.lambdas = random.beta(alpha, alpha, size=steps).tolist()
        places = torch.from_numpy(random.random((steps, batch_size)))
        self.places = places.to(device, torch.float32)
        self.mixed = (random.random(steps) < probability).tolist()
        self.centres = random.random((steps, 2)).tolist()
        self.kind, self.views = kind, views
        self.remix = remix
        self.class_counts = class_counts.to(device)

    def __call__(self, step: int, images: Tensor, labels: Tensor) -> tuple[Tensor, Targets]:
        """The mixtures of a batch (images V B x C x H x W, labels int64 B), which itself stays as it is."""
        if not self.mixed[step]:
            return images, Targets(labels)
        share = self.lambdas[step]
        partners = self.places[step, : len(labels)].argsort(stable=True)
        others = labels[partners]
        if self.views:
            each = zip(self.views, images.chunk(len(self.views)), strict=True)
            images = torch.cat([self._mixed(kind, step, view, partners)[0] for kind, view in each])
        else:
            images, share = self._mixed(self.kind, step, images, partners)
        shares = blend = torch.full((len(labels),), share, device=images.device)
        if self.remix:
            shares = remixed(shares, self.class_counts[labels], self.class_counts[others], **self.remix)
        if self.kind == "manifold":
            return images, Targets(labels, others, shares, partners, blend)
        return images, Targets(labels, others, shares)

    def _mixed(self, kind: str, step: int, images: Tensor, partners: Tensor) -> tuple[Tensor, float]:
        """The mixtures of one view, and how much of them their first images are."""
        share = self.lambdas[step]
        if kind == "input":
            return torch.lerp(images[partners], images, share), share
        if kind == "cutmix":
            height, width = images.shape[-2:]
            rows, columns = cut(height, width, share, self.centres[step])
            images = images.clone()
            images[..., rows, columns] = images[partners][..., rows, columns]
            share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        return images, share


def cut(height: int, width: int, share: float, centre: Sequence[float]) -> tuple[slice, slice]:
    """The rows and columns of the rectangle that CutMix replaces.

    Its sides are those of the image times sqrt(1 - share), rounded down, of which the part within the image is taken.

    Args:
        height, width: of the image, in pixels.
        share: how much of the image should be left, from 0 to 1.
        centre: where the rectangle's centre lies, as fractions of height and width, below 1.
    """
    found = []
    for size, place in zip((height, width), centre, strict=True):
        half, middle = int(size * math.sqrt(1 - share)) // 2, int(size * place)
        found.append(slice(max(middle - half, 0), min(middle + half, size)))
    return found[0], found[1]


def remixed(share: Tensor, count: Tensor, other_count: Tensor, *, kappa: float, tau: float) -> Tensor:
    """The share of the first label after Remix, shape (B,).

    The share becomes 0 where the first class is at least `kappa` times as frequent as the other one and its share is
    below `tau`. It becomes 1 where the same holds for the other label. Otherwise it stays.

    Args:
        share: of the first image in the mixture, shape (B,).
        count, other_count: training images of the two images' classes, shape (B,).
    """
    share = share.masked_fill((count >= kappa * other_count) & (share < tau), 0.0)
    return share.masked_fill((other_count >= kappa * count) & (1 - share < tau), 1.0)
