"""Confident learning, pictures to label next, and the distance of new photographs, against published numbers."""

import numpy as np
import pandas as pd
import pytest

from longtail.analysis.label_errors import confident_classes, joint_counts, suspected, thresholds
from longtail.analysis.shift import Answered, compare, newcombe
from longtail.analysis.statistics.score import wilson
from longtail.analysis.uncertainty import to_label_next, uncertainty

CONFIDENT_JOINT = np.array([[100, 40, 20], [56, 60, 0], [32, 12, 80]])
"""The counts of dogs, foxes and cows in figure 1 of Northcutt et al. (2021)."""


def sure(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels whose confident joint is this: a sure answer for each image."""
    pairs = [pair for pair in np.ndindex(joint.shape) for _ in range(joint[pair])]
    labels, classes = np.array(pairs).T
    return np.eye(len(joint))[classes], labels


def test_the_joint_of_the_paper():
    joint = joint_counts(*sure(CONFIDENT_JOINT))
    published = [[0.25, 0.1, 0.05], [0.14, 0.15, 0], [0.08, 0.03, 0.2]]
    np.testing.assert_allclose(joint / joint.sum(), published, atol=1e-12)


def test_thresholds_and_the_images_off_the_diagonal_by_hand():
    probabilities = np.array(
        [[0.9, 0.1, 0.0], [0.7, 0.3, 0.0], [0.2, 0.8, 0.0], [0.5, 0.5, 0.0], [0.4, 0.6, 0.0]]
    )
    labels = np.array([0, 0, 0, 1, 1])
    # (0.9 + 0.7 + 0.2) / 3 and (0.5 + 0.6) / 2; no image has the label 2.
    assert thresholds(probabilities, labels).tolist() == pytest.approx([0.6, 0.55, np.inf])
    assert confident_classes(probabilities, labels).tolist() == [0, 0, 1, -1, 1]
    table = suspected(probabilities, labels)
    assert table.to_dict("list") == {
        "place": [2],
        "suggested": [1],
        "probability_given": [0.2],
        "probability_suggested": [0.8],
    }


def test_a_rare_class_is_suggested_below_the_largest_probability():
    """A model that prefers the frequent class still says where it is as sure of the rare one as it ever is."""
    probabilities = np.array([[0.95, 0.05]] * 6 + [[0.6, 0.4]] * 3)
    labels = np.array([0] * 7 + [1] * 2)
    assert suspected(probabilities, labels)[["place", "suggested"]].to_numpy().tolist() == [[6, 1]]


def test_planted_errors_are_found():
    """The labels of 60 of 1,000 images are changed; nearly all that are listed are among them."""
    random = np.random.default_rng(3)
    true = random.integers(0, 5, 1000)
    logits = random.normal(size=(1000, 5)) + 5 * np.eye(5)[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels, changed = true.copy(), random.choice(1000, 60, replace=False)
    labels[changed] = (labels[changed] + random.integers(1, 5, 60)) % 5
    listed = suspected(probabilities, labels)["place"]
    right = listed.isin(changed)
    assert right.sum() >= 50
    assert right.head(40).all()
    assert right.mean() > 0.9
    off = joint_counts(probabilities, labels)
    assert 45 <= off.sum() - np.trace(off) <= 75


def predictions() -> pd.DataFrame:
    shares = [[0.5, 0.45, 0.05], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0], [0.5, 0.45, 0.05]]
    frame = pd.DataFrame(shares, columns=["probability_1", "probability_2", "probability_3"])
    return frame.assign(path=["a/1", "a/2", "b/3", "b/4"])


def test_what_to_label_next():
    by_margin = to_label_next(predictions(), "margin")
    assert by_margin["path"].tolist() == ["a/1", "b/4", "a/2", "b/3"]
    assert by_margin["margin"].tolist() == pytest.approx([0.95, 0.95, 0.9, 0])
    by_entropy = to_label_next(predictions(), "entropy")
    assert by_entropy["path"].tolist() == ["a/2", "a/1", "b/4", "b/3"]
    assert by_entropy["entropy"].iloc[-1] == 0
    one_each = to_label_next(predictions(), "entropy", pd.Series(["a", "a", "b", "b"]))
    assert one_each["path"].tolist() == ["a/2", "b/4"]
    assert len(to_label_next(predictions(), "margin", number=1)) == 1


@pytest.mark.parametrize(
    ("frame", "measure", "message"),
    [
        (predictions().drop(columns="probability_3"), "entropy", "add up to 0.700"),
        (predictions()[["path", "probability_1"]], "margin", "--top 2"),
        (predictions(), "least", "margin and entropy"),
        (predictions().assign(probability_2=np.nan), "margin", "not numbers from 0 to 1"),
    ],
)
def test_what_cannot_be_ranked_is_refused(frame, measure, message):
    with pytest.raises(ValueError, match=message):
        uncertainty(frame, measure)


def test_the_interval_of_a_difference_as_published():
    # Newcombe (1998), table II, 56/70 - 48/80 by method 10.
    sides = [(np.arange(n) < right, wilson(right / n, n, 1.959964)) for right, n in ((56, 70), (48, 80))]
    assert newcombe(*sides[0], *sides[1]) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def answered(right: dict[int, tuple[int, int]], sharp: float = 4.0) -> Answered:
    """So many right of so many photographs of each label; wrong ones are taken for the next class of three."""
    labels = np.concatenate([np.full(n, label) for label, (_, n) in right.items()])
    hit = np.concatenate([np.arange(n) < k for k, n in right.values()])
    return Answered(labels, sharp * np.eye(3)[np.where(hit, labels, (labels + 1) % 3)])


def test_other_frequencies_alone_explain_a_lower_accuracy():
    old = answered({0: (90, 100), 1: (5, 10)})
    new = answered({0: (9, 10), 1: (50, 100)})
    shift = compare(new, old)
    assert shift.difference == pytest.approx(59 / 110 - 95 / 110)
    assert shift.by_frequencies == pytest.approx(59 / 110)
    assert shift.frequencies == pytest.approx(90 / 110)
    assert shift.covered == 1
    assert shift.low < shift.difference < shift.high < 0
    assert shift.beyond == 0
    # exp(4) / (exp(4) + 2)
    assert shift.claimed_new == pytest.approx(0.96467, abs=1e-5)


def test_flat_logits_lie_beyond_those_of_the_test_set():
    old, new = answered({0: (90, 100)}), answered({0: (9, 10), 2: (10, 10)}, sharp=0.1)
    shift = compare(new, old)
    assert shift.beyond == 1
    assert shift.covered == 0.5, "no old photograph is of class 2"


def test_photographs_of_one_night_widen_the_interval():
    alone, old = answered({0: (30, 60)}), answered({0: (90, 100)})
    together = Answered(alone.labels, alone.logits, np.arange(60) // 10)
    narrow, wide = compare(alone, old), compare(together, old)
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)
