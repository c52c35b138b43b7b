"""Variants of a trained model that need images: class means of the training images, weights of experts for the test
images, and a strength that is chosen on the validation images."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

import torch

from longtail.data.split.frequencies import largest_draw
from longtail.data.tensors.files import LabelledImages
from longtail.inference.aggregation import weights_for
from longtail.inference.logits import predict
from longtail.machine.randomness import generator
from longtail.models.card import ModelCard
from longtail.models.classifier import ImageClassifier
from longtail.models.heads import ExpertHeads, NearestMean
from longtail.models.variants import adjust, ncm
from longtail.training.selection import SCORES


def vary(
    model: ImageClassifier,
    card: ModelCard,
    settings: Mapping[str, Any],
    images: LabelledImages | None,
    device: torch.device,
    *,
    resident: bool = True,
) -> dict[str, Any]:
    """Change the classifier of a model in place, as an entry of `variants` says, and say how.

    Args:
        model, card: as `longtail.models.file.load_model` gives them.
        settings: `adjust`, and what that takes.
        images: the training images for `ncm`, the test images for `aggregation`, the validation images for
            `tau: validation`; else they are not used.
        device: where the features of images are computed.
        resident: as of `longtail.inference.logits.logits_of`.

    Returns:
        The settings, for `aggregation` also the `weights` of the experts, and with `tau: validation` also `chosen_tau`
        and `validation_score`.

    Raises:
        ValueError: images are missing or of other classes, or the classifier cannot be changed so.
    """
    name, tau = settings["adjust"], settings.get("tau")
    scale, counts = {"logit_scale": card.logit_scale}, torch.tensor(card.class_counts)
    if name == "aggregation":
        if images is None:
            raise ValueError("aggregation needs the test images, whose labels it does not use")
        chosen = settings.get("distribution")
        members = drawn(images.labels.cpu(), card, chosen) if chosen else None
        found = weights_for(model.to(device), card, images.images, device, members=members, resident=resident)
        cast(ExpertHeads, model.head).shares.copy_(found)
        return {**settings, "weights": [round(each, 4) for each in found.tolist()]}
    if name != "ncm" and tau != "validation":
        adjust(name, model.head, counts, tau=float(settings["tau"]), **scale)
        return dict(settings)
    if images is None:
        raise ValueError(
            f"{name} with {'tau: validation' if tau else 'class means'} needs images to compute with"
        )
    features = predict(model.to(device).backbone, images, card, device, resident=resident)
    labels = images.labels.cpu()
    if name == "ncm":
        built = ncm.head(
            features, labels, len(counts), of=settings["features"], distance=settings["distance"]
        )
        model.head = built.float()
        return dict(settings)
    taus, score = [float(each) for each in settings["taus"]], settings["score"]
    tried = []
    for each in taus:
        head = deepcopy(model.head).cpu()
        adjust(name, head, counts, tau=each, **scale)
        tried.append(head)
    best, value = best_of(tried, features, labels, score)
    model.head = tried[best]
    return {**settings, "chosen_tau": taus[best], "validation_score": value}


def drawn(labels: torch.Tensor, card: ModelCard, distribution: str) -> torch.Tensor:
    """The places of test images whose classes are as frequent as a distribution says, int64, in ascending order.

    Which images of a class they are follows from the seed of the model's run.

    Args:
        labels: of all test images, int64, (N,).
        distribution: one of `longtail.data.split.frequencies.DISTRIBUTIONS`.
    """
    there = torch.bincount(labels, minlength=len(card.class_counts)).tolist()
    wanted = largest_draw(distribution, card.class_counts, there)
    order = torch.randperm(len(labels), generator=generator(card.seed, "aggregation, distribution"))
    members = [order[labels[order] == label][:count] for label, count in enumerate(wanted)]
    return torch.cat(members).sort().values


def changed_card(card: ModelCard, model: ImageClassifier, variant: dict[str, Any]) -> ModelCard:
    """The card after the classifier was changed as `vary` says.

    Temperature and threshold are left out, since they were fitted to the logits as they were.
    """
    head = {NearestMean: "nearest_mean", ExpertHeads: card.head}.get(type(model.head), "linear")
    return replace(card, head=head, variant=variant, temperature=None, known_from=None)


@torch.no_grad()
def best_of(
    heads: Sequence[torch.nn.Module], features: torch.Tensor, labels: torch.Tensor, score: str
) -> tuple[int, float]:
    """Which of several classifiers is best on these features, the first of equally good ones, and its score.

    Args:
        features: float32, (N, F).
        labels: int64, (N,).
        score: `acc1`, or one of `longtail.training.selection.SCORES` that needs no groups.
    """
    true = labels.numpy()
    values = []
    for head in heads:
        found = head(features).argmax(dim=1).numpy()
        values.append(
            float((found == true).mean()) if score == "acc1" else SCORES[score].compute(true, found, true[:0])
        )
    best = max(range(len(heads)), key=values.__getitem__)
    return best, values[best]
