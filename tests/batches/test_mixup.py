"""Mixup and Remix: the published formulas."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from longtail.batches.mixup import KINDS, Mixer, Targets, cut, remixed
from longtail.losses import build_loss
from longtail.models.classifier import ForLoss, ImageClassifier

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "training.json").read_text())
COUNTS = torch.tensor([9, 4, 1, 0])


def mixer(alpha=1.0, remix=None, steps=3, seed=1, epoch=0, counts=COUNTS, **more):
    return Mixer(alpha, remix, counts, steps, 64, seed, epoch, torch.device("cpu"), **more)


def test_images_and_labels_are_mixed_in_the_same_shares():
    labels = torch.arange(64) % 4
    images = F.one_hot(labels, 4).float()[:, :, None, None]  # the share of a class can be read off the pixels
    mixtures, targets = mixer()(2, images, labels)
    _, others, share, *_ = targets
    expected = share[:, None] * F.one_hot(targets.labels, 4) + (1 - share[:, None]) * F.one_hot(others, 4)
    torch.testing.assert_close(mixtures[:, :, 0, 0], expected)
    assert sorted(others.tolist()) == sorted(labels.tolist()), "every image is a partner once"
    assert 0 < share[0] < 1


def test_mixtures_are_a_function_of_seed_epoch_and_step_also_in_a_short_last_batch():
    images, labels = torch.rand(5, 3, 2, 2), torch.tensor([0, 1, 2, 3, 0])
    first, again = mixer()(2, images, labels), mixer()(2, images, labels)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1].share, again[1].share)
    others = [mixer()(1, images, labels), mixer(seed=2)(2, images, labels), mixer(epoch=1)(2, images, labels)]
    assert all(not torch.equal(first[0], other[0]) for other in others)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_of_the_beta_distribution(alpha):
    shares = torch.tensor(mixer(alpha, steps=4000).lambdas)
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)


def test_remix_by_hand():
    # share, images of the first class, of the second; expected share of the first label.
    table = [
        (0.3, 30, 10, 0.0),  # three times as frequent, and below tau
        (0.3, 29, 10, 0.3),
        (0.6, 30, 10, 0.6),
        (0.7, 10, 30, 1.0),  # the rarer one, and the other's share is 0.3
        (0.4, 10, 30, 0.4),
        (0.5, 5, 5, 0.5),
    ]
    share, first, second, expected = map(torch.tensor, zip(*table, strict=True))
    torch.testing.assert_close(remixed(share, first, second, kappa=3.0, tau=0.5), expected)


def test_a_mixtures_loss_is_torchs_cross_entropy_with_soft_targets():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    labels, others = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1, 1, 0, 2, 3, 0])
    share = torch.rand(6, generator=generator, dtype=torch.float64)
    targets = Targets(labels, others, share)
    soft = share[:, None] * F.one_hot(labels, 4) + (1 - share[:, None]) * F.one_hot(others, 4)
    loss = build_loss("softmax", COUNTS)
    value = targets.total(loss, logits) / targets.normalizer(loss)
    assert value.item() == pytest.approx(F.cross_entropy(logits, soft).item(), abs=1e-12)
    parts = sum(part.total(loss, logits[4 * i : 4 * i + 4]) for i, part in enumerate(targets.split(4)))
    assert parts.item() == pytest.approx(targets.total(loss, logits).item(), abs=1e-12)
    # A custom loss that only knows its mean over the batch is right where all shares are alike.
    one_share = Targets(labels, others, torch.full((6,), 0.3, dtype=torch.float64))
    weighted = build_loss("weighted_softmax", COUNTS)
    found = one_share.total(weighted, logits) / one_share.normalizer(weighted)
    first, second = (weighted.normalizer(y) for y in (labels, others))
    by_hand = 0.3 * weighted(logits, labels) * first + 0.7 * weighted(logits, others) * second
    assert found.item() == pytest.approx((by_hand / (0.3 * first + 0.7 * second)).item(), abs=1e-12)


@pytest.mark.parametrize("case", GOLDEN["cutmix_box"]["cases"], ids=["first", "second"])
def test_the_rectangle_of_cutmix_is_the_references(case):
    size = case["size"]
    for row in case["rows"]:
        centre = ((row["cx"] + 0.5) / size, (row["cy"] + 0.5) / size)
        first, second = cut(size, size, row["lambda"], centre)
        # The reference calls the first axis of an image x.
        assert [first.start, second.start, first.stop, second.stop] == row["cmo_box"]
        area = (first.stop - first.start) * (second.stop - second.start)
        assert 1 - area / size**2 == pytest.approx(row["cmo_true_area_lambda"], abs=1e-12)


def test_cutmix_shares_labels_by_the_pixels_that_are_left():
    labels = torch.arange(64) % 4
    images = labels.float()[:, None, None, None].expand(64, 3, 6, 10)
    cutting = mixer(steps=40, kind="cutmix")
    for step in range(40):
        mixtures, targets = cutting(step, images, labels)
        assert torch.equal(images, labels.float()[:, None, None, None].expand(64, 3, 6, 10))
        differ = targets.labels != targets.others
        own = (mixtures == labels[:, None, None, None]).float().mean(dim=(1, 2, 3))
        torch.testing.assert_close(own[differ], targets.share[differ])
        assert set(mixtures[0].unique().int().tolist()) <= {int(labels[0]), int(targets.others[0])}


@pytest.mark.parametrize("kind", KINDS)
def test_some_of_the_batches_are_mixed_and_the_draws_of_the_others_stay(kind):
    images, labels = torch.rand(6, 3, 4, 4), torch.arange(6) % 4
    always, half = (mixer(steps=200, kind=kind, probability=share) for share in (1.0, 0.5))
    assert 70 < sum(half.mixed) < 130 and all(always.mixed)
    for step, mixed in enumerate(half.mixed):
        (found, targets), (expected, others) = half(step, images, labels), always(step, images, labels)
        if mixed:
            assert torch.equal(found, expected) and torch.equal(targets.share, others.share)
        else:
            assert torch.equal(found, images) and targets.others is None and not targets.mixing


@pytest.mark.parametrize("case", GOLDEN["manifold_mixup"]["cases"], ids=["first", "third"])
def test_manifold_mixup_is_the_references(case):
    features, weight, bias = (
        torch.tensor(case[name], dtype=torch.float64) for name in ("features", "W", "b")
    )
    features.requires_grad_()
    model = ImageClassifier(nn.Identity(), nn.Linear(weight.shape[1], len(weight)).double())
    model.head.load_state_dict({"weight": weight, "bias": bias})
    labels, partners = torch.tensor(case["labels"]), torch.tensor(case["permutation"])
    share = torch.full((len(labels),), case["lambda"], dtype=torch.float64)
    targets = Targets(labels, labels[partners], share, partners, share)
    loss = build_loss("softmax", torch.ones(len(weight), dtype=torch.int64))
    logits, _ = ForLoss(model)(features, *targets.mixing)
    value = targets.total(loss, logits) / targets.normalizer(loss)
    assert value.item() == pytest.approx(case["loss"], rel=1e-9)
    expected = torch.tensor(case["grad_features"], dtype=torch.float64)
    torch.testing.assert_close(torch.autograd.grad(value, features)[0], expected, rtol=1e-9, atol=1e-11)


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="kind of mixture is 'fmix'; choose one of input, cutmix, manifold"):
        mixer(kind="fmix")
