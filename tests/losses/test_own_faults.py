"""Faults of a loss of one's own: it works in place, sums, returns no scalar, or needs what the settings do not give."""

import pytest
import torch
from torch import nn

from longtail.config.load import ConfigError, load_config
from longtail.experiment.cost import views_of
from longtail.losses import build_loss
from longtail.losses.base import Loss, ModuleLoss
from longtail.testing import check_loss, check_method

COUNTS = torch.tensor([9, 4, 1])


class InPlace(nn.Module):
    def __init__(self, class_counts):
        super().__init__()

    def forward(self, logits, labels):
        logits[torch.arange(len(labels)), labels] -= 100.0
        return nn.functional.cross_entropy(logits, labels)


class OwnInPlace(Loss):
    def per_sample(self, logits, labels):
        return nn.functional.cross_entropy(logits.mul_(0.0), labels, reduction="none")


@pytest.mark.parametrize("loss", [ModuleLoss(COUNTS, InPlace(COUNTS)), OwnInPlace(COUNTS)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_that_works_in_place_changes_no_logits_of_the_caller(loss, dtype):
    logits, labels = torch.eye(3, dtype=dtype), torch.arange(3)
    loss(logits, labels)
    assert torch.equal(logits, torch.eye(3, dtype=dtype))


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, logits, labels):
        return self.make(logits, labels)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda *_: 1.0, "1.0"),
        (lambda *_: None, "None"),
        (lambda logits, _: logits.mean(1), r"torch.float32 of shape \(3,\)"),
    ],
)
def test_what_is_no_scalar_is_refused_with_what_it_is(make, found):
    with pytest.raises(ValueError, match=f"Returns has to return the mean over the batch.*returns {found}"):
        ModuleLoss(COUNTS, Returns(make))(torch.eye(3), torch.arange(3))


def test_a_sum_over_the_batch_fails_the_check():
    def sums(logits, labels):
        return nn.functional.cross_entropy(logits, labels, reduction="sum")

    with pytest.raises(
        AssertionError, match="'mean': it must return the mean over the batch, but with every"
    ):
        check_loss(lambda _: Returns(sums))


VIEWS = """
from torch.nn import functional as F

from longtail.losses.base import Loss


class Agree(Loss):
    views = ("train", "simclr")
    needs = ("view_features",)

    def per_sample(self, logits, labels, *, view_features=None):
        value = F.cross_entropy(logits, labels, reduction="none")
        if view_features is None:  # in evaluation mode, where there are no views
            return value
        one, two = F.normalize(view_features, dim=2).unbind(1)
        return value - (one * two).sum(1)


class Derived(Agree):
    no_mixup = "two images of a view would be one"


class Sharpened(Agree):
    views = ("train", "sharpened")


class Feature(Agree):
    needs = ("feature",)


class Several(Loss):
    needs = ("experts",)
    default_experts = 2

    def per_sample(self, logits, labels, *, experts=None):
        each = logits[:, None] if experts is None else experts
        return sum(F.cross_entropy(one, labels, reduction="none") for one in each.unbind(1))
"""


@pytest.fixture
def of_views(tmp_path):
    path = tmp_path / "views.py"
    path.write_text(VIEWS)
    return lambda name: {"path": str(path), "name": name}


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        (
            "Agree",
            {"train": {"mixup": {}}},
            "Agree compares 2 views of an image, which mixup would tear apart",
        ),
        (
            "Agree",
            {"train": {"micro_batch": 16}},
            "which micro_batch would tear apart; set micro_batch: null",
        ),
        ("Agree", {"train": {"drw": {}}}, "Agree compares 2 views of an image, which drw cannot weigh"),
        ("Derived", {"train": {"mixup": {}}}, "mixup with Derived; two images of a view would be one"),
        (
            "Derived",
            {"retrain": {"start": "softmax"}},
            "Derived compares 2 views of an image to train the backbone",
        ),
        ("Sharpened", {}, "class Sharpened, views: 'sharpened' is not known; allowed: train, simclr"),
        ("Feature", {}, "class Feature, needs: 'feature' is not known; did you mean 'features'?"),
        ("Several", {}, "experts: found 1, and Several trains several, such as 2 experts"),
    ],
)
def test_what_a_loss_of_ones_own_declares_is_held_against_the_settings(of_views, name, entry, message):
    with pytest.raises(ConfigError) as caught:
        load_config({"grid": {"losses": ["mine"], "models": ["resnet8"]}, **own(of_views(name), **entry)})
    assert message in str(caught.value)


def own(loss, **entry):
    return {"losses": {"mine": {"loss": loss, **entry}}, "models": {"resnet8": {"pretrained": False}}}


def test_views_of_a_loss_of_ones_own_are_trained_counted_and_checked(of_views):
    loss, short = of_views("Agree"), {"epochs": 2, "batch_size": 64}
    check_loss(lambda class_counts: build_loss(loss, class_counts=class_counts))
    check_method("mine", own(loss, train=short))
    check_method("mine", own(of_views("Several"), experts=2, train=short))
    assert (views_of(loss), views_of("bcl"), views_of("softmax"), views_of(None)) == (2, 3, 1, 1)


def test_the_training_itself_refuses_what_nobody_gives(of_views):
    with pytest.raises(ValueError, match=r"Feature.needs: 'feature' is not known"):
        build_loss(of_views("Feature"), class_counts=COUNTS)
