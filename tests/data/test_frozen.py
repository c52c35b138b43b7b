"""A frozen split: more photographs join, and none of the old ones leaves its set, whatever it is called by then."""

import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_images import SPLIT
from test_groups_of_classes import index_of, nights
from test_lists import workbook

from longtail.data.collection.findings import findings_table, screen
from longtail.data.collection.listing import image_id
from longtail.data.split.frozen import read_frozen, write_frozen
from longtail.data.split.natural import natural_split
from longtail.data.split.origin import frozen_content

KEEP = {**SPLIT, "small_classes": "train_only"}


def frozen(tmp_path, index, **options):
    """The file of the split of a collection, and its sets by content."""
    split, _ = natural_split(index, **{**KEEP, **options})
    write_frozen(index, split, tmp_path / "split.csv")
    return tmp_path / "split.csv", by_content(index, split)


def by_content(index, split):
    of_image = index.set_index("image_id")["sha256"]
    return pd.Series(split["subset"].to_numpy(), index=split["image_id"].map(of_image)).sort_index()


def with_path(index, place, path):
    index.loc[place, ["path", "image_id", "twin"]] = [path, image_id(path), image_id(path)]


def shares(split):
    return split["subset"].value_counts(normalize=True).reindex(["train", "val", "test"]).to_numpy()


@pytest.mark.parametrize(("seed", "small_classes", "min_images"), [(1, "train_only", 3), (16, "merge", 0)])
def test_a_frozen_split_of_the_same_images_is_the_same_split(tmp_path, seed, small_classes, min_images):
    """The classes that are merged are the same ones too, though c03 of seed 16 has its test images in the list."""
    index = nights(12, [60, 30, 12, 5, 3, 2], seed)
    index.loc[np.random.default_rng(seed).random(len(index)) < 0.3, "group"] = ""
    options = {**KEEP, "small_classes": small_classes, "classes": {"min_images": min_images}}
    drawn, findings = natural_split(index, **options)
    write_frozen(index, drawn, tmp_path / "split.csv")
    again, told = natural_split(index, **options, frozen=tmp_path / "split.csv")
    pd.testing.assert_frame_equal(again, drawn)
    assert told == findings, "an image of a class that is left out is no new one"


@pytest.mark.parametrize("groups", [0, 25])
def test_new_images_join_and_no_old_one_moves(tmp_path, groups):
    big = nights(groups or 5, [160, 90, 40, 20], 3)
    big = big if groups else index_of(big.assign(group="")[["class_name", "number", "group"]])
    old = big[np.random.default_rng(0).random(len(big)) < 0.8].reset_index(drop=True)
    path, before = frozen(tmp_path, old)
    moved_without = by_content(big, natural_split(big, **KEEP)[0])[before.index] != before
    split, findings = natural_split(big, **KEEP, frozen=path)
    after = by_content(big, split)
    assert (after[before.index] == before).all()
    assert moved_without.any(), "without the file some move"
    assert len(after) == len(big) and set(after[after.index.difference(before.index)]) == {
        "train",
        "val",
        "test",
    }
    assert np.abs(shares(split) - [0.7, 0.1, 0.2]).max() < (0.07 if groups else 0.02)
    (new,) = (f for f in findings if f.kind == "frozen split")
    assert new.found.startswith(f"new images: {len(big) - len(old)} (") and not new.refused
    sides = split["subset"].groupby(split["image_id"].map(big.set_index("image_id")["group"])).nunique()
    assert not groups or sides.max() == 1


