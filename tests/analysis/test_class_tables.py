"""Precision, recall, F1 and confusions of single classes, against counts made by hand and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from longtail.analysis.classes import by_class, confused, confusion, images_by_class

NAMES = pd.Series(["ape", "bee", "cat", "dog"])
CLASSES = pd.DataFrame({"label": range(4), "class_name": NAMES})


def answers(*counts: tuple[int, int, int]) -> pd.DataFrame:
    """Predictions: so many images of one label taken for another."""
    rows = [(label, predicted) for label, predicted, times in counts for _ in range(times)]
    return pd.DataFrame(rows, columns=["label", "predicted"]).astype(float)


def test_by_hand():
    counts = confusion(answers((0, 0, 8), (0, 1, 2), (1, 1, 3), (1, 0, 1), (1, 2, 1)), NAMES)
    table = by_class(counts, CLASSES).set_index("class_name")
    assert table.loc["ape", ["precision", "recall", "f1"]].tolist() == pytest.approx([8 / 9, 0.8, 16 / 19])
    assert table.loc["ape", ["taken_for", "taken_for_share"]].tolist() == ["bee", 0.2]
    assert table.loc["bee", "taken_for"] == "ape", "of equally frequent ones the lower label"
    # No cat was tested, but one image was taken for it. No dog was tested, and none was seen.
    assert table.loc["cat", "precision"] == 0
    assert np.isnan(table.loc["cat", ["recall", "f1"]].to_numpy(float)).all()
    assert np.isnan(table.loc["dog", ["precision", "recall", "f1"]].to_numpy(float)).all()
    assert table.loc[["cat", "dog"], "taken_for"].tolist() == ["", ""]
    pairs = confused(counts)
    assert list(pairs[["label", "predicted", "times", "of"]].itertuples(index=False, name=None)) == [
        (0, 1, 2, 10),
        (1, 0, 1, 5),
        (1, 2, 1, 5),
    ]


def test_a_class_that_is_never_found_has_an_f1_of_zero():
    table = by_class(confusion(answers((0, 1, 4), (1, 1, 2)), NAMES), CLASSES)
    assert table["f1"].tolist()[:2] == pytest.approx([0, 2 * 2 / (2 + 6)])


@pytest.mark.parametrize("seed", range(20))
def test_as_scikit_learn_has_it(seed):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"label": random.integers(0, 4, 30), "predicted": random.integers(0, 4, 30)})
    counts = confusion(frame, NAMES)
    np.testing.assert_array_equal(
        counts, confusion_matrix(frame["label"], frame["predicted"], labels=range(4))
    )
    theirs = precision_recall_fscore_support(
        frame["label"], frame["predicted"], labels=range(4), zero_division=np.nan
    )
    table = by_class(counts, CLASSES)
    for name, values in zip(("precision", "recall", "f1"), theirs, strict=False):
        np.testing.assert_allclose(table[name], np.where(theirs[3] == 0, table[name], values))


def test_a_missing_run_counts_for_nothing():
    frame = pd.concat([answers((0, 0, 3)), pd.DataFrame({"label": [np.nan], "predicted": [np.nan]})])
    assert confusion(frame, NAMES).to_numpy().sum() == 3


def test_images_and_groups():
    split = pd.DataFrame({"label": [0, 0, 0, 1], "cluster": [7, 7, 8, 9], "subset": ["test"] * 3 + ["train"]})
    found = images_by_class(split, split["subset"] == "test", "test")
    assert found.to_dict("index") == {0: {"n_test": 3, "groups_test": 2}}
    alone = images_by_class(split.drop(columns="cluster"), split["subset"] == "test", "test")
    assert list(alone) == ["n_test"]
