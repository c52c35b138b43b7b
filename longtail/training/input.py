"""The batches of a run: its training images sampled, augmented and mixed as the recipe says, its validation images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from longtail.batches.feed import Feed
from longtail.batches.jitter import Jitter
from longtail.batches.mixup import Mixer, Targets
from longtail.batches.policies import Policy
from longtail.batches.sampling import sample
from longtail.data.tensors.files import LabelledImages
from longtail.machine.randomness import generator
from longtail.settings import unknown
from longtail.training.recipe import Recipe

VIEWS = ("train", "simclr")
"""How a view of an image is made: cropped, flipped and changed as the recipe says for training; or with a crop that is
enlarged, flipped as the recipe says, and other colours (see `longtail.batches.jitter`)."""
SIMCLR_AREA = 0.2, 1.0
"""The share of an image that such a crop has in the references for CIFAR."""


class TrainingBatches:
    """The training batches of each epoch, which are a function of the seed and the epoch.

    Args:
        class_counts: training images per class, integers of shape (C,), on the CPU.
        resident: as of `longtail.training.run.Trainer`.
        views, mixtures: as of `longtail.losses.base.Loss`. Each view draws from a generator of its own, the first from
            the same as where it is the only one.

    Attributes:
        steps: batches in an epoch.
        images_per_epoch: images in these batches. A last batch of one image is left out, since batch norm cannot
            train on it.
    """

    def __init__(
        self,
        train_set: LabelledImages,
        class_counts: torch.Tensor,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        *,
        resident: bool,
        views: Sequence[str] = ("train",),
        mixtures: Sequence[str] = (),
    ):
        self.recipe, self.seed, self.device, self.class_counts = recipe, seed, device, class_counts
        self.labels = train_set.labels.cpu()
        self.mixtures = mixtures
        if resident:  # once for all views
            train_set = replace(train_set, images=train_set.images.to(device))
        self.feed, *self.others = (
            build_feed(train_set, recipe, device, recipe.batch_size, resident=resident, view=view)
            for view in views
        )
        self.steps = self.feed.steps()
        self.images_per_epoch = min(len(self.labels), self.steps * recipe.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[torch.Tensor, Targets]]:
        """The images (V B x 3 x H x W) and targets (of B) of an epoch's batches, from a step on.

        The images of the first of V views come before those of the next one.
        """
        recipe = self.recipe
        indices = sample(
            recipe.sampler if epoch >= recipe.first_sampled else "instance",
            self.labels,
            self.class_counts,
            epoch=epoch,
            epochs=recipe.epochs,
            generator=generator(self.seed, "sampler", epoch),
        )
        mix = None
        batches = self.class_counts, self.steps, recipe.batch_size, self.seed, epoch, self.device
        if self.mixtures:
            mix = Mixer(1.0, None, *batches, views=self.mixtures)
        elif recipe.mixup:
            remix = recipe.mixup.remix.model_dump() if recipe.mixup.remix else None
            kind, probability = recipe.mixup.kind, recipe.mixup.probability
            mix = Mixer(recipe.mixup.alpha, remix, *batches, kind=kind, probability=probability)
        drawing = generator(self.seed, "order", epoch)
        if indices is None:
            indices = torch.randperm(len(self.labels), generator=drawing)
        first = self.feed.epoch(drawing, indices=indices, start_step=first_step)
        others = [
            feed.epoch(generator(self.seed, f"view {number}", epoch), indices=indices, start_step=first_step)
            for number, feed in enumerate(self.others, 2)
        ]
        for step, ((images, labels), *more) in enumerate(zip(first, *others, strict=True), first_step):
            if more:
                images = torch.cat([images, *(view for view, _ in more)])
            yield mix(step, images, labels) if mix else (images, Targets(labels))


def build_feed(
    data: LabelledImages,
    recipe: Recipe,
    device: torch.device,
    batch_size: int,
    *,
    resident: bool,
    view: str | None = None,
) -> Feed:
    """The feed of these images in the recipe's size and normalisation.

    Args:
        resident: as of `longtail.training.run.Trainer`.
        view: one of VIEWS; None: the images as they are, for evaluation.

    Raises:
        ValueError: there is no such view.
    """
    if view and view not in VIEWS:
        raise ValueError(unknown(f"the view {view!r} of an image", view, VIEWS))
    augmentation: dict[str, Any] = {"flip": recipe.flip, "flips": recipe.flips} if view else {}
    if view == "simclr":
        augmentation |= {"area": SIMCLR_AREA, "policy": Jitter(size=recipe.image_size)}
    elif view == "train":
        augmentation["padding"] = recipe.padding
        augmentation["cutout"] = recipe.cutout
        if recipe.augment:
            chosen = {"operations": recipe.augment_operations, "magnitude": recipe.augment_magnitude}
            augmentation["policy"] = Policy(recipe.augment, size=recipe.image_size, **chosen)
    return Feed(
        data.images.to(device) if resident else data.images,
        data.labels,
        size=recipe.image_size,
        mean=recipe.mean,
        std=recipe.std,
        batch_size=batch_size,
        device=device,
        channels_last=True,
        read_ahead=not resident,
        **augmentation,
    )