def test_renamed_retouched_relabelled_and_deleted_images_are_told_and_stay(tmp_path):
    index = index_of([(name, i, "") for name in "ab" for i in range(50)])
    path, before = frozen(tmp_path, index)
    with_path(index, 3, "new folder/3")
    # What was a/10 is a/11 now, which has left; the name of a/10 has another, new picture.
    content = index.loc[10, "sha256"]
    index.loc[11, "sha256"], index.loc[10, "sha256"] = content, "f" * 64
    index.loc[20, "sha256"] = "e" * 64
    index.loc[30, "class_name"] = "b"
    index = index.drop(index=[70, 71])
    split, findings = natural_split(index, **KEEP, frozen=path)
    after = by_content(index, split)
    stay = before.index.intersection(after.index)
    assert len(stay) == 100 - 2 - 2 and (after[stay] == before[stay]).all()
    of_twenty = before[f"{image_id('a/20'):064x}"]
    assert after["e" * 64] == of_twenty
    told = {f.found.partition(":")[0]: f.found for f in findings}
    assert told["images with another path"] == "images with another path: 2 (a/11, new folder/3)"
    assert told["images of the list that are not there"].endswith("3 (a/11, b/20, b/21)")
    assert told["images whose files have changed"].endswith("1 (a/20)")
    assert told["new images"].endswith("1 (a/10)")
    assert ("a/30", "is of class 'b'; it was of 'a'") in {(f.path, f.found) for f in findings}
    shown = screen(findings_table(findings), index, split).splitlines()
    assert "Since the frozen split: relabelled: 1, such as a/30: is of class 'b'; it was of 'a'" in shown
    assert "Since the frozen split: new images: 1 (a/10); divided as the others are" in shown
    assert sum(line.startswith("Since the frozen split: ") for line in shown) == 5


def test_an_image_of_an_old_night_goes_where_the_night_is(tmp_path):
    index = nights(20, [100, 60, 30], 5)
    path, _ = frozen(tmp_path, index)
    split = pd.read_csv(path).set_index("path")["split"]
    more = pd.concat(
        [index, index.assign(path="more/" + index["path"], sha256=index["sha256"].str.replace("0", "1", n=1))]
    )
    more["image_id"] = more["twin"] = more["path"].map(image_id)
    found, _ = natural_split(more.reset_index(drop=True), **KEEP, frozen=path)
    sets = found.set_index("image_id")["subset"]
    for old in index["path"]:
        assert sets[image_id(old)] == sets[image_id(f"more/{old}")] == split[old]


def test_a_class_that_grows_and_one_that_is_new_are_tested(tmp_path):
    index = index_of([(name, i, "") for name, n in {"a": 50, "b": 30, "c": 2}.items() for i in range(n)])
    path, before = frozen(tmp_path, index)
    grown = index_of(
        [(name, i, "") for name, n in {"a": 50, "b": 30, "c": 20, "d": 12, "e": 2}.items() for i in range(n)]
    )
    split, findings = natural_split(grown, **KEEP, frozen=path)
    tested = split[split["subset"] == "test"]["class_name"].value_counts().to_dict()
    assert tested == {"a": 10, "b": 6, "c": 4, "d": 3}
    assert [f.path for f in findings if f.kind == "small class"] == ["e"]
    assert (by_content(grown, split)[before.index] == before).all()


def test_a_class_whose_test_images_were_deleted_is_kept_and_told(tmp_path):
    index = index_of([(name, i, "") for name, n in {"a": 50, "b": 4}.items() for i in range(n)])
    path, before = frozen(tmp_path, index)
    gone = index.index[(index["class_name"] == "b") & (index["sha256"].map(before) == "test")][0]
    split, findings = natural_split(index.drop(index=gone), **SPLIT, frozen=path)
    assert split[split["class_name"] == "b"]["subset"].value_counts().to_dict() == {"test": 2, "train": 1}
    assert "has 2 test images in the frozen split" in next(f.found for f in findings if f.path == "b")


