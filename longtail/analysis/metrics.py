"""The metrics: the name of each, how to compute and print it, and which of two values is better.

`METRICS`, at the end, is the only list of them. The evaluation computes every metric in it, in its order, and whatever
prints a metric takes label, heading and format from it. To add a metric, write its function and its row in the table.

Tables and pages read the labels, so PyTorch is imported only where a value is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from longtail.analysis.calibration import (
    BLOCK,
    calibration_error_by_chance,
    expected_calibration_error,
)
from longtail.data.split.sets import TEST_SETS
from longtail.training import selection

if TYPE_CHECKING:
    import torch

    from longtail.losses.base import Loss


@dataclass(frozen=True)
class Answers:
    """The answers of one run for the images of one test set: at least one image, by ascending id."""

    test_set: str
    labels: np.ndarray
    """int64, N."""
    groups: np.ndarray
    """The group of each image's class, str, N."""
    all_logits: np.ndarray
    """float32 or float64, of N images, or of more of which `rows` are those of the test set."""
    loss: "Loss"
    """The run's own loss, built for its training set's class counts: loss(logits, labels) -> scalar."""
    rows: np.ndarray | None = None
    """Where the images of the test set are among all; ascending. None: these are all."""
    whole: "Answers | None" = None
    """The answers that this is a part of. What holds of each image by itself is computed for all of them, once."""

    def part(self, test_set: str, members: np.ndarray) -> "Answers":
        """The answers for some of the images: `members` is bool, N."""
        rows = None if members.all() else np.flatnonzero(members)
        labels, groups = self.labels[members], self.groups[members]
        return Answers(test_set, labels, groups, self.all_logits, self.loss, rows, whole=self)

    @property
    def logits(self) -> np.ndarray:
        """float32 or float64, N x C: a copy, where this is a part of a larger set, so `of_each` takes less memory."""
        return self._own(self.all_logits)

    @cached_property
    def predicted(self) -> np.ndarray:
        """The class of the largest logit, int64, N. Where logits are equal, the smallest label is taken."""
        return self._own(self.whole.predicted) if self.whole else self.logits.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class, float64, N, of softmax(loss.logit_scale * logits)."""
        if self.whole:
            return self._own(self.whole.confidence)
        scale = self.loss.logit_scale
        return self.of_each(lambda logits, labels: (scale * logits).softmax(dim=1).amax(dim=1)).numpy()

    @cached_property
    def cross_entropies(self) -> "torch.Tensor":
        """-log p of the true class of each image, float64, N, p being softmax(loss.logit_scale * logits)."""
        if self.whole:
            return self._own(self.whole.cross_entropies)
        from torch.nn import functional as F

        scale = self.loss.logit_scale
        return self.of_each(lambda logits, labels: F.cross_entropy(scale * logits, labels, reduction="none"))

    @cached_property
    def losses(self) -> "tuple[torch.Tensor, bool]":
        """The run's own loss of each image, weighted, float64, N, and whether each would be the same in a smaller set.

        It is another one where the loss takes something over all images, or draws random numbers, which it does from
        one fixed seed for every set.
        """
        import torch

        from longtail.losses.base import Loss
        from longtail.machine.randomness import derive_seed, set_seed

        if self.whole and (self.whole.losses[1] or self.rows is None):
            values, alone = self.whole.losses
            return self._own(values), alone
        loss, of_batch = self.loss.eval(), None
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            set_seed(derive_seed(0, "evaluate"), torch.device("cpu"))
            seeded = torch.get_rng_state()
            if type(loss).of_batch is not Loss.of_batch:
                logits, labels = torch.from_numpy(self.logits), torch.from_numpy(self.labels)
                of_batch = loss.of_batch(logits, labels, torch.float64)
            values = self.of_each(lambda logits, labels: loss.weighted(logits, labels, of_batch=of_batch))
            return values, of_batch is None and torch.equal(torch.get_rng_state(), seeded)

    def _own(self, values: Any) -> Any:
        return values if self.rows is None else values[self.rows]

    def of_each(self, compute: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]") -> "torch.Tensor":
        """A number for each image, float64, N, from its logits, float64, n x C, and label, of n images at a time.

        In float64 a sum over thousands of losses is the same on every machine to far more digits than are shown.
        """
        import torch

        values = torch.empty(len(self.labels), dtype=torch.float64)
        # PyTorch draws normal numbers by sixteens, and the last sixteen of a tensor anew. So a loss that draws some for
        # each image draws the same as for all at once where each part has a multiple of sixteen and none a short rest.
        images = max(BLOCK // self.all_logits.shape[1] // 16, 1) * 16
        begins = range(0, max(len(values) - images, 0) + 1, images)
        for first, end in zip(begins, [*begins[1:], len(values)], strict=True):
            part = slice(first, end)
            own = part if self.rows is None else self.rows[part]
            logits = torch.from_numpy(self.all_logits[own].astype(np.float64))
            values[part] = compute(logits, torch.from_numpy(self.labels[part]))
        return values


@dataclass(frozen=True)
class Metric:
    """One row of the table of metrics."""

    label: str
    """Its name in a sentence or a list."""
    compute: Callable[[Answers], float]
    unit: Literal["share", "loss"] = "share"
    """A share, from 0 to 1, is printed in percent; a loss as it is."""
    better: Literal["more", "less"] = "more"
    test_sets: tuple[str, ...] = TEST_SETS
    """Where it is computed."""
    short: str = ""
    """Its name above a narrow column, if not the label."""
    of: Literal["answers", "logits"] = "logits"
    """What it is computed from: the predicted classes alone, or the logits, which not every program tells."""

    @property
    def heading(self) -> str:
        """The heading of a column of values: the metric's name, and the unit in which the values are printed."""
        name = self.short or self.label
        return f"{name} (%)" if self.unit == "share" else name

    def format(self, value: float, sign: str = "") -> str:
        """A value in the unit of the heading, as text. For a difference, set `sign="+z"`."""
        return f"{100 * value:{sign}.2f}" if self.unit == "share" else f"{value:{sign}.4f}"


