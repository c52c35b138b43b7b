"""The evaluation of one run: every metric on the five test sets, and accuracy and F1 of every class.

One file of predictions serves all five test sets, because the largest set holds the others. The groups, head, middle
and tail or many, medium and few, make up the long-tailed set, which is a part of the balanced one. Where classes differ
in size by nature, the balanced set is a part of the long-tailed one instead.
"""

import numpy as np
import pandas as pd

from longtail.analysis.metrics import METRICS, Answers
from longtail.data.split.sets import CLUSTER, in_set, tested_sets
from longtail.losses.base import Loss
from longtail.machine.numerics import check_finite
from longtail.training.selection import recognised


def evaluate(images: pd.DataFrame, logits: np.ndarray, loss: Loss) -> pd.DataFrame:
    """Compute every metric on the test sets that it is defined for.

    A set without images has n = 0 and NaN for every metric, because 0 would look like a result. Averages over
    classes count the classes that have images in the set. Where two classes score the same, the smaller label is
    predicted. Images are taken by ascending id, so no value depends on the order of the rows.

    Args:
        images: one row per test image: image_id int, label int, group str, longtailed bool, balanced bool where not
            all images are in that set, and cluster int where images are not independent. Group, longtailed and
            balanced say which sets an image is in.
        logits: those of the same images, float32 or float64, N x C.
        loss: the run's loss, built for its training set's class counts: loss(logits, labels) -> scalar.

    Returns:
        Columns test_set, metric, value, n (images of the set), clusters (of these images; n where each stands for
        itself), in the order of the test sets and of `METRICS`.

    Raises:
        ValueError: no images, logits that are not finite, or a label without a logit.
    """
    _check(images, logits)
    if not images["image_id"].is_monotonic_increasing:
        order = np.argsort(images["image_id"].to_numpy())
        images, logits = images.iloc[order].reset_index(drop=True), logits[order]
    labels, groups = (
        images[name].to_numpy(copy=True) for name in ("label", "group")
    )  # PyTorch wants to write
    whole = Answers("", labels, groups, logits, loss)
    rows = []
    for test_set in tested_sets(groups):
        members = in_set(images, test_set).to_numpy()
        n = int(members.sum())
        clusters = images.loc[members, CLUSTER].nunique() if CLUSTER in images else n
        answers = whole.part(test_set, members)
        for name, metric in METRICS.items():
            if test_set in metric.test_sets:
                rows.append((test_set, name, metric.compute(answers) if n else np.nan, n, clusters))
    return pd.DataFrame(rows, columns=["test_set", "metric", "value", "n", "clusters"])


class Ensemble:
    """The mean of the probabilities of several runs for the same images, which needs no training.

    Source: Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles, NIPS
    2017.

    Attributes:
        members: how many runs have been added.
    """

    def __init__(self) -> None:
        self.members = 0
        self._images, self._sum = pd.DataFrame(), np.zeros(())
        self._single: list[list[float]] = []

    def add(self, images: pd.DataFrame, logits: np.ndarray, loss: Loss) -> None:
        """Take the answers of a run in.

        Args:
            images, logits, loss: as for `evaluate`, the images being the same for all, in the same order. The
                probabilities are softmax(loss.logit_scale * logits), not calibrated.
        """
        from scipy.special import softmax  # late, since most evaluations have no ensemble

        self._images = images
        self._single.append([share for _, share, _ in self._accuracies(logits)])
        self._sum = self._sum + softmax(loss.logit_scale * logits.astype(np.float64), axis=1)
        self.members += 1

    def table(self) -> pd.DataFrame:
        """Columns test_set, seeds, single (the mean of the members' accuracies), ensemble (its own), n."""
        rows = [
            (test_set, self.members, single, share, n)
            for (test_set, share, n), single in zip(
                self._accuracies(self._sum), np.mean(self._single, axis=0), strict=True
            )
        ]
        return pd.DataFrame(rows, columns=["test_set", "seeds", "single", "ensemble", "n"])

    def _accuracies(self, scores: np.ndarray) -> list[tuple[str, float, int]]:
        right = scores.argmax(axis=1) == self._images["label"].to_numpy()
        found = []
        for test_set in tested_sets(self._images["group"]):
            own = right[in_set(self._images, test_set).to_numpy()]
            found.append((test_set, float(own.mean()) if len(own) else np.nan, len(own)))
        return found


def evaluate_classes(images: pd.DataFrame, logits: np.ndarray, classes: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and F1 of every class on all test images.

    The F1 of a class also counts the images of other classes that were taken for it. A class without test images
    has NaN.

    Args:
        images, logits: as for `evaluate`.
        classes: as `class_table` returns it.

    Returns:
        `classes` and the columns n_test, clusters (of these images; n_test where each stands for itself), acc, f1.

    Raises:
        ValueError: as `evaluate`; or the number of logits is not the number of classes.
    """
    _check(images, logits)
    if logits.shape[1] != len(classes):
        raise ValueError(
            f"the predictions have {logits.shape[1]} logits per image but the split has {len(classes)} classes; "
            "both must come from the same data"
        )
    own, largest = classes["label"].to_numpy(), int(classes["label"].max())
    counted = recognised(images["label"].to_numpy(), logits.argmax(axis=1), largest + 1)
    right, taken, n_test = (count[own] for count in counted)
    clusters = n_test
    if CLUSTER in images:
        own = images.groupby("label")[CLUSTER].nunique()
        clusters = own.reindex(classes["label"], fill_value=0).to_numpy()
    there = np.where(n_test, n_test, np.nan)
    return classes.assign(n_test=n_test, clusters=clusters, acc=right / there, f1=2 * right / (there + taken))


def _check(images: pd.DataFrame, logits: np.ndarray) -> None:
    if images.empty:
        raise ValueError("the predictions hold no image")
    check_finite(logits, images["image_id"].to_numpy())
    if not images["label"].between(0, logits.shape[1] - 1).all():
        raise ValueError(
            f"labels go from {images['label'].min()} to {images['label'].max()}, but there are "
            f"{logits.shape[1]} logits per image; labels must be 0 … {logits.shape[1] - 1}"
        )
