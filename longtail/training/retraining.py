"""Decoupled training: a classifier trained on the frozen backbone of a finished run (cRT and LWS)."""

from torch import nn

from longtail.models import build_model
from longtail.models.classifier import ImageClassifier
from longtail.models.file import load_model
from longtail.models.heads import ScaledLinear
from longtail.training.settings import RunSettings


def decoupled_model(start: str, settings: RunSettings, num_classes: int) -> ImageClassifier:
    """A model with the frozen backbone of a finished run and a classifier to train.

    Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 4:
    `new` is classifier re-training (cRT), `scale` learnable weight scaling (LWS). As in their code, the second stage
    may sample the classes equally often, which the recipe's `sampler` says.

    Args:
        start: model file of the run.
        settings: its `retrain` is `new` for a classifier with random weights, `keep` for the run's own, which is
            trained on, and `scale` for the run's own, frozen, with a factor for each class.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the model in it does not fit.
    """
    trained, card = load_model(start)
    architecture = settings.architecture
    if card.experts > 1:
        raise ValueError(
            f"{start} has {card.experts} experts with a classifier each; decoupled training is for models with one"
        )
    if (card.architecture, len(card.class_names)) != (architecture, num_classes):
        raise ValueError(
            f"{start} is a {card.architecture} for {len(card.class_names)} classes; a {architecture} for {num_classes} "
            "cannot start from it"
        )
    head = "scaled" if settings.retrain == "scale" else settings.head
    model = build_model(architecture, num_classes=num_classes, head=head, image_size=card.image_size)
    model.backbone.load_state_dict(trained.backbone.state_dict())
    model.backbone.requires_grad_(False)
    if settings.retrain == "keep":
        if card.head != head:
            raise ValueError(
                f"{start} has a {card.head} head, and a {head} one is to be trained; use the same"
            )
        model.head.load_state_dict(trained.head.state_dict())
    if isinstance(model.head, ScaledLinear):
        if not isinstance(trained.head, nn.Linear):
            raise ValueError(f"{start} has a {card.head} head; only a linear one can be rescaled")
        model.head.linear.load_state_dict(trained.head.state_dict())
        model.head.linear.requires_grad_(False)
    return model
