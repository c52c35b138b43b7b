"""The evaluation of one run: every metric on the five test sets, and accuracy and F1 of every class.

The five test sets are nested (head, middle and tail in long-tailed; that in balanced or, where classes differ in
size by nature, balanced in it), so the predictions for the largest hold those for all.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support
from torch import nn

from longtail.analysis.grid import TEST_SETS
from longtail.analysis.metrics import METRICS, Answers
from longtail.data.split.sets import in_set
from longtail.machine.numerics import check_finite


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
    """Every metric on the test sets that it is for.

    A set without images has NaN for every metric and n = 0, never a value of 0. Macro and per-class averages are
    over the classes with images in the set. Where two classes score the same, the smaller label is predicted.
    Images are taken by ascending id, so no value depends on the order of the rows.

    Args:
        predictions: one row per test image: image_id int, label int, group str, longtailed bool, logits (C
            floats), and balanced bool where not all are in that set. They say which sets an image is in.
        loss: the run's loss, built for its training set's class counts: loss(logits, labels) -> scalar.

    Returns:
        Columns test_set, metric, value, n (images of the set), in the order of the test sets and of `METRICS`.

    Raises:
        ValueError: no images, logits that are not finite or of unequal length, or a label without a logit.
    """
    predictions = predictions.sort_values("image_id", ignore_index=True)
    labels, groups = (predictions[name].to_numpy() for name in ("label", "group"))
    logits = _logits(predictions)
    rows = []
    for test_set in TEST_SETS:
        members = in_set(predictions, test_set).to_numpy()
        n = int(members.sum())
        answers = Answers(test_set, labels[members], groups[members], logits[members], loss)
        for name, metric in METRICS.items():
            if test_set in metric.test_sets:
                rows.append((test_set, name, metric.compute(answers) if n else np.nan, n))
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
