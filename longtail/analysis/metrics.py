"""Metrics of one run, from its predictions for all test images.

The five test sets are nested (head, middle and tail in long-tailed; that in balanced or, where classes differ in
size by nature, balanced in it), so the predictions for the largest hold those for all.
"""

import numpy as np
import pandas as pd
import torch
from scipy.stats import hmean
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, recall_score
from torch import nn
from torch.nn.functional import cross_entropy

from longtail.analysis.calibration import expected_calibration_error
from longtail.data.split.sets import GROUPS, in_set
from longtail.machine.numerics import check_finite
from longtail.machine.randomness import derive_seed


def class_table(split: pd.DataFrame, train_set: str) -> pd.DataFrame:
    """The classes of a split and their training images in one of the two training sets.

    Args:
        split: columns label, class_name, subset, longtailed, group, and balanced where classes differ in size by
            nature; one row per image.
        train_set: "balanced" or "longtailed".

    Returns:
        One row per class, in label order: label, class_name, group, n_train (0 for a class without any).

    Raises:
        ValueError: an unknown training set.
    """
    if train_set not in ("balanced", "longtailed"):
        raise ValueError(f"training set {train_set!r} is unknown; choose 'balanced' or 'longtailed'")
    classes = split.groupby("label", as_index=False)[["class_name", "group"]].first()
    in_training = (split["subset"] == "train") & in_set(split, train_set)
    counts = split.loc[in_training, "label"].value_counts()
    return classes.assign(n_train=classes["label"].map(counts).fillna(0).astype("int64"))


def evaluate(predictions: pd.DataFrame, loss: nn.Module) -> pd.DataFrame:
    """Metrics on the five test sets.

    A set without images has NaN for every metric and n = 0, never a value of 0. Macro and per-class averages are
    over the classes with images in the set. Where two classes score the same, the smaller label is predicted.

    `loss` is the run's own loss, with the whole set as one batch; a loss that draws random numbers draws them
    from one fixed seed, over the images by ascending id, so the value depends neither on the order of the rows
    nor on the run. It is no scale to compare losses on; `cross_entropy` is, and it and `ece` are of the
    probabilities softmax(loss.logit_scale * logits).

    Args:
        predictions: one row per test image: image_id int, label int, group str, longtailed bool, logits (C
            floats), and balanced bool where not all are in that set. They say which sets an image is in.
        loss: the run's loss, built for its training set's class counts: loss(logits, labels) -> scalar.

    Returns:
        Columns test_set, metric, value, n (images of the set). Metrics: loss, cross_entropy, acc1, f1 (macro on
        balanced, weighted on the others), mean_class_acc, ece; on longtailed also harmonic_mean,
        geometric_mean and min_group of the accuracies on head, middle and tail, NaN if one of the three is.

    Raises:
        ValueError: no images, logits that are not finite or of unequal length, or a label without a logit.
    """
    predictions = predictions.sort_values("image_id", ignore_index=True)
    labels = predictions["label"].to_numpy()
    logits = _logits(predictions)
    test_sets = _members(predictions)
    values = {
        name: _metrics(labels[members], logits[members], loss, "macro" if name == "balanced" else "weighted")
        for name, members in test_sets.items()
    }
    values["longtailed"] |= _over_groups([values[group]["acc1"] for group in GROUPS])
    rows = [
        (name, metric, value, int(test_sets[name].sum()))
        for name, metrics in values.items()
        for metric, value in metrics.items()
    ]
    return pd.DataFrame(rows, columns=["test_set", "metric", "value", "n"])


def evaluate_classes(predictions: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and F1 of every class on all test images.

    F1 counts the images of all classes that were taken for this one. A class without test images has NaN.

    Args:
        predictions: as for `evaluate`.
        classes: as `class_table` returns it.

    Returns:
        `classes` and the columns n_test, acc, f1.

    Raises:
        ValueError: as `evaluate`; or the number of logits is not the number of classes.
    """
    logits = _logits(predictions)
    if logits.shape[1] != len(classes):
        raise ValueError(
            f"the predictions have {logits.shape[1]} logits per image but the split has {len(classes)} classes; "
            "both must come from the same data"
        )
    _, recall, f1, support = precision_recall_fscore_support(
        predictions["label"],
        logits.argmax(axis=1),
        labels=classes["label"],
        average=None,
        zero_division=np.nan,
    )
    missing = support == 0
    return classes.assign(n_test=support, acc=recall, f1=np.where(missing, np.nan, f1))


def _logits(predictions: pd.DataFrame) -> np.ndarray:
    """Float64 N x C, checked."""
    if predictions.empty:
        raise ValueError("the predictions hold no image")
    lengths = predictions["logits"].map(len)
    if lengths.nunique() > 1:
        raise ValueError(
            f"images have between {lengths.min()} and {lengths.max()} logits; all need one per class"
        )
    # In float64 a sum over thousands of losses is the same on every machine to far more digits than are shown.
    logits = np.stack(predictions["logits"].to_list()).astype(np.float64)
    check_finite(logits, predictions["image_id"].to_numpy())
    if not predictions["label"].between(0, logits.shape[1] - 1).all():
        raise ValueError(
            f"labels go from {predictions['label'].min()} to {predictions['label'].max()}, but there are "
            f"{logits.shape[1]} logits per image; labels must be 0 … {logits.shape[1] - 1}"
        )
    return logits


def _members(predictions: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which images are in each test set, bool."""
    return {name: in_set(predictions, name).to_numpy() for name in ("balanced", "longtailed", *GROUPS)}


def _metrics(labels: np.ndarray, logits: np.ndarray, loss: nn.Module, average: str) -> dict[str, float]:
    names = ("loss", "cross_entropy", "acc1", "f1", "mean_class_acc", "ece")
    if not len(labels):
        return dict.fromkeys(names, float("nan"))
    predicted, present = logits.argmax(axis=1), np.unique(labels)
    scaled = torch.from_numpy(logits) * getattr(loss, "logit_scale", 1.0)
    confidence = scaled.softmax(dim=1).amax(dim=1).numpy()
    values = (
        _own_loss(loss, torch.from_numpy(logits), torch.from_numpy(labels)),
        float(cross_entropy(scaled, torch.from_numpy(labels))),
        accuracy_score(labels, predicted),
        f1_score(labels, predicted, labels=present, average=average),
        recall_score(labels, predicted, labels=present, average="macro"),
        expected_calibration_error(confidence, predicted == labels),
    )
    return dict(zip(names, map(float, values), strict=True))


@torch.no_grad()
def _own_loss(loss: nn.Module, logits: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(0, "evaluate"))
        return float(loss.eval()(logits, labels))


def _over_groups(accuracies: list[float]) -> dict[str, float]:
    if np.isnan(accuracies).any():  # a mean over two groups is no value to compare with one over three
        return dict.fromkeys(("harmonic_mean", "geometric_mean", "min_group"), float("nan"))
    return {
        "harmonic_mean": float(hmean(accuracies)),
        "geometric_mean": float(np.prod(accuracies) ** (1 / len(accuracies))),
        "min_group": min(accuracies),
    }
