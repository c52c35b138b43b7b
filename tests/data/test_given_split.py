"""What a user divided stays divided so: folders called train, val and test, and the column split of a csv."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_images import SPLIT

from longtail.data.collection.findings import check, findings_table, require_none
from longtail.data.collection.listing import list_images
from longtail.data.collection.reading import read_collection
from longtail.data.split.natural import natural_split


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def folders(root, counts):
    """Different pictures in folders: {"train/cat": 3}."""
    seeds = itertools.count()
    for name, count in counts.items():
        for number in range(count):
            write(root / name / f"{number}.png", next(seeds))
    return root


def read(source):
    return read_collection(list_images(source), 8, source.parent, max_side=100, min_side=2)


# -- folders


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "VALID", "Test"),
        ("training", "validation", "testing"),
        ("train_set", "dev-images", "test2017"),
    ],
)
def test_train_val_and_test_at_the_top_are_the_split(tmp_path, names):
    train, val, test = names
    counts = {f"{train}/cat": 8, f"{train}/owl": 4, f"{val}/cat": 2, f"{val}/owl": 1, f"{test}/cat": 3}
    root = folders(tmp_path / "c", counts | {f"{test}/owl/deep/er": 2})
    write(root / train / "stray.png")
    (root / test / "empty").mkdir()
    (root / "labels").mkdir()
    (root / ".git").mkdir()
    listing = list_images(root)
    assert {entry.class_name for entry in listing.entries} == {"cat", "owl"}
    assert [(finding.path, finding.kind) for finding in listing.findings] == sorted(
        [
            (".git", "hidden"),
            (f"{test}/empty", "empty class"),
            ("labels", "empty class"),
            (f"{train}/stray.png", "no class"),
        ]
    )
    split, _ = natural_split(read(root).index, **SPLIT)
    found = split.groupby(["subset", "class_name"]).size().to_dict()
    assert found == {
        ("train", "cat"): 8,
        ("train", "owl"): 4,
        ("val", "cat"): 2,
        ("val", "owl"): 1,
        ("test", "cat"): 3,
        ("test", "owl"): 2,
    }


def test_without_val_it_is_cut_from_train(tmp_path):
    root = folders(tmp_path / "c", {"train/a": 20, "train/b": 9, "test/a": 4, "test/b": 3})
    split, _ = natural_split(read(root).index, **SPLIT)
    assert split["subset"].value_counts().to_dict() == {"train": 26, "test": 7, "val": 3}


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ({"train/a": 2, "train/b": 2, "val/a": 1, "val/b": 1}, r"\(train, val\), but there is no test"),
        ({"val/a": 2, "val/b": 2, "test/a": 1, "test/b": 1}, "but there is no train"),
        ({"train/a": 2, "train/b": 2}, "but there is no test"),
        (
            {"train/a": 2, "test/a": 2, "val/a": 1, "valid/a": 1},
            r"\(train, val, valid, test\), but val and valid mean the same",
        ),
        ({"train/a": 2, "Train/a": 2, "test/a": 2}, "but Train and train mean the same"),
        ({"train/a": 2, "train/b": 2, "test": 5}, "but test has no class folders with images"),
        ({"train": 2, "test": 5}, "but train has no class folders with images"),
        ({"train/a": 2, "test/a": 2, "unlabelled/x": 2}, "but unlabelled lies beside them"),
        ({"train/a": 2, "train/b": 2, "bus": 2}, "but bus lies beside them"),
        ({"train": 2, "test": 2, "bus": 2}, "but bus lies beside them"),
        ({"a/train": 2, "a/test": 2, "b/train": 2, "b/test": 2}, r"\(test, train\) in its folder a\. If"),
        ({"data/Train/a": 2, "data/Val/a": 2, "b": 2}, r"\(Train, Val\) in its folder data\. If"),
    ],
)
def test_what_may_be_a_split_or_classes_is_refused(tmp_path, counts, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        list_images(folders(tmp_path / "c", counts))
    assert "a csv with the columns path, label and split" in str(caught.value)


@pytest.mark.parametrize(
    "counts",
    [
        {"train": 3, "bus": 2},
        {"train": 1, "train/tgv": 2, "bus": 2},
        {"a": 2, "b/train": 2, "c/test": 1},
        {"a": 2, "tests": 2, "valley": 2},
    ],
)
def test_a_class_may_be_called_train(tmp_path, counts):
    listing = list_images(folders(tmp_path / "c", counts))
    assert {entry.class_name for entry in listing.entries} == {name.split("/")[0] for name in counts}
    assert {entry.subset for entry in listing.entries} == {""}


# -- groups and equal pictures on both sides


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.booleans(), st.integers(0, 3))
def test_no_image_leaves_the_set_that_it_was_given_to(draw, with_val, seed):
    rows, random = 60, np.random.default_rng(draw)  # one draw of Hypothesis for 240 numbers
    some = [random.integers(0, limit + 1, rows).tolist() for limit in (2, 9, 40, 3 if with_val else 2)]
    index = pd.DataFrame(
        {
            "image_id": range(rows),
            "class_name": [f"c{value}" for value in some[0]],
            "group": [f"g{value}" if value else "" for value in some[1]],
            "twin": some[2],
            "subset": [["train", "train", "test", "val"][value] for value in some[3]],
        }
    )
    # Every class trains and is tested.
    extra = [
        (rows + number, f"c{label}", "", rows + number, subset)
        for number, (label, subset) in enumerate(itertools.product(range(3), ["train", "train", "test"]))
    ]
    index = pd.concat([index, pd.DataFrame(extra, columns=index.columns)], ignore_index=True)
    split, _ = natural_split(index, **{**SPLIT, "seed": seed})
    both = index.merge(split, on="image_id", suffixes=("_given", ""))
    moved = both[both["subset_given"] != both["subset"]]
    if (index["subset"] == "val").any():
        assert moved.empty
    else:
        assert set(moved["subset_given"]) == {"train"} and set(moved["subset"]) == {"val"}
        # What is cut for validation leaves none of its group or its twins in training.
        for name in ("group", "twin"):
            cut = set(moved[name]) - {""}
            assert not set(both.loc[both["subset"] == "train", name]) & cut


def test_a_group_on_both_sides_is_told_and_strict_refuses_it(tmp_path):
    lines = ["path,label,split,group"]
    for label, number in itertools.product("ab", range(12)):
        write(tmp_path / "c" / label / f"{number}.png", ord(label) * 100 + number)
        group = f"animal {label}{number // 4}" if number < 8 else f"alone {label}{number}"
        lines.append(f"{label}/{number}.png,{label},{'test' if number % 4 == 0 else 'train'},{group}")
    (tmp_path / "c" / "list.csv").write_text("\n".join(lines))
    found = read(tmp_path / "c" / "list.csv")
    divided = [finding for finding in found.findings if finding.kind == "divided group"]
    assert [finding.path for finding in divided] == ["animal a0", "animal a1", "animal b0", "animal b1"]
    assert "images in test (a/0.png) and in train (a/1.png)" in divided[0].found
    assert "accuracies are too high" in divided[0].action
    with pytest.raises(ValueError, match="strict refuses this collection: 4 x divided group"):
        require_none(findings_table(found.findings))
    table, _ = check(found.index, findings_table(found.findings), True, **SPLIT)
    assert table.loc[table["kind"] == "divided group", "action"].str.startswith("refused").all()
