"""What the epoch that is kept is chosen by: numbers of the validation images' labels and predicted classes.

The evaluation computes its metrics of the same names by these functions (`longtail.analysis.metrics`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from longtail.data.split.sets import groups_of

SELECTS = ("best", "last", "mean_class_acc", "macro_f1", "min_group")
"""The choices of `train.select`: the best epoch by top-1 accuracy, the last one, or the best by one of `SCORES`."""


def recognised(
    labels: np.ndarray, predicted: np.ndarray, classes: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many images of each class were recognised, how many were taken for it, and how many there are.

    Counted here, since an import of scikit-learn takes longer and 70 MB.

    Args:
        labels, predicted: integers, N.
        classes: how many there are at least.

    Returns:
        int64, C each, C being larger than any number among these.
    """
    classes = max(classes, int(labels.max()) + 1, int(predicted.max()) + 1)
    counted = (labels[labels == predicted], predicted, labels)
    right, taken, images = (np.bincount(values, minlength=classes) for values in counted)
    return right, taken, images


def mean_class_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """The accuracy of each class that has images, averaged over these classes.

    Args:
        labels, predicted: integers, N.
    """
    right, _, images = recognised(labels, predicted)
    return float(np.mean(right[images > 0] / images[images > 0]))


def f1(labels: np.ndarray, predicted: np.ndarray, average: str) -> float:
    """F1 over the classes that have images: their plain mean (`macro`), or weighted by images (`weighted`).

    Args:
        labels, predicted: integers, N.
    """
    right, taken, images = recognised(labels, predicted)
    there = images > 0
    of_class = 2 * right[there] / (images + taken)[there]
    return float(np.average(of_class, weights=images[there] if average == "weighted" else None))


def group_accuracies(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> list[float]:
    """The accuracies on the three groups of classes; all NaN where one of them has no images.

    A mean over two groups cannot be compared with one over three.

    Args:
        labels, predicted: integers, N.
        groups: that of each image's class, N.
    """
    own = [groups == group for group in groups_of(groups)]
    if not all(members.any() for members in own):
        return [np.nan] * len(own)
    return [float(np.mean(predicted[members] == labels[members])) for members in own]


class Score(NamedTuple):
    """One way to choose an epoch; the largest value is the best.

    Attributes:
        words: its name in a sentence.
        compute: of labels, predicted classes and groups, all of shape (N,).
        needs_groups: whether it looks at the groups, which may else be empty.
    """

    words: str
    compute: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    needs_groups: bool = False


SCORES = {
    "mean_class_acc": Score(
        "mean class accuracy", lambda labels, found, _: mean_class_accuracy(labels, found)
    ),
    "macro_f1": Score("macro F1", lambda labels, found, _: f1(labels, found, "macro")),
    "min_group": Score(
        "accuracy of the worst group", lambda *answers: min(group_accuracies(*answers)), needs_groups=True
    ),
}


class Selection:
    """One of `SCORES` on a validation set.

    Args:
        labels: of the validation images, int64, N, in their order.
        groups: that of every class, str, C; needed for `min_group` alone.

    Raises:
        ValueError: `min_group` without groups, or a group has no validation image.
    """

    def __init__(self, name: str, labels: np.ndarray, groups: np.ndarray | None):
        self.name, self.labels, self.score = name, labels, SCORES[name]
        if self.score.needs_groups and groups is None:
            raise ValueError(
                f"select: {name} needs the group of every class, which the split of the data tells"
            )
        self.groups = np.empty(0) if groups is None else groups[labels]
        wanted = groups_of(groups) if groups is not None and self.score.needs_groups else ()
        missing = [group for group in wanted if group not in self.groups]
        if missing:
            raise ValueError(
                f"select: {name} compares {', '.join(wanted)}, and no validation image is of {' or '.join(missing)}; "
                "give more images to the validation set, or select by mean_class_acc"
            )

    def of(self, predicted: np.ndarray) -> float:
        """The score of the classes that were predicted for the validation images, N."""
        return self.score.compute(self.labels, predicted, self.groups)