def own_loss(answers: Answers) -> float:
    """The value of the run's own loss, with all images as one batch. Values of different losses cannot be compared.

    A loss that draws random numbers draws them from one fixed seed, so the value does not depend on the run.
    """
    import torch

    from longtail.machine.randomness import derive_seed, set_seed

    loss, labels = answers.loss.eval(), torch.from_numpy(answers.labels)
    if not loss.whole_batch:
        return float(answers.losses[0].sum() / loss.normalizer(labels))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        set_seed(derive_seed(0, "evaluate"), torch.device("cpu"))
        return float(loss(torch.from_numpy(answers.logits.astype(np.float64)), labels))


def cross_entropy(answers: Answers) -> float:
    """The mean of -log p of the true class, p being softmax(loss.logit_scale * logits)."""
    return float(answers.cross_entropies.mean())


def accuracy(answers: Answers) -> float:
    """The share of images whose class was predicted."""
    return float(np.mean(answers.predicted == answers.labels))


def f1(answers: Answers) -> float:
    """F1 averaged over the classes with images: the plain mean on the balanced test set, else weighted by images."""
    average = "macro" if answers.test_set == "balanced" else "weighted"
    return selection.f1(answers.labels, answers.predicted, average)


def mean_class_accuracy(answers: Answers) -> float:
    """The accuracy of each class that has images, averaged over these classes."""
    return selection.mean_class_accuracy(answers.labels, answers.predicted)


def calibration_error(answers: Answers) -> float:
    """The expected calibration error of the probabilities softmax(loss.logit_scale * logits)."""
    return expected_calibration_error(answers.confidence, answers.predicted == answers.labels)


def chance_error(answers: Answers) -> float:
    """The calibration error that a perfectly calibrated model with the same confidence has on average.

    A value of `ece` near it shows nothing: with 38 images it is often 0.1 to 0.2.
    """
    return calibration_error_by_chance(answers.confidence)


def harmonic_mean(answers: Answers) -> float:
    """The harmonic mean of the accuracies on the three groups."""
    with np.errstate(divide="ignore"):  # one group without a hit makes it 0
        return float(1 / np.mean(1 / np.array(group_accuracies(answers))))


def geometric_mean(answers: Answers) -> float:
    """The geometric mean of the accuracies on the three groups."""
    return float(np.prod(group_accuracies(answers)) ** (1 / 3))


def worst_group(answers: Answers) -> float:
    """The smallest of the accuracies on the three groups."""
    return float(np.min(group_accuracies(answers)))


def group_accuracies(answers: Answers) -> list[float]:
    """The accuracies on the three groups; all NaN where one of them has no images."""
    return selection.group_accuracies(answers.labels, answers.predicted, answers.groups)


METRICS = {
    "loss": Metric("Loss", own_loss, unit="loss", better="less"),
    "cross_entropy": Metric("Cross-entropy", cross_entropy, unit="loss", better="less"),
    "acc1": Metric("Top-1 accuracy", accuracy, of="answers", short="Top-1"),
    "f1": Metric("F1", f1, of="answers"),
    "mean_class_acc": Metric("Mean class accuracy", mean_class_accuracy, of="answers"),
    "ece": Metric("Calibration error", calibration_error, better="less"),
    "ece_by_chance": Metric("Calibration error by chance", chance_error, better="less"),
    "harmonic_mean": Metric("Harmonic mean", harmonic_mean, of="answers", test_sets=("longtailed",)),
    "geometric_mean": Metric("Geometric mean", geometric_mean, of="answers", test_sets=("longtailed",)),
    "min_group": Metric("Worst group", worst_group, of="answers", test_sets=("longtailed",)),
}
