"""A collection of image files: what is listed, how it is decoded and divided, and what is said about it."""

import base64
import csv
import io
import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from programs import run_program

from longtail.data.collection.decoding import decode
from longtail.data.collection.duplicates import connected, difference_hash, near_duplicates
from longtail.data.collection.findings import (
    alike,
    check,
    class_sizes,
    findings_table,
    page,
    require_none,
    screen,
)
from longtail.data.collection.listing import image_id, list_images
from longtail.data.collection.reading import read_collection
from longtail.data.lists.rows import Choices
from longtail.data.split.lists import split_of_lists
from longtail.data.split.natural import natural_split
from longtail.data.split.sets import class_table, in_set, with_groups
from longtail.data.tensors.files import load_tensors, save_tensors
from longtail.data.tensors.selection import select_set
from longtail.files.parquet import read_parquet, write_parquet

SPLIT = {
    "test_fraction": 0.2,
    "val_fraction": 0.1,
    "min_test_per_class": 3,
    "small_classes": "train_only",
    "merged_name": "other",
    "seed": 1,
}


def picture(seed=0, width=20, height=16):
    """Smooth noise: a picture that looks like no other one."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def write(path, image=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture(abs(hash(path.name))) if image is None else image).save(path, **options)
    return path


def collection(folder, counts):
    seeds = iter(range(10_000))
    for name, count in counts.items():
        for number in range(count):
            write(folder / name / f"{number:03}.png", picture(next(seeds)))
    return folder


def read(source, size=16, **options):
    options = {"max_side": 30_000, "min_side": 2, "scratch": Path(source).parent, **options}
    return read_collection(list_images(source), size, **options)


def kinds(found):
    """Kinds of findings by path."""
    result = {}
    for finding in found:
        result.setdefault(finding.path, []).append(finding.kind)
    return result


# -- what is listed


def test_a_class_is_a_folder_with_all_that_lies_below_it(tmp_path):
    for name in (
        "b/2.jpg",
        "a/deep/er/1.PNG",
        "a/0.webp",
        "a/notes.txt",
        "a/.hidden.png",
        "top.png",
        ".git/x.png",
    ):
        write(tmp_path / "c" / name) if not name.endswith("txt") else (tmp_path / "c" / name).write_text("")
    (tmp_path / "c" / "empty").mkdir()
    listing = list_images(tmp_path / "c")
    assert [(entry.path, entry.class_name) for entry in listing.entries] == [
        ("a/0.webp", "a"),
        ("a/deep/er/1.PNG", "a"),
        ("b/2.jpg", "b"),
    ]
    assert kinds(listing.findings) == {
        "a/notes.txt": ["other file"],
        "top.png": ["no class"],
        "empty": ["empty class"],
        ".git": ["hidden"],
        "a": ["hidden"],
    }


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = collection(tmp_path / "c", {"a": 1, "b": 1})
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "x.png")
    (root / "a" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "self").symlink_to(root / "b")
    (root / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    listing = list_images(root)
    assert [entry.path for entry in listing.entries] == ["a/000.png", "a/linked/x.png", "b/000.png"]
    assert kinds(listing.findings) == {"a/up": ["loop"], "b/self": ["loop"], "b/gone.png": ["broken link"]}


ODD = ["ä b", "日本 蛾", "🦋", 'it\'s "quoted"', "$100_a^b$", "a\nb", "-rf", "#x; rm *"]


def test_names_of_any_kind_are_kept_apart_and_classes_have_one_line(tmp_path):
    for name in ODD:
        write(tmp_path / "c" / name / f"{name}.png", picture(ODD.index(name)))
    listing = list_images(tmp_path / "c")
    assert {entry.class_name for entry in listing.entries} == {*ODD, "a b"} - {"a\nb"}
    found = read(tmp_path / "c").index
    assert set(found["path"]) == {f"{name}/{name}.png" for name in ODD}
    assert "name" in kinds(listing.findings)["a b"]
    assert "name" in kinds(listing.findings)['it\'s "quoted"/it\'s "quoted".png']


def test_two_classes_with_one_name_in_one_line_are_refused(tmp_path):
    collection(tmp_path / "c", {"a b": 1, "a\nb": 1, "c": 1})
    with pytest.raises(ValueError, match="have the same name in one line; rename one of them"):
        list_images(tmp_path / "c")


def test_names_that_differ_only_in_case_are_told(tmp_path):
    root = collection(tmp_path / "c", {"Moth": 1, "moth": 1})
    write(root / "moth" / "A.png")
    write(root / "moth" / "a.png")
    assert kinds(list_images(root).findings) == {"moth": ["case"], "moth/a.png": ["case"]}


def test_a_name_that_is_not_utf8_is_left_out_and_told(tmp_path):
    root = collection(tmp_path / "c", {"a": 1, "b": 1})
    os.rename(os.fsencode(root / "a" / "000.png"), os.fsencode(root / "a") + b"/\xff.png")  # noqa: PTH104
    write(root / "a" / "1.png")
    listing = list_images(root)
    assert [entry.path for entry in listing.entries] == ["a/1.png", "b/000.png"]
    table = findings_table(listing.findings)
    assert table["path"].tolist() == ["a/�.png"]


def test_ids_depend_on_the_path_alone(tmp_path):
    # By hand: printf 'a/x.png' | sha256sum  begins with the 8 bytes below, of which the last bit is dropped.
    import hashlib

    assert image_id("a/x.png") == int(hashlib.sha256(b"a/x.png").hexdigest()[:16], 16) // 2
    assert image_id("a/\u00e9.png") == image_id("a/e\u0301.png"), "the two ways to write é"
    first = collection(tmp_path / "first", {"a": 3, "b": 2})
    second = collection(tmp_path / "second", {"a": 3, "b": 2, "0": 4})
    ids = [
        dict(zip(found["path"], found["image_id"], strict=True))
        for found in (read(first).index, read(second).index)
    ]
    assert ids[0].items() <= ids[1].items()


def test_the_order_of_the_file_system_does_not_matter(tmp_path, monkeypatch):
    root = collection(tmp_path / "c", {"a": 4, "b": 3})
    expected = read(root)
    real = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda path: sorted(real(path), key=lambda item: item.name, reverse=True)
    )
    found = read(root, threads=3)
    pd.testing.assert_frame_equal(found.index, expected.index)
    assert torch.equal(found.images.images, expected.images.images)
    assert list_images(root).digest() == list_images(tmp_path / "c").digest()


def test_the_digest_changes_with_files_but_not_with_times_or_places(tmp_path):
    root = collection(tmp_path / "c", {"a": 2, "b": 2})
    before = list_images(root).digest()
    os.utime(root / "a" / "000.png", (0, 0))
    moved = root.rename(tmp_path / "moved")
    assert list_images(moved).digest() == before
    write(moved / "a" / "000.png", picture(99, 40, 40))
    changed = list_images(moved).digest()
    assert changed != before
    (moved / "b" / "001.png").unlink()
    assert list_images(moved).digest() not in (before, changed)


# -- a csv


def csv_of(folder, rows, columns=("path", "label")):
    folder.mkdir(exist_ok=True)
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return folder / "list.csv"


def test_a_csv_gives_labels_split_and_groups(tmp_path):
    for name in "abcd":
        write(tmp_path / f"{name}.png")
    rows = [
        ("a.png", "x/y, z", "train", "night 1"),
        ("b.png", "x/y, z", "test", "night 2"),
        ("c.png", "ü\nv", "train", ""),
        ("d.png", "ü\nv", "test", ""),
    ]
    path = csv_of(tmp_path, rows, ("path", "label", "split", "night"))
    entries = list_images(path, Choices(group_column="night")).entries
    assert [(e.path, e.class_name, e.subset, e.group) for e in entries] == [
        ("a.png", "x/y, z", "train", "night 1"),
        ("b.png", "x/y, z", "test", "night 2"),
        ("c.png", "ü v", "train", ""),
        ("d.png", "ü v", "test", ""),
    ]


def test_a_group_that_is_written_in_two_ways_is_one_and_told(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.png")
    rows = [("a.png", "x", "caf\u00e9 1"), ("b.png", "x", "cafe\u0301  1 "), ("c.png", "y", " ")]
    listing = list_images(csv_of(tmp_path, rows, ("path", "label", "group")))
    assert [entry.group for entry in listing.entries] == ["caf\u00e9 1", "caf\u00e9 1", ""]
    assert [(f.path, f.kind, f.action) for f in listing.findings] == [("caf\u00e9 1", "name", "made one")]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a.png", "x")], ("file", "label"), "lacks the columns path; it has 'file', 'label'"),
        (
            [("a.png", "x", "1")],
            ("path", "label", "splits"),
            r"has a column 'splits', which may be the split. Say so by .*columns: {split: splits}",
        ),
        (
            [("gone.png", "x"), ("away.png", "y")],
            ("path", "label"),
            "none of the 2 files that it names exists, such as .*gone.png",
        ),
        (
            [("a.png", "x", "train"), ("gone.png", "y", "test")],
            ("path", "label", "split"),
            "no row with a file has the split 'test'",
        ),
        (
            [("a.png", "x"), ("a.png", "y")],
            ("path", "label"),
            "row 3: a.png stands in row 2 too, as 'x' and not 'y'; keep one",
        ),
        ([("a.png", " ")], ("path", "label"), "row 2: path or label is empty"),
        ([("a.png",)], ("path", "label"), "row 2: it has more or fewer fields"),
        (
            [("a.png", "x", "dev")],
            ("path", "label", "split"),
            "row 2: split is 'dev'; allowed: train, val, test",
        ),
        ([("a.png", "x", "train")], ("path", "label", "split"), "no row with a file has the split 'test'"),
        ([("a.png", "x")], ("path", "label"), "has one class with images, 'x'; at least two are needed"),
        ([("a.png", "x", "y")], ("path", "label", "label"), "has the column 'label' more than once"),
    ],
)
def test_a_wrong_csv_gets_one_clear_message(tmp_path, rows, columns, message):
    write(tmp_path / "a.png")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        list_images(csv_of(tmp_path, rows, columns))


def test_a_row_whose_file_is_missing_is_left_out_and_told(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.png", picture(ord(name)))
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "no.png")
    rows = [("a.png", "x"), ("gone.png", "x"), ("b.png", "y"), ("nowhere.png", "y"), ("z/only.png", "z")]
    listing = list_images(csv_of(tmp_path, rows))
    assert [entry.path for entry in listing.entries] == ["a.png", "b.png"]
    assert kinds(listing.findings) == {
        path: ["missing"] for path in ("gone.png", "nowhere.png", "z/only.png")
    }
    collection_ = read(tmp_path / "list.csv")
    assert len(collection_.images.labels) == 2
    table, _ = check(collection_.index, findings_table(collection_.findings), True, **SPLIT)
    gone = table[table["path"] == "gone.png"].iloc[0]
    assert gone["found"] == "a file that does not exist, named in row 3 of the list"
    assert gone["action"] == "refused, as strict is set; else: left out"
    digest = listing.digest()
    write(tmp_path / "gone.png", picture(9))
    assert list_images(tmp_path / "list.csv").digest() != digest


def test_what_is_no_collection_gets_one_clear_message(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match="missing does not exist; give a folder of class folders, or a table with the columns",
    ):
        list_images(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"a\.png cannot be read as text: .*save it in UTF-8"):
        list_images(write(tmp_path / "a.png"))
    with pytest.raises(ValueError, match="no class with images"):
        list_images(tmp_path)
    with pytest.raises(ValueError, match="there is no column 'night'"):
        list_images(tmp_path, Choices(group_column="night"))


# -- what is decoded


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """Every kind of file that collections have, and what must be said about each."""
    root = tmp_path_factory.mktemp("nasty") / "c"
    collection(root, {"good": 6, "other": 5})
    jpeg = io.BytesIO()
    picture(50, 200, 150).save(jpeg, "JPEG")
    png = io.BytesIO()
    picture(51, 200, 150).save(png, "PNG")
    rotated = Image.Exif()
    rotated[0x0112] = 6
    bad = root / "bad"
    bad.mkdir()
    for name, content in {
        "empty.jpg": b"",
        "text.jpg": "not an image but a note, über".encode(),
        "binary.png": bytes(range(256)),
        "truncated.jpg": jpeg.getvalue()[:-2000],
        "truncated.png": png.getvalue()[:-500],
        "half.jpg": jpeg.getvalue()[:300],
    }.items():
        (bad / name).write_bytes(content)
    write(bad / "cmyk.jpg", picture(60).convert("CMYK"))
    write(bad / "grey16.png", Image.fromarray(np.arange(320, dtype=np.uint16).reshape(16, 20) * 200))
    write(bad / "animated.gif", picture(61), save_all=True, append_images=[picture(62), picture(63)])
    write(bad / "rotated.jpg", picture(64, 40, 20), exif=rotated)
    write(bad / "dot.png", Image.new("RGB", (1, 1)))
    write(bad / "wide.png", Image.new("L", (30_001, 2)))
    write(bad / "clear.png", Image.new("RGBA", (9, 9), (255, 0, 0, 0)))
    write(bad / "float.tif", Image.fromarray(np.random.default_rng(0).random((9, 9), dtype=np.float32)))
    write(root / "ruined" / "x.png").write_bytes(b"")
    return read(root, size=32, threads=2)


@pytest.mark.parametrize(
    ("name", "kind", "action"),
    [
        ("empty.jpg", "empty", "left out"),
        ("text.jpg", "text", "left out"),
        ("binary.png", "unreadable", "left out"),
        ("truncated.jpg", "truncated", "left out"),
        ("truncated.png", "truncated", "left out"),
        ("half.jpg", "truncated", "left out"),
        ("dot.png", "too small", "left out"),
        ("wide.png", "too large", "left out"),
        ("float.tif", "unreadable", "left out"),
        ("cmyk.jpg", "CMYK", "converted to RGB without its colour profile"),
        ("grey16.png", "16-bit", "the upper 8 are kept"),
        ("animated.gif", "animated", "the first one is used"),
        ("rotated.jpg", "EXIF-rotated", "turned upright"),
        ("clear.png", "transparent", "laid on white"),
    ],
)
def test_every_file_that_is_not_plain_is_told_with_what_is_done(nasty, name, kind, action):
    own = [finding for finding in nasty.findings if finding.path == f"bad/{name}"]
    assert [(finding.kind, finding.action) for finding in own] == [(kind, action)]
    assert (f"bad/{name}" in set(nasty.index["path"])) == (action != "left out")


def test_nothing_is_lost_without_a_word(nasty):
    left_out = {finding.path for finding in nasty.findings if finding.action == "left out"}
    everything = {path for path in left_out | set(nasty.index["path"]) if "." in path}
    assert len(everything) == 6 + 5 + 14 + 1
    assert kinds(nasty.findings)["ruined"] == ["empty class"]
    assert nasty.images.class_names == ["bad", "good", "other"]


def test_pixels_are_those_that_prediction_sees(nasty, tmp_path):
    path = write(tmp_path / "a.png", picture(0))
    index = nasty.index.set_index("path")
    place = nasty.images.image_ids.tolist().index(index.loc["good/000.png", "image_id"])
    assert torch.equal(nasty.images.images[place], decode(path, 32))
    assert (index.loc["bad/rotated.jpg", "width"], index.loc["bad/rotated.jpg", "height"]) == (20, 40)


def test_a_collection_of_one_usable_class_is_refused(tmp_path):
    root = collection(tmp_path / "c", {"a": 3, "b": 1})
    (root / "b" / "000.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"usable images of 1 classes.*b/000.png \(is empty\)"):
        read(root)


# -- duplicates


def test_the_difference_hash_is_what_it_says():
    rising, falling = np.tile(np.arange(9), (8, 1)), np.tile(np.arange(9)[::-1], (8, 1))
    assert (difference_hash(rising), difference_hash(falling)) == (0, 2**64 - 1)
    one = rising.copy()
    one[7, 8] = 0
    assert difference_hash(one) == 1, "the last comparison is the last bit"


@settings(max_examples=15)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_every_pair_within_three_bits_is_found_and_no_other(hashes, draws):
    near = hashes[0]
    for _ in range(3):
        near ^= 1 << draws.randrange(64)
    hashes = np.array([*hashes, near], dtype=np.uint64)
    thumbnails = np.zeros((len(hashes), 16, 16), dtype=np.uint8)
    expected = [
        (a, b)
        for a in range(len(hashes))
        for b in range(a + 1, len(hashes))
        if bin(int(hashes[a]) ^ int(hashes[b])).count("1") <= 3
    ]
    assert near_duplicates(hashes, thumbnails) == expected


def test_links_connect():
    assert connected(6, [(3, 1), (4, 3), (5, 5)]).tolist() == [0, 1, 2, 1, 1, 5]


def test_copies_and_lookalikes_are_found_and_stay_on_one_side(tmp_path):
    root = collection(tmp_path / "c", {"b": 20})
    originals = [picture(seed, 80, 64) for seed in range(100, 130)]
    for number, original in enumerate(originals):
        write(root / "a" / f"{number:03}.png", original)
    for number in range(0, 30, 3):
        (root / "a" / f"copy {number}.png").write_bytes((root / "a" / f"{number:03}.png").read_bytes())
        write(root / "a" / f"small {number}.jpg", originals[number].resize((60, 48)), quality=80)
    (root / "b" / "wrong.png").write_bytes((root / "a" / "001.png").read_bytes())
    found = read(root, size=32)
    told = kinds(found.findings)
    pairs = Counter(kind for names in told.values() for kind in names if "duplicate" in kind)
    # Whichever of three copies has the smallest id, the two others are told.
    assert sum(pairs.values()) == 20
    assert 11 >= pairs["exact duplicate"] > 1 and pairs["near duplicate"] >= 10
    across = [finding for finding in found.findings if "of class" in finding.found]
    assert [(finding.kind, finding.refused) for finding in across] == [("label conflict", True)]
    subsets = natural_split(found.index, **SPLIT)[0].set_index("image_id")["subset"]
    sides = found.index.assign(side=found.index["image_id"].map(subsets)).groupby("twin")["side"].nunique()
    assert sides.max() == 1
    without = read(root, size=32, near=False)
    assert sum("near" in finding.kind for finding in without.findings) == 0


def test_duplicates_that_a_given_split_divides_are_told(tmp_path):
    for name in "abcd":
        write(tmp_path / f"{name}.png", picture(ord(name)))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    rows = [("a.png", "x", "train"), ("b.png", "x", "test"), ("c.png", "y", "train"), ("d.png", "y", "test")]
    found = read(csv_of(tmp_path, rows, ("path", "label", "split")))
    (finding,) = (finding for finding in found.findings if "duplicate" in finding.kind)
    assert finding.refused
    assert {"train", "test"} <= set(finding.found.replace(",", "").split())
    assert "accuracies are too high" in finding.action


# -- the split


def index_of(counts, group=None):
    rows = [(name, number) for name, count in counts.items() for number in range(count)]
    table = pd.DataFrame(rows, columns=["class_name", "number"])
    table["image_id"] = [image_id(f"{name}/{number}") for name, number in rows]
    table["group"] = [group(name, number) if group else "" for name, number in rows]
    return table.assign(subset="", twin=table["image_id"])


def counts_of(split, subset):
    return split.loc[split["subset"] == subset, "class_name"].value_counts().to_dict()


def test_every_class_is_divided_by_its_shares_and_keeps_its_count():
    split, findings = natural_split(index_of({"a": 100, "b": 30, "c": 10, "d": 4}), **SPLIT)
    assert counts_of(split, "test") == {"a": 20, "b": 6, "c": 3, "d": 3}
    assert counts_of(split, "val") == {"a": 10, "b": 3, "c": 1}
    assert counts_of(split, "train") == {"a": 70, "b": 21, "c": 6, "d": 1}
    assert findings == []
    assert split["longtailed"].eq(split["subset"] != "val").all()
    balanced = split[in_set(split, "balanced")]
    assert counts_of(balanced, "train") == dict.fromkeys("abcd", 1)
    assert counts_of(balanced, "test") == dict.fromkeys("abcd", 3)
    for cut, expected in (("thirds", "head middle tail tail"), ("counts", "medium medium few few")):
        groups = class_table(with_groups(split, cut), "longtailed").set_index("class_name")["group"]
        assert groups.to_dict() == dict(zip("abcd", expected.split(), strict=True))


@settings(max_examples=10)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=6),
    st.integers(1, 5),
    st.integers(0, 3),
    st.booleans(),
)
def test_laws_of_the_split(sizes, least, seed, grouped):
    counts = {f"c{i}": size for i, size in enumerate([60, *sizes])}
    index = index_of(counts, (lambda name, number: f"night {number // 4}") if grouped else None)
    options = {**SPLIT, "min_test_per_class": least, "seed": seed}
    try:
        split, findings = natural_split(index, **options)
    except ValueError as error:
        assert grouped and "no image is left" in str(error)  # one night may hold everything
        return
    assert sorted(split["image_id"]) == sorted(index["image_id"]), "every image is somewhere, once"
    assert set(counts_of(split, "train")) == set(counts), "every class trains"
    tested = counts_of(split, "test")
    small = {finding.path for finding in findings}
    assert set(tested) == set(counts) - small
    assert min(tested.values()) >= least
    if grouped:
        nights = index.set_index("image_id")["group"]
        assert (
            split.assign(night=split["image_id"].map(nights)).groupby("night")["subset"].nunique().max() == 1
        )
    else:
        assert small == {name for name, count in counts.items() if count <= least}
    again, _ = natural_split(index.sample(frac=1, random_state=seed), **options)
    pd.testing.assert_frame_equal(again, split)


def test_one_more_image_moves_few_others():
    before, _ = natural_split(index_of({"a": 100, "b": 40}), **SPLIT)
    after, _ = natural_split(index_of({"a": 101, "b": 40}), **SPLIT)
    both = before.merge(after, on="image_id")
    assert len(both) == 140
    assert (both["subset_x"] != both["subset_y"]).sum() <= 2
    other, _ = natural_split(index_of({"a": 100, "b": 40}), **{**SPLIT, "seed": 2})
    assert (before["subset"] != other["subset"]).sum() > 20


def test_a_big_group_is_not_drawn_for_a_small_share():
    index = index_of(
        {"a": 100, "b": 100}, lambda name, number: name + ("big" if number < 60 else str(number))
    )
    for seed in range(5):
        split, _ = natural_split(index, **{**SPLIT, "seed": seed})
        assert counts_of(split, "test") == {"a": 20, "b": 20}


def test_small_classes_are_refused_kept_or_merged():
    index = index_of({"a": 50, "b": 40, "c": 3, "d": 2})
    with pytest.raises(
        ValueError, match=r"2 of 4 classes are too small.*'c' \(3 images\), 'd' \(2 images\).*merge"
    ):
        natural_split(index, **{**SPLIT, "small_classes": "error"})
    split, findings = natural_split(index, **SPLIT)
    assert counts_of(split, "train")["c"] == 3
    assert "c" not in counts_of(split, "test")
    assert [(f.path, f.action) for f in findings] == [("c", "only trains"), ("d", "only trains")]
    split, findings = natural_split(index, **{**SPLIT, "small_classes": "merge"})
    assert split.drop_duplicates("label")["class_name"].sort_values().tolist() == ["a", "b", "other"]
    assert counts_of(split, "test")["other"] == 3
    assert [(f.path, f.action) for f in findings] == [
        ("c", "merged into 'other'"),
        ("d", "merged into 'other'"),
    ]
    with pytest.raises(ValueError, match=r"merging the small classes does not help.*'other' \(2 images"):
        natural_split(index_of({"a": 50, "d": 2}), **{**SPLIT, "small_classes": "merge"})


def test_a_given_split_is_taken_and_validation_cut_from_its_training_images():
    index = index_of({"a": 40, "b": 20})
    index["subset"] = np.where(index["number"] < 5, "test", "train")
    split, _ = natural_split(index, **SPLIT)
    given_test = set(index.loc[index["subset"] == "test", "image_id"])
    assert set(split.loc[split["subset"] == "test", "image_id"]) == given_test
    assert counts_of(split, "val") == {"a": 4, "b": 2}
    index.loc[index["number"] == 7, "subset"] = "val"
    split, _ = natural_split(index, **SPLIT)
    assert counts_of(split, "val") == {"a": 1, "b": 1}


def test_merged_classes_reach_the_tensors(tmp_path):
    root = collection(tmp_path / "c", {"a": 40, "b": 12, "c": 3, "d": 3})
    found = read(root, size=8)
    split, _ = natural_split(found.index, **{**SPLIT, "small_classes": "merge"})
    for scratch in (None, tmp_path):
        chosen = select_set(found.images, split, "train_longtailed", scratch)
        assert chosen.class_names == ["a", "b", "other"]
        rows = split[(split["subset"] == "train")].sort_values("image_id")
        assert chosen.labels.tolist() == rows["label"].tolist()
        image_of = dict(zip(found.images.image_ids.tolist(), found.images.images, strict=True))
        assert all(
            torch.equal(image_of[i], image)
            for i, image in zip(chosen.image_ids.tolist(), chosen.images, strict=True)
        )


def test_a_set_too_large_for_the_memory_is_read_from_a_file(tmp_path, monkeypatch):
    found = read(collection(tmp_path / "c", {"a": 20, "b": 12}), size=8)
    split, _ = natural_split(found.index, **SPLIT)
    expected = select_set(found.images, split, "train_longtailed")
    monkeypatch.setattr("longtail.data.tensors.selection.LARGE", 1)
    chosen = select_set(found.images, split, "train_longtailed", tmp_path)
    assert torch.equal(chosen.images, expected.images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


def test_a_balanced_set_of_single_images_is_refused():
    index = index_of({"a": 40, "b": 4})
    split, _ = natural_split(index, **SPLIT)
    from longtail.data.tensors.files import LabelledImages

    ids = torch.tensor(sorted(index["image_id"]))
    names = index.set_index("image_id")["class_name"]
    labels = torch.tensor([int(names[int(i)] == "b") for i in ids])
    images = LabelledImages(torch.zeros(len(ids), 3, 1, 1, dtype=torch.uint8), labels, ids, ["a", "b"])
    with pytest.raises(ValueError, match=r"cut to the 1 training images of 'b'.*train_sets: \[longtailed\]"):
        select_set(images, split, "train_balanced")
    assert len(select_set(images, split, "train_longtailed").labels) == (split["subset"] == "train").sum()


# -- what is said about it


def test_the_check_says_what_strict_and_small_classes_would_do(nasty):
    found = findings_table(nasty.findings)
    settings_ = {**SPLIT, "min_test_per_class": 5, "small_classes": "error"}
    table, _ = check(nasty.index, found, False, **settings_)
    small = table[table["kind"] == "small class"]
    assert set(small["path"]) == {"bad", "other"}
    assert small["action"].str.contains("refused").all()
    strict, _ = check(nasty.index, found, True, **settings_)
    assert (
        strict.loc[strict["path"] == "bad/empty.jpg", "action"].item()
        == "refused, as strict is set; else: left out"
    )
    assert strict.loc[strict["path"] == "bad/rotated.jpg", "action"].item() == "turned upright"
    with pytest.raises(ValueError, match=r"strict refuses this collection: .*3 x truncated.*strict: false"):
        require_none(found)
    require_none(found[~found["refused"]])


def check_of(found, **changes):
    """The findings as `check` returns them, and what a terminal and the page show."""
    given = {**SPLIT, **changes}
    table, split = check(found.index, findings_table(found.findings), given.pop("strict", False), **given)
    return table, screen(table, found.index, split), page(table, 1, 1, class_sizes(found.index, split))


def test_what_matters_comes_first_and_hundreds_of_small_things_last(tmp_path):
    root = tmp_path / "c"
    for label, count in {"a b": 30, "c d": 24}.items():
        for number in range(count):
            image = picture(len(label) * 1000 + ord(label[0]) * 100 + number).convert("RGBA")
            image.putpixel((0, 0), (0, 0, 0, 0))
            write(root / label / f"{number} x.png", image)
    (root / "c d" / "copy.png").write_bytes((root / "a b" / "3 x.png").read_bytes())
    (root / "c d" / "bad.jpg").write_bytes(b"")
    table, shown, text = check_of(read(root))
    assert table["kind"].tolist()[:2] == ["label conflict", "empty"]
    assert table["kind"].value_counts().to_dict() == {
        "name": 56,
        "transparent": 55,
        "label conflict": 1,
        "empty": 1,
    }
    assert "113 findings: 1 to mend first, 1 to look at, 111 for information." in shown
    assert "To mend first: 1 x label conflict, such as " in shown and "transparent" not in shown
    assert "Left out: 1 empty." in shown
    assert shown.endswith("The workflow takes it.")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "| to mend first | label conflict | both are kept, on the same side of the split | 1 |" in lines
    assert lines[4] == "The workflow takes it."
    assert len(lines) < 80 and "71 more of these kinds are in check.csv." in lines
    _, strict, _ = check_of(read(root), strict=True)
    assert strict.endswith("The workflow refuses this collection (label conflict, empty).")


def test_the_screen_has_classes_with_their_sets_and_groups(tmp_path):
    rows = []
    for label, count in {"big": 24, "small": 3}.items():
        for number in range(count):
            write(tmp_path / f"{label}{number}.png", picture(hash(label) % 1000 + number))
            rows.append((f"{label}{number}.png", label, f"{label}{number // 2}" if number < 20 else ""))
    found = read(csv_of(tmp_path, rows, ("path", "label", "group")), near=False)
    _, shown, _ = check_of(found, small_classes="error")
    lines = [line.split() for line in shown.splitlines()]
    assert ["class", "images", "groups", "train", "val", "test"] in lines
    (big,) = (line for line in lines if line[:1] == ["big"])
    assert big[1:3] == ["24", "14"] and sum(map(int, big[3:])) == 24
    assert shown.endswith("The workflow refuses this collection (small class).")
    many = pd.concat([found.index.assign(class_name=f"c{number:02}") for number in range(40)])
    text = screen(findings_table([]), many, None)
    assert "  … 10 classes between them" in text.splitlines()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"classes": {"exclude": ["moth c"]}}, {"moth a": 40, "moth b": 30, "tiny": 4, "few": 3}),
        ({"classes": {"merge": {"moth": ["/^moth/"]}}}, {"moth": 90, "tiny": 4, "few": 3}),
        (
            {"classes": {"rename": {"moth c": "bee"}}},
            {"moth a": 40, "moth b": 30, "bee": 20, "tiny": 4, "few": 3},
        ),
        ({"classes": {"min_images": 10}}, {"moth a": 40, "moth b": 30, "moth c": 20}),
        (
            {"small_classes": "merge", "min_test_per_class": 4},
            {"moth a": 40, "moth b": 30, "moth c": 20, "other": 7},
        ),
        ({"small_classes": "error"}, {"moth a": 40, "moth b": 30, "moth c": 20, "tiny": 4, "few": 3}),
        ({"classes": {"exclude": ["/./"]}}, {"moth a": 40, "moth b": 30, "moth c": 20, "tiny": 4, "few": 3}),
    ],
    ids=["exclude", "merge", "rename", "min_images", "small merged", "small refused", "no split"],
)
def test_the_screen_and_the_headline_have_the_classes_that_will_be_trained(changes, expected):
    index = index_of({"moth a": 40, "moth b": 30, "moth c": 20, "tiny": 4, "few": 3})
    table, split = check(index, findings_table([]), False, **{**SPLIT, **changes})
    lines = screen(table, index, split).splitlines()
    told = f"{sum(expected.values())} usable images of {len(expected)} classes. "
    assert lines[0].startswith(told), lines[0]
    rows = [line.split() for line in lines[3 : 3 + len(expected)]]
    assert lines[3 + len(expected)] == ""
    own = 1 if split is None else 4  # the images, and those of each set of the split
    assert {" ".join(row[:-own]): int(row[-own]) for row in rows} == expected
    assert split is None or all(int(row[-4]) == sum(map(int, row[-3:])) for row in rows)


def test_images_that_are_alike_stand_side_by_side_on_the_page(tmp_path):
    root = collection(tmp_path / "c", {"a": 6, "b": 6})
    original = picture(77, 80, 64)
    write(root / "a" / "first.png", original)
    write(root / "a" / "second.jpg", original.resize((60, 48)), quality=80)
    found = read(root, size=24)
    table, _, _ = check_of(found)
    (pair,) = alike(table).itertuples()
    assert {pair.path, pair.other} == {"a/first.png", "a/second.jpg"}
    save_tensors(found.images, tmp_path / "images.pth")
    write_parquet(found.index, tmp_path / "index.parquet")
    write_parquet(findings_table(found.findings), tmp_path / "findings.parquet")
    inputs = ["--index", tmp_path / "index.parquet", "--findings", tmp_path / "findings.parquet"]
    made = {"csv": "csv", "markdown": "md", "html": "html", "text": "txt"}
    outputs = [f"--output-{name}={tmp_path}/x.{ending}" for name, ending in made.items()]
    settings_ = ["--settings", json.dumps({**SPLIT, "strict": False})]
    run_program("check_data", *inputs, "--images", tmp_path / "images.pth", *settings_, *outputs)
    web = (tmp_path / "x.html").read_text()
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)"', web)
    assert len(pictures) == 2
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in pictures]
    expected = np.asarray(original.resize((128, 128)))
    assert all(np.abs(image.astype(int) - expected).mean() < 20 for image in shown)
    assert "data:image" not in (tmp_path / "x.md").read_text()


def test_the_page_shows_any_name_in_one_row():
    from longtail.data.collection.listing import Finding

    table = findings_table(
        [Finding("a|b\n*c*.png", "name", "x", "kept"), Finding("z", "text", "y", "left out")]
    )
    lines = [" ".join(line.split()) for line in page(table, 1234, 5).splitlines()]
    assert lines[2] == "1,234 usable images of 5 classes; 2 findings."
    assert r"| a\|b\\n\*c\*.png | name | x | kept |" in lines


# -- lists without images


def test_lists_give_counts(tmp_path):
    (tmp_path / "train.txt").write_text(
        "".join(f"x/{i}.jpg {i % 2 and 1}\n" for i in range(240)) + "y z/a.jpg 2\n"
    )
    (tmp_path / "test.txt").write_text("t/0.jpg 0\nt/1.jpg 1\nt/2.jpg 2\n\n")
    (tmp_path / "names.txt").write_text("moth\nbee\nant\n")
    lists = {"train": tmp_path / "train.txt", "test": tmp_path / "test.txt"}
    split = split_of_lists(lists, class_names=tmp_path / "names.txt")
    assert counts_of(split, "train") == {"moth": 120, "bee": 120, "ant": 1}
    assert class_table(with_groups(split, "counts"), "longtailed")["group"].tolist() == [
        "many",
        "many",
        "few",
    ]
    assert in_set(split[split["subset"] == "test"], "balanced").all()
    assert not in_set(split[split["subset"] == "train"], "balanced").any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 0\nb.jpg\n", "line 2: found 'b.jpg'; expected a path, a space and a label from 0"),
        ("a.jpg 0\nb.jpg -1\n", "line 2: found 'b.jpg -1'"),
        ("a.jpg 0\nb.jpg 1.0\n", "line 2: found"),
        ("a.jpg 0\n\nb.jpg 1000000000\n", "line 3: found"),
        (f"a.jpg 0\nb.jpg {10**30}\n", "line 2: found"),
        (f"a.jpg 0\nb.jpg {'9' * 5000}\n", "line 2: found"),
        ("a.jpg 0\nb.jpg ٣\n", "line 2: found"),
        (
            "a.jpg 0\n\nb.jpg 999999999\n",
            "line 3: the label is 999999999, but the lists have 2 different labels",
        ),
        (
            "a.jpg 1\nb.jpg 2\n",
            "line 2: the label is 2, but the lists have 2 different labels, which count from 0",
        ),
        ("\n", "lists no image"),
        ("ä.jpg 0\n".encode("latin-1"), "is no text in UTF-8"),
    ],
)
def test_a_wrong_list_names_the_line(tmp_path, text, message):
    path = tmp_path / "l.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        split_of_lists({"train": path})
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            "a/x.jpg 0\nb.jpg 1\n",
            "c.jpg 0\na/x.jpg 0\n",
            "test, line 2: the image a/x.jpg stands in .*train, line 1 too",
        ),
        (
            "a/x.jpg 0\nb.jpg 1\n",
            "./a//x.jpg 1\n",
            "test, line 1: the image ./a//x.jpg stands in .*train, line 1 too",
        ),
        ("a/x.jpg 0\nb.jpg 1\n", "a\\x.jpg 1\n", r"test, line 1: the image a\\x.jpg stands in"),
        ("\u00e9.jpg 0\nb.jpg 1\n", "e\u0301.jpg 1\n", "test, line 1: the image"),
        (
            "a.jpg 0\nb.jpg 1\n\na.jpg 0\n",
            "c.jpg 0\n",
            "train, line 4: the image a.jpg stands in .*train, line 1 too",
        ),
    ],
)
def test_an_image_that_lists_name_twice_is_refused(tmp_path, train, test, message):
    (tmp_path / "train").write_text(train)
    (tmp_path / "test").write_text(test)
    with pytest.raises(ValueError, match=message):
        split_of_lists({"train": tmp_path / "train", "test": tmp_path / "test"})


@pytest.mark.parametrize(
    ("names", "count"), [(["moth", "bee", "ant"], 3), (["class", "moth", "bee"], 3), ("abcd", 4)]
)
def test_more_names_than_labels_are_refused(tmp_path, names, count):
    (tmp_path / "train").write_text("x 0\ny 1\n")
    (tmp_path / "names").write_text("\n".join(names))
    with pytest.raises(
        ValueError, match=rf"names has {count} names, but the largest label of the lists is 1"
    ):
        split_of_lists({"train": tmp_path / "train"}, class_names=tmp_path / "names")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("cat\ndog\ncat\n", "names, line 3: 'cat' is the name in line 1 too"),
        ("cat  x\ncat x\n", "line 2: 'cat x' is the name in line 1"),
        ("\u00e9\ne\u0301\n", "line 2: '\u00e9' is the name in line 1"),
        ("cat\n\x1b[31mdog\n", "line 2: .* has a control character"),
        ("cat\n\u202edog\n", "line 2: .* has a control character"),
    ],
)
def test_names_of_classes_in_a_list_are_different_and_do_nothing(tmp_path, names, message):
    (tmp_path / "train").write_text("".join(f"{label} {label}\n" for label in range(names.count("\n"))))
    (tmp_path / "names").write_text(names)
    with pytest.raises(ValueError, match=message):
        split_of_lists({"train": tmp_path / "train"}, class_names=tmp_path / "names")


def test_a_label_without_a_name_is_refused_and_a_name_without_images_is_not(tmp_path):
    for name, text in {"train": "a 0\nb 2\n", "test": "c 0\n\nd 3\n", "names": "moth\nbee\nant\n"}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(
        ValueError, match=r"test, line 3: the label is 3, but .*names has 3 names; add the others"
    ):
        split_of_lists({s: tmp_path / s for s in ("train", "test")}, class_names=tmp_path / "names")
    split = split_of_lists({"train": tmp_path / "train"}, class_names=tmp_path / "names")
    assert split["class_name"].tolist() == ["moth", "ant"]
    (tmp_path / "names").write_text("moth\n\nbee\nant\n\n")
    with pytest.raises(ValueError, match=r"names, line 2: the name of a class is missing"):
        split_of_lists({"train": tmp_path / "train"}, class_names=tmp_path / "names")


# -- the programs


def test_programs_carry_a_collection_to_tensor_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("longtail.report.fonts._installed", lambda: {"Kana": frozenset(map(ord, "アゲハ"))})
    root = collection(tmp_path / "c", {"ä b": 30, "🦋": 12, "x": 6})
    (root / "x" / "bad.jpg").write_bytes(b"")
    data = tmp_path / "data"
    made = {name: data / name for name in ("images.pth", "index.parquet", "findings.parquet")}
    decoding = {
        "columns": {},
        "group_column": "group",
        "regions": "crop",
        "min_confidence": None,
        "size": 12,
        "max_side": 30000,
        "min_side": 2,
        "near_duplicates": True,
        "resize": "stretch",
        "pad_with": None,
    }
    decode = ["--settings", json.dumps(decoding), "--threads", 2]
    outputs = ["--output-images", made["images.pth"], "--output-index", made["index.parquet"]]
    outputs += ["--output-findings", made["findings.parquet"]]
    run_program("folder_images", "--source", root, *decode, *outputs)
    assert "49/49" in capsys.readouterr().err, "the progress bar"
    division = {
        "seed": 1,
        "test_fraction": 0.2,
        "val_fraction": 0.1,
        "min_test_per_class": 2,
        "strict": False,
    }
    division |= {"small_classes": "error", "merged_name": "other"}
    tables = ["--index", made["index.parquet"], "--findings", made["findings.parquet"]]
    inputs = [*tables, "--settings", json.dumps(division)]
    run_program("folder_split", *inputs, "--output", data / "split.parquet")
    run_program(
        "check_data",
        *inputs,
        *("--images", made["images.pth"]),
        *("--output-csv", data / "c.csv", "--output-markdown", data / "c.md"),
        *("--output-html", data / "c.html", "--output-text", data / "c.txt"),
    )
    shown = (data / "c.txt").read_text()
    assert shown.startswith("48 usable images of 3 classes. ")
    assert "Left out: 1 empty." in shown and "The workflow takes it." in shown
    assert f"The page: {data / 'c.html'}" in shown
    told = pd.read_csv(data / "c.csv")
    assert told.loc[told["path"] == "x/bad.jpg", "kind"].tolist() == ["empty"]
    assert told.loc[told["kind"] == "letters", "path"].tolist() == ["🦋"]
    for name, expected in {
        "train_longtailed": [21, 9, 3],
        "test_longtailed": [6, 2, 2],
        "test_balanced": [2, 2, 2],
    }.items():
        words = ["--images", made["images.pth"], "--split", data / "split.parquet", "--subset", name]
        run_program("tensors", *words, "--output", data / f"{name}.pth")
        loaded = load_tensors(data / f"{name}.pth")
        assert sorted(torch.bincount(loaded.labels).tolist(), reverse=True) == expected
        assert loaded.class_names == sorted(["ä b", "🦋", "x"])
    with pytest.raises(SystemExit, match="strict refuses this collection: 1 x empty"):
        strict = ["--settings", json.dumps(division | {"strict": True})]
        run_program("folder_split", *tables, *strict, "--output", data / "strict.parquet")
    assert len(read_parquet(data / "split.parquet")) == 48
    with pytest.raises(SystemExit, match="gone does not exist"):
        run_program(
            "folder_images",
            "--source",
            tmp_path / "gone",
            *decode,
            *outputs,
        )
