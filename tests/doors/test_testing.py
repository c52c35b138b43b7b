"""check_loss passes what is sound and names the property that is broken, on losses each with one fault."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from longtail.losses import build_loss, known_losses
from longtail.testing import check_loss

SOUND = [(name, {}) for name in known_losses()] + [
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 0.0}),
    ("weighted_softmax", {"power": 0.5, "reduction": "batch_mean"}),
    ("class_balanced", {"reduction": "batch_mean"}),
    ("logit_adjusted", {"tau": 2.0}),
    ("equalization", {"lam": 0.5, "gamma": 0.5}),
]


@pytest.mark.parametrize(("name", "params"), SOUND)
def test_every_loss_of_ours_passes(name, params):
    # The CPU stands in for the accelerator where there is none, so that the comparison itself is run.
    check_loss(
        partial(build_loss, name, **params), device=None if torch.accelerator.is_available() else "cpu"
    )


class CrossEntropy(nn.Module):
    """Sound; the faulty ones below differ from it in one place."""

    def __init__(self, class_counts):
        super().__init__()
        self.register_buffer("weight", len(class_counts) * torch.softmax(-class_counts.double().log1p(), 0))

    def forward(self, logits, labels):
        return (self.weight.to(logits.dtype)[labels] * self.losses(logits, labels)).mean()

    def losses(self, logits, labels):
        return F.cross_entropy(logits, labels, reduction="none")


class PerImage(CrossEntropy):
    def forward(self, logits, labels):
        return self.losses(logits, labels)


class Accuracy(CrossEntropy):
    def forward(self, logits, labels):
        return (logits.argmax(1) == labels).double().mean()


class Constant(CrossEntropy):
    def losses(self, logits, labels):
        return 0 * logits.sum(1)


class NaiveExponential(CrossEntropy):
    def losses(self, logits, labels):
        return logits.exp().sum(1).log() - logits.gather(1, labels[:, None])[:, 0]


class RootOfError(CrossEntropy):
    """Finite values whose slope is infinite where the label is certain."""

    def losses(self, logits, labels):
        return (1 - logits.softmax(1).gather(1, labels[:, None])[:, 0]) ** 0.5


class DetachedFocal(CrossEntropy):
    def losses(self, logits, labels):
        cross_entropy = super().losses(logits, labels)
        return (1 - torch.exp(-cross_entropy)).detach() * cross_entropy


class SinglePrecision(CrossEntropy):
    def losses(self, logits, labels):
        return super().losses(logits.float(), labels)


class KnowsPositions(CrossEntropy):
    def losses(self, logits, labels):
        return super().losses(logits + torch.arange(logits.shape[1]), labels)


class DropsTheLastClass(CrossEntropy):
    """Random, and of the classes only the last is ever dropped."""

    def losses(self, logits, labels):
        dropped = torch.rand(len(labels)) < 0.5
        return super().losses(torch.cat([logits[:, :-1], logits[:, -1:] - 5.0 * dropped[:, None]], 1), labels)


class InverseCounts(CrossEntropy):
    def __init__(self, class_counts):
        super().__init__(class_counts)
        self.weight = 1 / class_counts.double()


class InfinitePrior(CrossEntropy):
    """Finite for images of the classes it knows, not for a test image of another."""

    def __init__(self, class_counts):
        super().__init__(class_counts)
        self.register_buffer("prior", class_counts.double().log())

    def losses(self, logits, labels):
        return super().losses(logits + self.prior.to(logits.dtype), labels)


class ChangesOnTheWay(CrossEntropy):
    def to(self, *args, **kwargs):
        self.weight *= 1.001
        return super().to(*args, **kwargs)


class Raises(CrossEntropy):
    def forward(self, logits, labels):
        raise KeyError("margin")


def function_for_a_module(class_counts):
    return F.cross_entropy


def test_a_sound_loss_of_ones_own_passes():
    check_loss(CrossEntropy, device="cpu")


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (function_for_a_module, "'scalar': it gives a function, not a torch.nn.Module"),
        (PerImage, r"'scalar': forward must return a floating point scalar tensor; .* of shape \(8,\)"),
        (Accuracy, "'scalar': its value does not depend on the logits"),
        (Constant, "'scalar': its value does not depend on the logits"),
        (Raises, "'scalar': it raises KeyError: 'margin'"),
        (
            NaiveExponential,
            "'finite': with logits of 1e4 at the label and -1e4 elsewhere its value is (inf|nan)",
        ),
        (
            RootOfError,
            "'finite': with logits of 1e4 at the label and -1e4 elsewhere its gradient is nan for class 0",
        ),
        (DetachedFocal, "'gradient': in float64 its gradient is not the derivative of its value"),
        (SinglePrecision, "'gradient': in float64 its gradient is not the derivative of its value"),
        (KnowsPositions, r"'equivariance': with the classes in the order \[.*\] its value differs by up to"),
        (
            DropsTheLastClass,
            r"'equivariance': with the classes in the order \[.*\] its (value|gradient) differs by up to",
        ),
        (
            InverseCounts,
            r"'absent classes': with class counts \[2000, 0, 40, 6, 2, 0\] and images of the absent",
        ),
        (
            InfinitePrior,
            r"'absent classes': with class counts \[2000, 0, 40, 6, 2, 0\] and images of the absent",
        ),
        (ChangesOnTheWay, "'device': on cpu its value differs by up to"),
    ],
)
def test_names_what_is_broken(loss, message):
    with pytest.raises(AssertionError, match=f"{loss.__name__} fails the check {message}"):
        check_loss(loss, device="cpu")


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator, so no second device")
def test_names_a_table_left_on_the_cpu():
    class LeftBehind(CrossEntropy):
        def __init__(self, class_counts):
            super().__init__(class_counts)
            weight = self.weight
            del self.weight
            self.weight = weight  # an attribute now, no buffer

    with pytest.raises(AssertionError, match="LeftBehind fails the check 'device'"):
        check_loss(LeftBehind)


def test_leaves_the_random_numbers_of_the_caller_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check_loss(CrossEntropy)
    assert torch.equal(torch.rand(3), expected)
