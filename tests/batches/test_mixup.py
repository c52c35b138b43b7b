"""Mixup and Remix: the published formulas."""

import pytest
import torch
from torch.nn import functional as F

from longtail.batches.mixup import Mixer, Targets, remixed
from longtail.losses import build_loss

COUNTS = torch.tensor([9, 4, 1, 0])


def mixer(alpha=1.0, remix=None, steps=3, seed=1, epoch=0, counts=COUNTS):
    return Mixer(alpha, remix, counts, steps, 64, seed, epoch, torch.device("cpu"))


def test_images_and_labels_are_mixed_in_the_same_shares():
    labels = torch.arange(64) % 4
    images = F.one_hot(labels, 4).float()[:, :, None, None]  # the share of a class can be read off the pixels
    mixtures, targets = mixer()(2, images, labels)
    _, others, share = targets
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