@settings(max_examples=6)
@given(st.integers(0, 10**6), st.sampled_from(["train_only", "merge"]))
def test_whatever_changes_nothing_old_moves(tmp_path_factory, seed, small_classes):
    draw = np.random.default_rng(seed)
    everything = nights(12, [60, 30, 12, 5, 3], seed)
    everything.loc[draw.random(len(everything)) < 0.3, "group"] = ""
    options = {**KEEP, "small_classes": small_classes}
    first = everything[draw.random(len(everything)) < 0.7]
    second = everything[draw.random(len(everything)) < 0.9].copy()
    try:
        path, before = frozen(tmp_path_factory.mktemp("f"), first, **options)
        for place in second.index[draw.random(len(second)) < 0.2]:
            with_path(second, place, f"moved/{place}")
        split, _ = natural_split(second, **options, frozen=path)
    except ValueError as error:
        # Among others, all training images of a class may be gone.
        told = ("no image is left", "too small", "cannot be divided", "classes without a training image")
        assert any(words in str(error) for words in told)
        return
    after = by_content(second, split)
    both = before.index.intersection(after.index)
    assert (after[both] == before[both]).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\na,b\n", r"has no column 'split'; expected a data/split\.csv"),
        ("path,label,split,sha256\na,b,dev,{h}\n", r"row 2: split is 'dev'; allowed: train, val, test"),
        ("path,label,split,sha256\na,b,val,{h}\n,b,val,{h}\n", "row 3: the path is empty"),
        ("path,label,split,sha256\na,b,val,12\n", "row 2: sha256 is '12'; expected 64 digits"),
        (
            "path,label,split,sha256\na,b,val,{h}\na,b,val,{h}\n",
            "row 3: a stands there twice; keep one of them",
        ),
        ("path,label,split,sha256\n", "lists no image"),
        (
            "path,label,split,sha256\nx,b,val,{h}\n",
            "none of its 1 images is in the collection, such as x; is it the split of",
        ),
    ],
)
def test_a_file_that_is_no_split_of_this_collection_is_refused(tmp_path, text, told):
    (tmp_path / "f.csv").write_text(text.format(h="a" * 64))
    with pytest.raises(ValueError, match=told) as caught:
        natural_split(
            index_of([(name, i, "") for name in "ab" for i in range(9)]), **KEEP, frozen=tmp_path / "f.csv"
        )
    assert "data.split.file" in str(caught.value)


def test_two_splits_of_one_collection_are_refused(tmp_path):
    index = index_of([(name, i, "") for name in "ab" for i in range(20)])
    path, _ = frozen(tmp_path, index)
    index["subset"] = np.where(index["number"] < 5, "test", "train")
    with pytest.raises(
        ValueError, match=r"has a split of its own .*, and data\.split\.file names another one"
    ):
        natural_split(index, **KEEP, frozen=path)


def test_names_that_a_spreadsheet_would_run_are_found_again(tmp_path):
    index = index_of([(name, i, "") for name in ("=1+1", "-x", "1e3", "NA") for i in range(20)])
    index["sha256"] = "0" * 64  # equal files, so that only the path tells them apart
    path, _ = frozen(tmp_path, index)
    given = natural_split(index, **KEEP)[0]
    split, findings = natural_split(index, **KEEP, frozen=path)
    assert split["subset"].tolist() == given["subset"].tolist()
    assert not findings


def test_a_retouched_file_stays_where_it_was_whichever_way_its_name_is_written(tmp_path):
    index = index_of([(name, i, "") for name in ("\u00e9", "b") for i in range(30)])
    path, before = frozen(tmp_path, index)
    expected = index["sha256"].map(before).set_axis(index["image_id"])
    written = index["path"].map(lambda name: unicodedata.normalize("NFD", name))
    after = index.assign(path=written, sha256=[f"{place:064x}" for place in range(len(index))])
    split, findings = natural_split(after, **KEEP, frozen=path)
    assert (split.set_index("image_id")["subset"] == expected.reindex(split["image_id"])).all()
    (told,) = (found for found in findings if found.kind == "frozen split")
    assert told.found.startswith("images whose files have changed: 60")


def test_names_that_a_spreadsheet_would_run_come_back_as_they_were(tmp_path):
    words = [start + name for name in ("=x", "+x", "-x", "@x", "-1", "x") for start in ("", "'", "''")]
    index = index_of([(word, number, "") for word in words for number in range(12)])
    path, before = frozen(tmp_path, index)
    split, findings = natural_split(index, **KEEP, frozen=path)
    assert (by_content(index, split) == before).all()
    assert not [found for found in findings if found.kind == "frozen split"]


