"""What a model made of every class: precision, recall and F1, and which classes it takes for which.

The tables of the workflow and the evaluation of new photographs both start here. One prediction is one run's answer to
one image, so with several seeds an image counts once for each.
"""

import numpy as np
import pandas as pd

from longtail.data.split.sets import CLUSTER, has_groups


def confusion(predictions: pd.DataFrame, class_names: pd.Series) -> pd.DataFrame:
    """How many predictions for images of each class went to each class.

    Args:
        predictions: columns label and predicted, a row for each prediction; rows without a prediction do not count.
        class_names: the name of each label, by label; it gives rows and columns their order.

    Returns:
        int32, C x C: a row for each true class and a column for each predicted one, by label.
    """
    done = predictions.dropna(subset=["label", "predicted"])
    rows, columns = (class_names.index.get_indexer(done[name].astype(int)) for name in ("label", "predicted"))
    known = (rows >= 0) & (columns >= 0)
    # With thousands of classes nearly all counts stay zero, and NumPy takes no memory for a zero until it is changed.
    counts = np.zeros((len(class_names), len(class_names)), dtype=np.int32)
    np.add.at(counts, (rows[known], columns[known]), 1)
    return pd.DataFrame(
        counts,
        index=pd.Index(class_names.index, name="label"),
        columns=pd.Index(class_names.index, name="predicted"),
    )


def confused(counts: pd.DataFrame) -> pd.DataFrame:
    """The pairs of different classes that were confused, the largest share of the true class first.

    Args:
        counts: as `confusion` returns it.

    Returns:
        Columns label, predicted, times, of (predictions for the true class), share; of equal shares those with more
        mistakes come first, then the lower label.
    """
    values = counts.to_numpy()
    rows, columns = np.nonzero(values)
    wrong = rows != columns
    rows, columns = rows[wrong], columns[wrong]
    of = values.sum(axis=1)[rows]
    found = pd.DataFrame(
        {
            "label": counts.index.to_numpy()[rows],
            "predicted": counts.columns.to_numpy()[columns],
            "times": values[rows, columns],
            "of": of,
        }
    )
    found["share"] = found["times"] / found["of"]
    return found.sort_values(["share", "times"], ascending=False, kind="stable", ignore_index=True)


def by_class(counts: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall and F1 of every class, and the class that it is most often taken for.

    Where no image was taken for a class, its precision is not defined and missing, and where none was tested, so are
    recall and F1. A class that was tested and never found has F1 = 0.

    Source: van Rijsbergen, Information Retrieval, 1979, for F1 = 2 TP / (2 TP + FP + FN).

    Args:
        counts: as `confusion` returns it.
        classes: a row for each label, with columns label and class_name, in the order of the result.

    Returns:
        `classes` and the columns precision, recall, f1 (fractions), taken_for (the name of a class; "" where no image
        was taken for another one), taken_for_share (of the predictions for images of the class). Of equally frequent
        ones, the one with the lower label is named.
    """
    values = counts.to_numpy()
    right, tested, answered = values.diagonal(), values.sum(axis=1), values.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / answered, right / tested
        f1 = np.where(tested > 0, 2 * right / (tested + answered), np.nan)
    # The largest share of each class comes first.
    most = confused(counts).drop_duplicates("label").set_index("label").reindex(counts.index)
    names = classes.set_index("label")["class_name"]
    found = pd.DataFrame(
        {
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "taken_for": most["predicted"].map(names).fillna(""),
            "taken_for_share": most["share"],
        },
        index=counts.index,
    )
    return classes.join(found, on="label")


def images_by_class(split: pd.DataFrame, chosen: pd.Series, name: str) -> pd.DataFrame:
    """How many of the chosen images each class has, and in how many groups where the split has groups of images.

    Args:
        split: columns label, and cluster and grouped where images may belong together.
        chosen: bool, which rows of the split count.
        name: what the columns are called after `n_` and `groups_`.

    Returns:
        Columns n_NAME and, where a list gives groups, groups_NAME, by label; a class without such images has no row.
    """
    own = split[chosen].groupby("label")
    found = pd.DataFrame({f"n_{name}": own.size()})
    if has_groups(split):
        found[f"groups_{name}"] = own[CLUSTER].nunique()
    return found
