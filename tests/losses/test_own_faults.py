"""Faults of a loss of one's own that gave wrong numbers: it works in place, sums, or returns no scalar."""

import pytest
import torch
from torch import nn

from longtail.losses.base import Loss, ModuleLoss
from longtail.testing import check_loss

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