HEAD, HASH = "path,label,split,sha256\n", "a" * 64


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no column 'path'; expected a data/split.csv"),
        (HEAD, "lists no image"),
        (f"{HEAD}a,x,train,{HASH}\na,x,test,{HASH}\n", "row 3: a stands there twice"),
        (f"{HEAD}a,x,trian,{HASH}\n", "row 2: split is 'trian'; allowed: train, val, test"),
        (f"{HEAD}a,x,train,5\n", "row 2: sha256 is '5'"),
        (f"{HEAD}\na,x,train,{HASH}\n\n ,x,train,{HASH}\n", "row 3: the path is empty"),
        (f"{HEAD}a,x,train,{HASH},y\n", "row 2: it has more or fewer fields than the header"),
        (f"{HEAD}a,x\n", "row 2: it has more or fewer fields than the header"),
        (f"{HEAD}a,x,train,{HASH[:40]}", f"row 2: sha256 is '{HASH[:40]}'"),
        (f"{HEAD.strip()},Path\na,x,train,{HASH},b\n", "has the column 'path' more than once"),
        (f"path,{HEAD}a,b,x,train,{HASH}\n", "has the column 'path' more than once"),
        (b"path,\x81", "cannot be read as text"),
    ],
)
def test_a_file_that_is_no_frozen_split_is_refused_by_name(tmp_path, text, told):
    path = tmp_path / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        read_frozen(path)
    assert str(path) in str(caught.value)


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """An index of two classes, the list of its split, and the split."""
    index = index_of([(name, i, "") for name in ("Käfer", "b") for i in range(30)])
    path, _ = frozen(tmp_path_factory.mktemp("listed"), index)
    return index, path, natural_split(index, **KEEP)[0]


def excel(text, separator=",", end="\r\n", start=""):
    """A csv as a spreadsheet saves it."""
    return start + text.replace(",", separator).replace("\n", end)


@pytest.mark.parametrize(
    ("saved", "guessed"),
    [
        (lambda text: excel(text, ";").encode("cp1252"), True),
        (lambda text: excel(text, ";", start="\ufeff").encode(), False),
        (lambda text: excel(text, "\t").encode("utf-16"), False),
        (lambda text: excel(text, ";", start="sep=;\n").encode(), False),
        (lambda text: excel(text, end="\r").encode(), False),
        (lambda text: excel(text).rstrip().encode(), False),
        (lambda text: excel(text.replace("\n", ",,\n") + ",,,,,,\n", ";").encode(), False),
        (
            lambda text: (
                text.replace("path,label,split", "Path, Label ,SPLIT").replace("train", " Train ").encode()
            ),
            False,
        ),
    ],
    ids=[
        "latin-1",
        "byte order mark",
        "utf-16",
        "sep=",
        "macintosh",
        "no last end",
        "empty columns",
        "capitals",
    ],
)
def test_a_list_that_a_spreadsheet_has_saved_is_the_same_list(tmp_path, listed, saved, guessed):
    index, original, drawn = listed
    path, content = tmp_path / "split.csv", frozen_content(original, "made")
    path.write_bytes(saved(original.read_text(encoding="utf-8")))
    split, findings = natural_split(index, **KEEP, frozen=path)
    pd.testing.assert_frame_equal(split, drawn)
    assert [f.kind for f in findings] == (["encoding"] if guessed else []), "no path has changed"
    assert not guessed or "Käfer" in findings[0].found
    assert frozen_content(path, "made") == content is not None, "so no job becomes stale"


def test_a_list_may_be_a_sheet_of_a_workbook(tmp_path):
    pytest.importorskip("python_calamine")
    index = index_of([(name, i, "") for name in ("Käfer", "b") for i in range(30)])
    path, before = frozen(tmp_path, index)
    table = pd.read_csv(path)
    book = workbook(tmp_path / "split.xlsx", {"split": [table.columns.tolist(), *table.to_numpy().tolist()]})
    split, findings = natural_split(index, **KEEP, frozen=book)
    assert (by_content(index, split) == before).all() and not findings
    assert frozen_content(book, "made") == frozen_content(path, "made")
