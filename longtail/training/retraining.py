"""Decoupled training: a classifier trained on the frozen backbone of a finished run (cRT, LWS, MiSLAS)."""

from torch import nn

from longtail.models import build_model
from longtail.models.classifier import ImageClassifier
from longtail.models.file import load_model
from longtail.models.heads import ScaledLinear
from longtail.training.settings import RunSettings
from longtail.training.tuning import batch_norms


def decoupled_model(start: str, settings: RunSettings, num_classes: int) -> ImageClassifier:
    """A model with the frozen backbone of a finished run and a classifier to train.

    Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 4:
    `new` is classifier re-training (cRT), `scale` learnable weight scaling (LWS). As in their code, the second stage
    may sample the classes equally often, which the recipe's `sampler` says. Zhong et al., Improving Calibration for
    Long-Tailed Recognition (MiSLAS), CVPR 2021: `keep_and_scale`, and the shifted batch norm of `settings.shift_norms`.

    Args:
        start: model file of the run.
        settings: its `retrain` is `new` for a classifier with random weights, `keep` for the run's own, which is
            trained on, `scale` for the run's own, frozen, with a factor for each class, and `keep_and_scale` for
            the run's own, trained on with a factor for each class.

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
    head = settings.built_head
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
        model.head.linear.requires_grad_(settings.retrain == "keep_and_scale")
    if settings.shift_norms and not batch_norms(model):
        raise ValueError(
            f"shift_norms lets the statistics of batch norms follow, and {architecture} has none; set shift_norms: "
            "false, or choose another model"
        )
    return model


def learning_rates(model: ImageClassifier, settings: RunSettings) -> dict[nn.Parameter, float]:
    """The weights of a model that learn at a share of the learning rate, and that share.

    The authors of MiSLAS give the classifier a smaller rate than its factors: 0.05 to 0.5 of it, by data set.
    """
    if settings.retrain != "keep_and_scale" or not isinstance(model.head, ScaledLinear):
        return {}
    return dict.fromkeys(model.head.linear.parameters(), settings.classifier_rate)
