"""The weights of experts for the distribution of given images, whose labels are not used."""

from collections.abc import Iterator

import torch
from torch import Tensor

from longtail.batches.feed import Feed
from longtail.batches.jitter import Jitter
from longtail.data.tensors.shards import ShardedImages
from longtail.machine.devices import precision_on
from longtail.machine.numerics import autocast, set_numerics
from longtail.machine.randomness import generator
from longtail.models.card import ModelCard
from longtail.models.classifier import ImageClassifier
from longtail.models.variants.aggregation import BATCH_SIZE, EPOCHS, learnt_weights


def weights_for(
    model: ImageClassifier,
    card: ModelCard,
    images: Tensor | ShardedImages,
    device: torch.device,
    *,
    members: Tensor | None = None,
    resident: bool = True,
) -> Tensor:
    """How much each expert of a model should count on images like these, float64, shape (E,), with the sum 1.

    A view is cropped and mirrored as in the training of the model, and its colours change. All that is random follows
    from the seed of the model's run.

    Args:
        model, card: as `longtail.models.file.load_model` gives them, the model on `device`.
        images: uint8, N x 3 x H x W.
        members: the places of those that are looked at, int64; None: all.
        resident: as of `longtail.inference.logits.logits_of`.

    Raises:
        ValueError: the model has no experts.
    """
    if card.experts == 1:
        raise ValueError(
            f"the model of {card.architecture} has no experts whose weights could be learnt; train one with a loss of "
            "several experts, such as sade"
        )
    precision = precision_on(device, card.recipe["precision"])
    set_numerics(precision, deterministic=card.recipe["deterministic"])
    looked_at = torch.arange(len(images)) if members is None else members
    recipe, there = card.recipe, images.to(device) if resident else images
    # Two feeds, since each writes all its batches into one buffer.
    feeds = [
        Feed(
            there,
            torch.zeros(len(images), dtype=torch.int64),
            size=card.image_size,
            padding=recipe.get("padding", 0),
            flip=recipe.get("flip", False),
            flips=recipe.get("flips", "horizontal"),
            policy=Jitter(size=card.image_size),
            mean=card.mean,
            std=card.std,
            batch_size=BATCH_SIZE,
            device=device,
            channels_last=True,
            read_ahead=not resident,
        )
        for _ in range(2)
    ]

    @torch.no_grad()
    def logits(batch: Tensor) -> Tensor:
        with autocast(device, precision):
            return card.logit_scale * model.classify_each(model.backbone(batch)).float()

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = looked_at[
            torch.randperm(len(looked_at), generator=generator(card.seed, "aggregation", epoch))
        ]
        views = [
            feed.epoch(generator(card.seed, f"aggregation, view {view}", epoch), indices=order)
            for view, feed in enumerate(feeds)
        ]
        for (first, _), (second, _) in zip(*views, strict=True):
            yield logits(first), logits(second)

    return learnt_weights(map(batches, range(EPOCHS)), card.experts)
