"""The batches of a run: its training images sampled, augmented and mixed as the recipe says, its validation images."""

from collections.abc import Iterator
from typing import Any

import torch

from longtail.batches.feed import Feed
from longtail.batches.mixup import Mixer, Targets
from longtail.batches.policies import Policy
from longtail.batches.sampling import sample
from longtail.data.tensors.files import LabelledImages
from longtail.machine.randomness import generator
from longtail.training.recipe import Recipe


class TrainingBatches:
    """The training batches of each epoch, which are a function of the seed and the epoch.

    Args:
        class_counts: training images per class, integers of shape (C,), on the CPU.
        resident: as of `longtail.training.run.Trainer`.

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
    ):
        self.recipe, self.seed, self.device, self.class_counts = recipe, seed, device, class_counts
        self.labels = train_set.labels.cpu()
        self.feed = build_feed(
            train_set, recipe, device, recipe.batch_size, resident=resident, augmented=True
        )
        self.steps = self.feed.steps()
        self.images_per_epoch = min(len(self.labels), self.steps * recipe.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[torch.Tensor, Targets]]:
        """The images (B x 3 x H x W) and targets of an epoch's batches, from a step on."""
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
        if recipe.mixup:
            remix = recipe.mixup.remix.model_dump() if recipe.mixup.remix else None
            size = self.steps, recipe.batch_size
            mix = Mixer(
                recipe.mixup.alpha,
                remix,
                self.class_counts,
                *size,
                self.seed,
                epoch,
                self.device,
                kind=recipe.mixup.kind,
                probability=recipe.mixup.probability,
            )
        batches = self.feed.epoch(
            generator(self.seed, "order", epoch), indices=indices, start_step=first_step
        )
        for step, (images, labels) in enumerate(batches, first_step):
            yield mix(step, images, labels) if mix else (images, Targets(labels))


def build_feed(
    data: LabelledImages,
    recipe: Recipe,
    device: torch.device,
    batch_size: int,
    *,
    resident: bool,
    augmented: bool = False,
) -> Feed:
    """The feed of these images in the recipe's size and normalisation.

    Args:
        resident: as of `longtail.training.run.Trainer`.
        augmented: whether they are cropped, flipped and changed as the recipe says for training.
    """
    augmentation: dict[str, Any] = {}
    if augmented:
        augmentation = {"padding": recipe.padding, "flip": recipe.flip, "flips": recipe.flips}
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
