"""The division of a source: the published counts, independent of the order of images, and pinned."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_images import COUNTS, digest_of, labelled, shuffled, split_of

from longtail.data.sources import digits
from longtail.data.split.balanced import assign_subsets
from longtail.data.split.longtailed import add_longtail
from longtail.data.split.sets import class_table, frequency_groups, longtailed_counts, with_groups
from longtail.data.tensors.selection import select_set

counts_of_classes = st.lists(st.integers(6, 12), min_size=1, max_size=7)
seeds = st.integers(0, 2**31)


@pytest.mark.parametrize("case", COUNTS, ids=lambda case: f"{case['largest']} x {case['imbalance_factor']}")
def test_longtailed_counts_are_the_published_ones(case):
    counts = longtailed_counts(case["largest"], case["num_classes"], case["imbalance_factor"])
    assert counts == case["counts"]
    assert sum(counts) == case["total"]


def test_longtailed_counts_of_one_class_and_of_no_imbalance():
    assert longtailed_counts(7, 1, 0.1) == [7]
    assert longtailed_counts(7, 3, 1.0) == [7, 7, 7]


@pytest.mark.parametrize("factor", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_refuses_an_impossible_imbalance(factor):
    with pytest.raises(ValueError, match="imbalance_factor must be above 0 and at most 1"):
        longtailed_counts(10, 3, factor)


def test_thirds_go_by_frequency_and_of_equal_classes_by_label():
    assert frequency_groups([1] * 100, "thirds") == ["head"] * 33 + ["middle"] * 33 + ["tail"] * 34
    assert frequency_groups(range(10, 0, -1), "thirds") == ["head"] * 3 + ["middle"] * 3 + ["tail"] * 4
    assert frequency_groups([2, 1], "thirds") == ["tail"] * 2
    assert frequency_groups([5, 9, 9, 1], "thirds") == ["tail", "head", "middle", "tail"]


def test_counts_divide_as_the_papers_do():
    assert frequency_groups([101, 100, 20, 19, 0], "counts") == ["many", "medium", "medium", "few", "few"]
    assert frequency_groups([9, 5, 1], "counts", (8, 2)) == ["many", "medium", "few"]
    with pytest.raises(
        ValueError, match="the cut 'halves' of the classes is unknown; choose thirds or counts"
    ):
        frequency_groups([1], "halves")


def test_cifar100_lt_has_the_published_numbers_of_classes():
    found = frequency_groups(longtailed_counts(500, 100, 0.01), "counts")
    assert [found.count(name) for name in ("many", "medium", "few")] == [
        35,
        35,
        30,
    ]  # Liu et al. (2019), and others


@pytest.mark.parametrize(
    ("largest", "classes", "factor", "imbalance", "total", "last"),
    [
        # gen_imbalanced_data's totals of the authors' imbalance_cifar.py (Cao et al., 2019)
        (5000, 10, 0.01, "exponential", 12_406, 50),
        (5000, 10, 0.02, "exponential", 13_996, 100),
        (5000, 10, 0.1, "exponential", 20_431, 500),
        (500, 100, 0.01, "exponential", 10_847, 5),
        (500, 100, 0.02, "exponential", 12_608, 10),
        (500, 100, 0.1, "exponential", 19_573, 50),
        (5000, 10, 0.1, "step", 27_500, 500),
        (5000, 10, 0.02, "step", 25_500, 100),
        (5000, 10, 0.01, "step", 25_250, 50),
        (500, 100, 0.1, "step", 27_500, 50),
        (500, 100, 0.02, "step", 25_500, 10),
        (500, 100, 0.01, "step", 25_250, 5),
    ],
)
def test_counts_of_cifar_lt_are_those_of_the_reference(largest, classes, factor, imbalance, total, last):
    counts = longtailed_counts(largest, classes, factor, imbalance)
    assert (sum(counts), counts[0], counts[-1]) == (total, largest, last)
    if imbalance == "step":
        assert counts == [largest] * (classes // 2) + [last] * (classes - classes // 2)


def test_a_step_leaves_half_of_the_classes_whole_and_one_class_small():
    assert longtailed_counts(90, 5, 0.1, "step") == [90, 90, 9, 9, 9]
    assert longtailed_counts(90, 1, 0.1, "step") == [9]
    assert longtailed_counts(5, 2, 0.1, "step") == [5, 1]
    with pytest.raises(ValueError, match="imbalance must be exponential or step, found 'linear'"):
        longtailed_counts(90, 5, 0.1, "linear")


@settings(max_examples=10)
@given(counts=st.lists(st.integers(1, 12), min_size=1, max_size=8), seed=seeds)
def test_groups_of_images_are_those_of_their_classes(counts, seed):
    labels = pd.Series(range(len(counts))).repeat(counts).sample(frac=1, random_state=seed)
    sets = pd.DataFrame({"label": labels, "class_name": "c", "subset": "train", "longtailed": True})
    sets = pd.concat([sets, sets.assign(subset="test"), sets.assign(longtailed=False)], ignore_index=True)
    split = with_groups(sets, "counts", (8, 3))
    assert split.drop(columns="group").equals(sets)
    expected = ["many" if count > 8 else "few" if count < 3 else "medium" for count in counts]
    assert split["group"].tolist() == [expected[label] for label in sets["label"]]
    assert class_table(split, "longtailed")["n_train"].tolist() == counts


@settings(max_examples=10)
@given(counts=counts_of_classes, seed=seeds)
def test_without_official_test_set_every_image_is_used_once(counts, seed):
    data = labelled(counts)
    split = split_of(data, seed)
    assert split["image_id"].tolist() == data.image_ids.tolist()
    assert split["label"].tolist() == data.labels.tolist()
    sizes = split.groupby(["subset", "label"]).size()
    assert (sizes["train"] == 3).all()
    assert (sizes["test"] == 2).all()
    assert sizes["val"].tolist() == [count - 5 for count in counts]


@settings(max_examples=10)
@given(counts=counts_of_classes, seed=seeds)
def test_with_official_test_set_exactly_that_validates(counts, seed):
    data = labelled(counts)
    first_of_class = torch.cat([torch.tensor([True]), data.labels.diff() > 0])
    data = replace(data, official_subset=["test" if first else "train" for first in first_of_class])
    split = split_of(data, seed)
    assert split.loc[split["subset"] == "val", "image_id"].tolist() == data.image_ids[first_of_class].tolist()
    sizes = split.groupby(["subset", "label"]).size()
    assert (sizes["train"] == 3).all()
    assert (sizes["test"] == 2).all()
    assert split["image_id"].is_unique


def test_the_official_test_set_can_test_and_leaves_nothing_to_validate():
    data = labelled([8, 8])
    official = torch.arange(16) % 4 == 0
    data = replace(data, official_subset=["test" if test else "train" for test in official])
    split = split_of(data, train=5, test=None)
    assert split.loc[split["subset"] == "test", "image_id"].tolist() == data.image_ids[official].tolist()
    assert split["subset"].value_counts().to_dict() == {"train": 10, "test": 4}
    tested = select_set(data, split, "test_balanced")
    assert torch.equal(select_set(data, split, "val").image_ids, tested.image_ids)
    with pytest.raises(ValueError, match="the source has no test set of its own; set test_per_class"):
        split_of(labelled([8, 9]), test=None)


@settings(max_examples=10)
@given(counts=counts_of_classes, seed=seeds, order=seeds)
def test_the_choice_does_not_depend_on_the_order_of_the_images(counts, seed, order):
    data = labelled(counts, ids=torch.arange(sum(counts)) * 7 + 3)
    pd.testing.assert_frame_equal(split_of(data, seed), split_of(shuffled(data, order), seed))


@settings(max_examples=10)
@given(seed=seeds, factors=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)))
def test_longtailed_sets_are_nested(seed, factors):
    data = labelled([20] * 6)
    small, large = (split_of(data, seed, train=10, test=5, factor=factor) for factor in sorted(factors))
    assert not small.loc[small["subset"] == "val", "longtailed"].any()
    assert not (small["longtailed"] & ~large["longtailed"]).any()


def test_training_images_do_not_depend_on_the_number_of_test_images():
    data = labelled([20] * 4)
    few, many = (split_of(data, test=test).query("subset == 'train'") for test in (2, 10))
    assert few["image_id"].tolist() == many["image_id"].tolist()


def test_another_seed_chooses_other_images_of_the_same_number():
    data = labelled([60] * 5)
    first, second = (split_of(data, seed, train=30, test=20) for seed in (1, 2))
    columns = ["subset", "label", "longtailed", "group"]
    assert first[columns].value_counts().to_dict() == second[columns].value_counts().to_dict()
    # Half of the images train; two independent draws of 30 of 60 share 15 on average.
    shared = ((first["subset"] == "train") & (second["subset"] == "train")).groupby(first["label"]).sum()
    assert shared.between(6, 24).all()


def test_factor_of_the_test_images_can_differ():
    subsets = assign_subsets(labelled([50] * 3), train_per_class=20, test_per_class=20, seed=0)
    split = add_longtail(subsets, imbalance_factor=0.1, test_imbalance_factor=1.0, seed=0)
    kept = split[split["longtailed"]].groupby(["subset", "label"]).size()
    assert kept["train"].tolist() == [20, 6, 2]
    assert kept["test"].tolist() == [20, 20, 20]


@pytest.mark.parametrize(
    ("train", "test", "official", "message"),
    [
        (
            8,
            2,
            False,
            "'class 1' has 10 images to draw from, but train_per_class = 8 and test_per_class = 2 need 11",
        ),
        (20, 2, True, "'class 1' has 10 images to draw from, but .* need 22"),
        (2, 2, True, "'class 0' has no image in the source's own test set"),
        (0, 2, False, "train_per_class must be at least 1, found 0"),
        (2, -1, False, "test_per_class must be at least 1, found -1"),
    ],
)
def test_refuses_an_impossible_split(train, test, official, message):
    data = labelled([12, 11])
    subset = ["train"] * 22 + ["test"]
    data = replace(data, official_subset=subset) if official else labelled([12, 10])
    with pytest.raises(ValueError, match=message):
        assign_subsets(data, train_per_class=train, test_per_class=test, seed=0)


def test_refuses_to_thin_out_classes_of_different_size():
    subsets = assign_subsets(labelled([12, 12]), train_per_class=5, test_per_class=2, seed=0)
    one_less = subsets.drop(index=subsets.index[subsets["subset"] == "train"][0])
    with pytest.raises(ValueError, match="classes of 'train' must be equal in size, found 4 to 5"):
        add_longtail(one_less, imbalance_factor=0.5, seed=0)


def test_digits_split_is_pinned():
    """Not a truth from outside: a regression pin, so that no change of the code reshuffles finished experiments."""
    split = split_of(digits.load_images(), seed=42, train=120, test=30, factor=0.02)
    assert digest_of(split) == "d224b246c157b1fb06af50099eb04e6dbe502daaa8761c0c407a09c6890085a3"
