"""check_loss passes what is sound and names the property that is broken, on losses each with one fault."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from longtail.config.methods import merged
from longtail.losses import build_loss, known_losses
from longtail.machine.readback import ReadBacks
from longtail.testing import check_loss, check_method

SOUND = [(name, {}) for name in known_losses()] + [
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 0.0}),
    ("weighted_softmax", {"power": 0.5, "reduction": "batch_mean"}),
    ("class_balanced", {"reduction": "batch_mean"}),
    ("logit_adjusted", {"tau": 2.0}),
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


SHORT = {"train": {"epochs": 2, "batch_size": 64}}
"""Twelve steps: a run that is stopped after seven is stopped once, within its second epoch."""

FAULTY = """
import random

from torch import nn
from torch.nn import functional as F


class Sound(nn.Module):
    def __init__(self, class_counts, strength=1.0):
        super().__init__()
        self.strength = strength

    def forward(self, logits, labels):
        return self.factor(logits) * F.cross_entropy(logits, labels)

    def factor(self, logits):
        return self.strength


class AnyParameter(Sound):
    def __init__(self, class_counts, **settings):
        super().__init__(class_counts)


class Logarithm(Sound):
    def factor(self, logits):
        return (logits.min() - logits.max()).log()


class WithoutLabels(Sound):
    def forward(self, logits, labels):
        return logits.square().mean()


class OwnRandomness(Sound):
    def factor(self, logits):
        return 0.5 + random.random()


class Counting(Sound):
    steps = 0

    def factor(self, logits):
        self.steps += 1
        return 1 / self.steps


class Asking(Sound):
    def factor(self, logits):
        return 2.0 if logits.max() > 1 else 1.0
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("AnyParameter", "'settings': it takes the setting 'smoothness', which nothing has"),
        ("Missing", "'settings': The configuration has a problem"),
        ("Logarithm", "'finite': it raises Diverged"),
        ("WithoutLabels", "'learns': its top-1 accuracy on ten classes is"),
        ("OwnRandomness", "'deterministic': the same seed gives other weights the second time"),
        ("Counting", "'resumes': a run that is stopped every 7 steps and goes on ends with other weights"),
        (
            "Asking",
            r"'no read-back': a training step waits for the device: aten._local_scalar_dense.* at \S+losses.py, line 5",
        ),
    ],
)
def test_the_fault_of_a_method_is_named(tmp_path, name, message):
    path = tmp_path / "losses.py"
    path.write_text(FAULTY)
    own = {"loss": {"path": str(path), "name": name}}
    with pytest.raises(AssertionError, match=f"mine fails the check ({message})"):
        check_method("mine", {**SHORT, "losses": {"mine": own}})


def test_a_variant_and_a_student_of_another_method_pass():
    before = torch.get_rng_state(), torch.get_deterministic_debug_mode()
    short = {**SHORT, "variants": {"softmax+ncm": {}}}
    check_method("softmax+ncm", short)
    student = {"loss": "lade", "distill": {"teacher": "softmax+ncm"}}
    check_method("student", {**short, "losses": {"student": student}})
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == torch.get_deterministic_debug_mode()


@pytest.mark.parametrize(
    ("name", "configuration"),
    [
        ("sade+aggregation", {"variants": {"sade+aggregation": {}}}),
        ("crt", {"train": {"select": "min_group", "validate_every": 1, "learning_rate": 0.01}}),
    ],
)
def test_a_trial_has_the_images_and_the_groups_that_a_workflow_gives(monkeypatch, name, configuration):
    monkeypatch.setattr("longtail.inference.aggregation.EPOCHS", 1)
    check_method(name, merged({**SHORT, "losses": {"crt": SHORT}}, configuration))


def test_a_setting_that_is_refused_is_told():
    with pytest.raises(AssertionError, match=r"(?s)crt fails the check 'settings'.*did you mean 'softmax'"):
        check_method("crt", {"losses": {"crt": {"retrain": {"start": "sotfmax"}}}})


def test_what_is_read_back_is_noted_with_its_line_and_nothing_else_is():
    numbers, seen = torch.arange(4), ReadBacks()
    with seen:
        F.one_hot(numbers, 4)
        numbers[numbers.flip(0)] += numbers.sum()
    assert not seen.found
    with seen:
        bool(numbers.sum())
        numbers[numbers > 1]
    assert [found.partition(" at ")[0] for found in seen.found] == [
        "aten._local_scalar_dense.default",
        "aten.index.Tensor",
    ]
    assert all(__file__ in found for found in seen.found)
