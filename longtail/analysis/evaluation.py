"""The evaluation of one run: every metric on the five test sets, and accuracy and F1 of every class.

One file of predictions serves all five test sets, because the largest set holds the others. The groups, head, middle
and tail or many, medium and few, make up the long-tailed set, which is a part of the balanced one. Where classes differ
in size by nature, the balanced set is a part of the long-tailed one instead.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support
from torch import nn

from longtail.analysis.metrics import METRICS, Answers
from longtail.data.split.sets import CLUSTER, in_set, tested_sets
from longtail.machine.numerics import check_finite


def evaluate(predictions: pd.DataFrame, loss: nn.Module) -> pd.DataFrame:
    """Compute every metric on the test sets that it is defined for.

    A set without images has n = 0 and NaN for every metric, because 0 would look like a result. Averages over
    classes count the classes that have images in the set. Where two classes score the same, the smaller label is
    predicted. Images are taken by ascending id, so no value depends on the order of the rows.

    Args:
        predictions: one row per test image: image_id int, label int, group str, longtailed bool, logits (C
            floats), balanced bool where not all images are in that set, and cluster int where images are not
            independent. Group, longtailed and balanced say which sets an image is in.
        loss: the run's loss, built for its training set's class counts: loss(logits, labels) -> scalar.

    Returns:
        Columns test_set, metric, value, n (images of the set), clusters (of these images; n where each stands for
        itself), in the order of the test sets and of `METRICS`.

    Raises:
        ValueError: no images, logits that are not finite or of unequal length, or a label without a logit.
    """
    predictions = predictions.sort_values("image_id", ignore_index=True)
    labels, groups = (predictions[name].to_numpy() for name in ("label", "group"))
    logits = _logits(predictions)
    rows = []
    for test_set in tested_sets(groups):
        members = in_set(predictions, test_set).to_numpy()
        n = int(members.sum())
        clusters = predictions.loc[members, CLUSTER].nunique() if CLUSTER in predictions else n
        answers = Answers(test_set, labels[members], groups[members], logits[members], loss)
        for name, metric in METRICS.items():
            if test_set in metric.test_sets:
                rows.append((test_set, name, metric.compute(answers) if n else np.nan, n, clusters))
    return pd.DataFrame(rows, columns=["test_set", "metric", "value", "n", "clusters"])


def evaluate_classes(predictions: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and F1 of every class on all test images.

    The F1 of a class also counts the images of other classes that were taken for it. A class without test images
    has NaN.

    Args:
        predictions: as for `evaluate`.
        classes: as `class_table` returns it.

    Returns:
        `classes` and the columns n_test, clusters (of these images; n_test where each stands for itself), acc, f1.

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
    clusters = support
    if CLUSTER in predictions:
        own = predictions.groupby("label")[CLUSTER].nunique()
        clusters = own.reindex(classes["label"], fill_value=0).to_numpy()
    f1 = np.where(missing, np.nan, f1)
    return classes.assign(n_test=support, clusters=clusters, acc=recall, f1=f1)


def _logits(predictions: pd.DataFrame) -> np.ndarray:
    """The logits as one array, float64, N x C, after their lengths and values were checked."""
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
