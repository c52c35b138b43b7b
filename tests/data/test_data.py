"""Images, their division and their files: exact, independent of order, and never silently wrong."""

import functools
import gzip
import hashlib
import io
import json
import os
import pickle
import runpy
import struct
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import PAYLOADS, WRITERS, payloads

from longtail.data.sources import cifar100, digits
from longtail.data.split.balanced import assign_subsets
from longtail.data.split.imbalance import longtailed_counts
from longtail.data.split.longtailed import add_longtail, class_groups
from longtail.data.split.sets import SUBSETS
from longtail.data.tensors.files import LabelledImages, load_tensors, save_tensors
from longtail.data.tensors.selection import select_set
from longtail.files.parquet import read_parquet, write_parquet

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow/scripts"
COUNTS = json.loads((Path(__file__).parents[1] / "golden/imbalance_counts.json").read_text())["cases"]


def labelled(counts, *, ids=None, official_subset=None, seed=0):
    """Random images of 2 x 2 pixels, `counts[c]` of class c."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.randint(0, 256, (len(labels), 3, 2, 2), dtype=torch.uint8, generator=generator)
    ids = torch.arange(len(labels)) if ids is None else ids
    return LabelledImages(images, labels, ids, [f"class {c}" for c in range(len(counts))], official_subset)


def shuffled(data, seed):
    order = torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(seed))
    subset = data.official_subset and [data.official_subset[i] for i in order]
    return LabelledImages(
        data.images[order], data.labels[order], data.image_ids[order], data.class_names, subset
    )


def assert_same(first, second):
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.image_ids, second.image_ids)
    assert first.class_names == second.class_names
    assert first.official_subset == second.official_subset


# -- the archive of CIFAR-100


def python2_pickle(content):
    """`content` as Python 2's cPickle wrote the official archive: byte strings, NumPy's old module names."""
    return b"\x80\x02" + _python2(content) + b"."


def _python2(value):
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(key) + _python2(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode()
    order = value.flags.f_contiguous and not value.flags.c_contiguous
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01"
        + b"(" + b"".join(map(_python2, value.shape)) + b"t"
        + b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + _python2(-1) + _python2(-1) + b"K\x00tb"
        + (b"\x88" if order else b"\x89")
        + b"T" + struct.pack("<i", value.size) + value.tobytes(order="A")
        + b"tb"
    )  # fmt: skip


TRAIN = "cifar-100-python/train"
CLASS_NAMES = ["apple", "aquarium_fish", "baby"]
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 3072), dtype=np.uint8)
LABELS = [2, 0, 1, 0, 1, 2, 1, 2, 0, 1, 0, 2]


def members(write=python2_pickle, layout=np.ascontiguousarray):
    def images(rows):
        return {
            "filenames": [f"{row}.png" for row in range(12)[rows]],
            "batch_label": "part",
            "fine_labels": LABELS[rows],
            "coarse_labels": LABELS[rows],
            "data": layout(PIXELS[rows]),
        }

    return {
        "cifar-100-python/meta": write({"fine_label_names": CLASS_NAMES, "coarse_label_names": ["all"]}),
        "cifar-100-python/test": write(images(slice(9, 12))),
        "cifar-100-python/train": write(images(slice(0, 9))),
    }


def pack(path, content, extra=()):
    """A tar of `content` (name to bytes) and of `extra` (TarInfo, bytes); returns its SHA-256."""
    with tarfile.open(path, "w:gz") as tar:
        for member, data in [*extra, *((tarfile.TarInfo(name), data) for name, data in content.items())]:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(archive, sha256, folder):
    """The one message with which the archive is refused; nothing may have appeared beside it."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match=r"\S") as error:
        cifar100.load_images(archive, sha256)
    assert str(archive) in str(error.value)
    assert sorted(folder.rglob("*")) == before
    return str(error.value)


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "cifar-100-python.tar.gz"


def test_the_imitation_is_a_pickle_that_numpy_reads():
    content = {"C": PIXELS, "F": np.asfortranarray(PIXELS), "labels": LABELS}
    unpickled = pickle.loads(python2_pickle(content), encoding="latin1")
    assert np.array_equal(unpickled["C"], PIXELS)
    assert np.array_equal(unpickled["F"], PIXELS)
    assert unpickled["F"].flags.f_contiguous
    assert unpickled["labels"] == LABELS


@pytest.mark.parametrize(
    ("write", "layout"),
    [
        (python2_pickle, np.ascontiguousarray),
        (python2_pickle, np.asfortranarray),
        (functools.partial(pickle.dumps, protocol=4), np.ascontiguousarray),
    ],
    ids=["python 2", "python 2, Fortran order", "python 3"],
)
def test_reads_the_archive_in_the_order_of_its_files(archive, write, layout):
    data = cifar100.load_images(archive, pack(archive, members(write, layout)))
    assert data.class_names == CLASS_NAMES
    assert data.labels.tolist() == LABELS
    assert data.image_ids.tolist() == list(range(12))
    assert data.official_subset == ["train"] * 9 + ["test"] * 3
    # "The first 1024 entries contain the red channel values, the next 1024 the green, and the final 1024 the
    # blue. The image is stored in row-major order." (the data set's page)
    for image, channel, row, column in [(0, 0, 0, 0), (4, 0, 2, 31), (8, 1, 31, 0), (11, 2, 17, 5)]:
        assert data.images[image, channel, row, column] == PIXELS[image, channel * 1024 + row * 32 + column]


def test_opens_nothing_before_the_hash_matches(archive, tmp_path):
    pack(archive, members())
    message = refusal(archive, "0" * 64, tmp_path)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in message
    assert "0" * 64 in message


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_canary_sings(tmp_path, name):
    pickle.loads(pickle.dumps(payloads(tmp_path / "canary")[name]))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("member", ["meta", "train", "test"])
def test_no_payload_of_an_archive_runs(archive, tmp_path, member, name):
    hidden = pickle.dumps({"fine_label_names": [payloads(tmp_path / "canary")[name]]})
    sha256 = pack(archive, members() | {f"cifar-100-python/{member}": hidden})
    assert "which CIFAR-100 never does" in refusal(archive, sha256, tmp_path)


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_refuses_what_is_no_plain_file(archive, tmp_path, kind):
    content = members()
    train = content.pop("cifar-100-python/train")
    (tmp_path / "outside").write_bytes(train)
    sha256 = pack(archive, content, [special("cifar-100-python/train", kind, str(tmp_path / "outside"))])
    assert "cifar-100-python/train is a link, device or folder" in refusal(archive, sha256, tmp_path)


def test_writes_nothing_whatever_the_names_of_other_members(archive, tmp_path):
    others = [
        special("cifar-100-python", tarfile.DIRTYPE),
        special("cifar-100-python/link", tarfile.SYMTYPE, str(tmp_path)),
        (tarfile.TarInfo("../outside"), b"x"),
        (tarfile.TarInfo(str(tmp_path / "absolute")), b"x"),
        (tarfile.TarInfo("cifar-100-python/link/through"), b"x"),
        (tarfile.TarInfo("cifar-100-python/file.txt~"), b"x"),
    ]
    assert len(cifar100.load_images(archive, pack(archive, members(), others)).labels) == 12
    assert list(tmp_path.iterdir()) == [archive]


def pax_bomb(size):
    """A tar whose first header announces `size` bytes of further headers."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, size
    return header.tobuf() + bytes(size)


@pytest.mark.parametrize("where", ["wanted member", "other member", "header"])
def test_a_bomb_does_not_unpack(archive, tmp_path, monkeypatch, where):
    monkeypatch.setattr(cifar100, "MAX_UNPACKED_BYTES", 1_000_000)
    size = 50_000_000
    long_bytes = b"\x80\x04B" + struct.pack("<I", size) + bytes(size) + b"."
    if where == "header":
        archive.write_bytes(gzip.compress(pax_bomb(size), 1))
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    else:
        name = TRAIN if where == "wanted member" else "other"
        sha256 = pack(archive, members(), [(tarfile.TarInfo(name), long_bytes)])
    assert "unpacks to more than 1,000,000 bytes" in refusal(archive, sha256, tmp_path)


def without(name, entry):
    changed = members()
    content = pickle.loads(changed[name], encoding="latin1")
    del content[entry]
    return changed | {name: python2_pickle(content)}


def with_entry(name, **entries):
    changed = members()
    return changed | {name: python2_pickle(pickle.loads(changed[name], encoding="latin1") | entries)}


FOREIGN = {
    "another archive": ({"readme": b"hello"}, "has no cifar-100-python/meta"),
    "a member short": ({name: data for name, data in members().items() if name != TRAIN}, f"has no {TRAIN}"),
    "an entry short": (without(TRAIN, "fine_labels"), "no entry `fine_labels`"),
    "no pickle": (members() | {TRAIN: b"hello"}, "not an archive of CIFAR-100"),
    "no dict": (members() | {TRAIN: python2_pickle([1])}, "holds a list"),
    "a label short": (with_entry(TRAIN, fine_labels=LABELS[:8]), "one row per label"),
    "a label too large": (with_entry(TRAIN, fine_labels=[3] * 9), "found 0 to 3"),
    "narrow rows": (with_entry(TRAIN, data=PIXELS[:9, :1000]), "(9, 1000)"),
    "no array": (with_entry(TRAIN, data="pixels"), "instead of an array"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_says_what_is_wrong_with_a_foreign_archive(archive, tmp_path, case):
    content, finding = FOREIGN[case]
    assert finding in refusal(archive, pack(archive, content), tmp_path)


def test_refuses_a_member_that_occurs_twice(archive, tmp_path):
    twice = (tarfile.TarInfo(TRAIN), members()[TRAIN])
    assert "occurs twice" in refusal(archive, pack(archive, members(), [twice]), tmp_path)


def test_refuses_a_truncated_archive(archive, tmp_path):
    pack(archive, members())
    whole = archive.read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 50):
        archive.write_bytes(whole[:length])
        refusal(archive, hashlib.sha256(whole[:length]).hexdigest(), tmp_path)


# -- the digits


def test_digits_are_scikit_learns():
    data = digits.load_images()
    # Counts of the UCI test set, as published in its description.
    assert torch.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.images.shape == (1797, 3, 8, 8)
    # Its first image, a zero, begins 0 0 5 13 9 1 0 0, in grey values up to 16.
    assert data.images[0, :, 0].tolist() == [[0, 0, 80, 207, 143, 16, 0, 0]] * 3
    assert (int(data.images.min()), int(data.images.max())) == (0, 255)


# -- subsets and split


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


def test_groups_are_thirds_in_label_order():
    assert class_groups(100) == ["head"] * 33 + ["middle"] * 33 + ["tail"] * 34
    assert class_groups(10) == ["head"] * 3 + ["middle"] * 3 + ["tail"] * 4
    assert class_groups(2) == ["tail"] * 2


counts_of_classes = st.lists(st.integers(6, 12), min_size=1, max_size=7)
seeds = st.integers(0, 2**31)


def split_of(data, seed=0, train=3, test=2, factor=0.3):
    subsets = assign_subsets(data, train_per_class=train, test_per_class=test, seed=seed)
    return add_longtail(subsets, imbalance_factor=factor, seed=seed)


@settings(max_examples=20, deadline=None)
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


@settings(max_examples=20, deadline=None)
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


@settings(max_examples=20, deadline=None)
@given(counts=counts_of_classes, seed=seeds, order=seeds)
def test_the_choice_does_not_depend_on_the_order_of_the_images(counts, seed, order):
    data = labelled(counts, ids=torch.arange(sum(counts)) * 7 + 3)
    pd.testing.assert_frame_equal(split_of(data, seed), split_of(shuffled(data, order), seed))


@settings(max_examples=20, deadline=None)
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


def digest_of(split):
    rows = split[["image_id", "label", "subset", "longtailed", "group"]].to_csv(
        index=False, lineterminator="\n"
    )
    return hashlib.sha256(rows.encode()).hexdigest()


# -- sets and their files


@pytest.fixture(scope="module")
def long_split():
    data = shuffled(labelled([20] * 6), 1)
    return data, split_of(data, train=10, test=5, factor=0.2)


def test_sets_hold_the_images_that_the_split_names(long_split):
    data, split = long_split
    image_of = {int(image_id): image for image_id, image in zip(data.image_ids, data.images, strict=True)}
    conditions = {
        "train_balanced": split["subset"] == "train",
        "train_longtailed": (split["subset"] == "train") & split["longtailed"],
        "val": split["subset"] == "val",
        "test_balanced": split["subset"] == "test",
        "test_longtailed": (split["subset"] == "test") & split["longtailed"],
        "test_head": (split["subset"] == "test") & split["longtailed"] & split["label"].isin([0, 1]),
        "test_middle": (split["subset"] == "test") & split["longtailed"] & split["label"].isin([2, 3]),
        "test_tail": (split["subset"] == "test") & split["longtailed"] & split["label"].isin([4, 5]),
    }
    assert set(SUBSETS) == set(conditions)
    for name, condition in conditions.items():
        chosen = select_set(data, split.sample(frac=1, random_state=0), name)
        assert chosen.image_ids.tolist() == split.loc[condition, "image_id"].tolist()
        assert chosen.labels.tolist() == split.loc[condition, "label"].tolist()
        assert chosen.class_names == data.class_names
        for image_id, image in zip(chosen.image_ids.tolist(), chosen.images, strict=True):
            assert torch.equal(image, image_of[image_id])


def test_balanced_sets_need_only_the_balanced_subsets(long_split):
    data, split = long_split
    subsets = split.drop(columns=["longtailed", "group"])
    for name in ("train_balanced", "val", "test_balanced"):
        assert_same(select_set(data, subsets, name), select_set(data, split, name))
    for name in set(SUBSETS) - {"train_balanced", "val", "test_balanced"}:
        with pytest.raises(ValueError, match=f"'{name}' needs the split"):
            select_set(data, subsets, name)


def test_refuses_a_split_of_other_images(long_split):
    data, split = long_split
    with pytest.raises(ValueError, match="names image 100, which is not among the images"):
        select_set(
            LabelledImages(data.images[:0], data.labels[:0], data.image_ids[:0], data.class_names),
            split[split["image_id"] == 100].assign(subset="val"),
            "val",
        )
    relabelled = replace(data, labels=data.labels.roll(1))
    with pytest.raises(ValueError, match="labels of the split are not those of the images"):
        select_set(relabelled, split, "train_balanced")
    with pytest.raises(ValueError, match="no set 'test'; the sets are train_balanced"):
        select_set(data, split, "test")


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("official", [False, True])
def test_tensor_files_return_what_was_saved(tmp_path, official, mmap):
    data = labelled([3, 0, 2], official_subset=["train", "test"] * 2 + ["test"] if official else None)
    save_tensors(data, tmp_path / "a.pth")
    assert_same(load_tensors(tmp_path / "a.pth", mmap=mmap), data)
    assert set(torch.load(tmp_path / "a.pth", weights_only=True)) >= {
        "images",
        "labels",
        "image_ids",
        "class_names",
    }


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("official", [False, True])
def test_a_large_set_is_divided_among_files_and_read_as_one(tmp_path, official, mmap):
    data = labelled([5, 0, 6], official_subset=["train", "test"] * 5 + ["test"] if official else None)
    path = tmp_path / "a.pth"
    save_tensors(data, path, shard_bytes=4 * 12)  # 4 images of 12 bytes
    shards = sorted((tmp_path / "a.shards").iterdir())
    assert [shard.name for shard in shards] == ["0000.pth", "0001.pth", "0002.pth"]
    assert [len(load_tensors(shard).labels) for shard in shards] == [4, 4, 3]
    found = load_tensors(path, mmap=mmap)
    assert_same(replace(found, images=found.images[torch.arange(11)]), data)
    chosen = torch.tensor([10, 3, 3, 4, 0])
    assert torch.equal(found.images[chosen], data.images[chosen])
    assert torch.equal(found.images.index_select(0, chosen), data.images[chosen])
    assert torch.equal(found.images.to("cpu", copy=True), data.images)
    assert (found.images.shape, found.images.nbytes) == (data.images.shape, data.images.nbytes)
    if mmap:
        with pytest.raises(IndexError, match="positions 0 to 11 among 11 images"):
            found.images[torch.tensor([0, 11])]
    # The same set in one file, and again in several.
    save_tensors(found, tmp_path / "b.pth")
    save_tensors(data, tmp_path / "c.pth")
    assert (tmp_path / "b.pth").read_bytes() == (tmp_path / "c.pth").read_bytes()
    save_tensors(found, tmp_path / "d.pth", shard_bytes=4 * 12)
    assert (tmp_path / "d.pth").read_bytes() == path.read_bytes()
    for shard in shards:
        assert (tmp_path / "d.shards" / shard.name).read_bytes() == shard.read_bytes()


def test_a_set_is_chosen_from_a_divided_one(tmp_path, long_split, monkeypatch):
    data, split = long_split
    save_tensors(data, tmp_path / "a.pth", shard_bytes=data.images.nbytes // 7)
    for scratch, large in ((None, 2**30), (tmp_path, 1)):
        monkeypatch.setattr("longtail.data.tensors.selection.LARGE", large)
        found = select_set(load_tensors(tmp_path / "a.pth", mmap=True), split, "train_longtailed", scratch)
        assert_same(found, select_set(data, split, "train_longtailed"))


def test_what_a_larger_set_left_is_removed(tmp_path):
    path, folder = tmp_path / "a.pth", tmp_path / "a.shards"
    save_tensors(labelled([5, 6]), path, shard_bytes=24)
    assert len(list(folder.iterdir())) == 6
    save_tensors(labelled([2, 3]), path, shard_bytes=24)
    assert len(list(folder.iterdir())) == 3
    assert_same(load_tensors(path), labelled([2, 3]))
    save_tensors(labelled([2, 3]), path)
    assert not folder.exists()
    assert_same(load_tensors(path), labelled([2, 3]))


def cut(shard, other):
    shard.write_bytes(shard.read_bytes()[:-40])


def change_a_pixel(shard, other):
    content = torch.load(shard, weights_only=True)
    content["images"][0, 0, 0, 0] += 1
    torch.save(content, shard)


def remove(shard, other):
    shard.unlink()


def exchange(shard, other):
    shard.write_bytes(other.read_bytes())


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "is damaged"),
        (change_a_pixel, "does not match its checksum"),
        (remove, "it is missing, part 2 of 3"),
        (exchange, "it is a part of another set"),
    ],
)
def test_a_damaged_or_missing_part_is_named_with_the_remedy(tmp_path, damage, message, mmap):
    path = tmp_path / "a.pth"
    save_tensors(labelled([5, 6]), path, shard_bytes=4 * 12)
    damage(tmp_path / "a.shards/0001.pth", tmp_path / "a.shards/0000.pth")
    with pytest.raises(ValueError, match=message) as error:
        load_tensors(path, mmap=mmap)
    assert str(error.value).startswith(f"{tmp_path / 'a.shards/0001.pth'} is")
    assert f"Delete {path} and run the same command again" in str(error.value)


@pytest.mark.parametrize("shards", [[], ["0" * 64], "0" * 64, [1]])
def test_a_damaged_list_of_parts_is_refused(tmp_path, shards):
    torch.save({"shards": shards, "sha256": "0" * 64}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth is damaged or no tensor file of this project"):
        load_tensors(tmp_path / "a.pth")


def test_dividing_a_set_copies_none_of_its_images(tmp_path, monkeypatch):
    data = labelled([5, 6])
    written = []
    monkeypatch.setattr(torch, "save", lambda content, file: written.append(content.get("images")))
    save_tensors(data, tmp_path / "a.pth", shard_bytes=4 * 12)
    places = [images.data_ptr() - data.images.data_ptr() for images in written[:3]]
    assert places == [0, 48, 96], "each part is where it was"
    assert [images.untyped_storage().nbytes() for images in written[:3]] == [48, 48, 36]


def test_an_empty_set_is_a_file_too(tmp_path):
    save_tensors(labelled([0, 0]), tmp_path / "a.pth")
    assert load_tensors(tmp_path / "a.pth").images.shape == (0, 3, 2, 2)


def test_tensor_files_are_the_same_bytes_whatever_their_name_and_origin(tmp_path):
    data = labelled([3, 2], official_subset=["train", "test", "train", "test", "test"])
    save_tensors(data, tmp_path / "first.pth")
    save_tensors(load_tensors(tmp_path / "first.pth"), tmp_path / "another name.pth")
    other_objects = replace(data, official_subset=["".join(list(subset)) for subset in data.official_subset])
    save_tensors(other_objects, tmp_path / "third.pth")
    longer = torch.cat([data.images, data.images])
    save_tensors(replace(data, images=longer[:5]), tmp_path / "view.pth")
    channels_last = data.images.to(memory_format=torch.channels_last)
    save_tensors(replace(data, images=channels_last), tmp_path / "channels last.pth")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


WRONG_FIELDS = {
    "float images": ({"images": torch.zeros(5, 3, 2, 2)}, "images must be torch.uint8"),
    "grey images": ({"images": torch.zeros(5, 1, 2, 2, dtype=torch.uint8)}, "3 channels"),
    "labels short": ({"labels": torch.zeros(4, dtype=torch.int64)}, "labels must have 5 entries"),
    "labels int32": ({"labels": torch.zeros(5, dtype=torch.int32)}, "labels must be torch.int64"),
    "label beyond": ({"labels": torch.full((5,), 2)}, "labels must lie in 0 to 1, found 2 to 2"),
    "label below": ({"labels": torch.full((5,), -1)}, "labels must lie in 0 to 1, found -1 to -1"),
    "ids repeated": ({"image_ids": torch.zeros(5, dtype=torch.int64)}, "more than once"),
    "names repeated": ({"class_names": ["a", "a"]}, "found more than once: .'a'"),
    "no names": ({"class_names": []}, "one or more names"),
    "official short": ({"official_subset": ["test"]}, "official_subset must be 5 times"),
    "list": ({"labels": [0, 0, 0, 1, 1]}, "dense tensor, found list"),
}


def fields_of(data):
    names = ("images", "labels", "image_ids", "class_names")
    return {name: getattr(data, name) for name in names} | {"sha256": "0" * 64}


@pytest.mark.parametrize("case", WRONG_FIELDS)
def test_refuses_wrong_fields_in_memory_and_in_files(tmp_path, case):
    fields, message = WRONG_FIELDS[case]
    data = labelled([3, 2])
    with pytest.raises(ValueError, match=message):
        replace(data, **fields)
    torch.save(fields_of(data) | fields, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message) as error:
        load_tensors(tmp_path / "a.pth")
    assert str(tmp_path / "a.pth") in str(error.value)


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("writer", WRITERS)
def test_no_payload_of_a_tensor_file_runs(tmp_path, name, writer):
    canary, path = tmp_path / "canary", tmp_path / "a.pth"
    WRITERS[writer]({"images": payloads(canary)[name]}, path)
    with pytest.raises(ValueError, match="no tensor file of this project"):
        load_tensors(path)
    assert not canary.exists()


def test_refuses_foreign_tensor_files(tmp_path):
    path = tmp_path / "a.pth"
    fields = fields_of(labelled([3, 2]))
    for content in ([1], {"weight": torch.zeros(2)}, fields | {"extra": 1}):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"it must hold .* Delete it and run the same command again"):
            load_tensors(path)
    torch.save(fields, path)
    with pytest.raises(ValueError, match="does not match its checksum"):
        load_tensors(path)
    huge = torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(10**6, 3, 10**3, 10**3)
    torch.save(fields | {"images": huge}, path)
    with pytest.raises(ValueError, match="images is not contiguous"):
        load_tensors(path)
    with pytest.raises(FileNotFoundError, match=r"missing\.pth"):
        load_tensors(tmp_path / "missing.pth")


def table():
    return pd.DataFrame(
        {
            "image_id": range(12),
            "value": np.linspace(0, 1, 12, dtype=np.float32),
            "subset": ["train", "test", "val"] * 4,
            "longtailed": [True, False] * 6,
            "logits": [np.arange(3, dtype=np.float32) + i for i in range(12)],
        }
    )


def same_table(found):
    expected = table()
    logits = [np.array_equal(*pair) for pair in zip(found.pop("logits"), expected.pop("logits"), strict=True)]
    return all(logits) and found.equals(expected)


def same_images(found):
    assert_same(found, labelled([2, 2], official_subset=["train", "test"] * 2))
    return True


FILES = {
    "tensors.pth": (
        lambda path: save_tensors(labelled([2, 2], official_subset=["train", "test"] * 2), path),
        load_tensors,
        same_images,
    ),
    "table.parquet": (lambda path: write_parquet(table(), path), read_parquet, same_table),
}


@pytest.mark.parametrize(
    "step", [37, pytest.param(1, marks=pytest.mark.long)], ids=["some bits", "every bit"]
)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_recognised_or_harmless(tmp_path, name, step):
    save, load, same = FILES[name]
    path = tmp_path / name
    save(path)
    whole = path.read_bytes()
    assert same(load(path))
    positions = range(0, 8 * len(whole), step)
    refused = 0
    for position in positions:
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            found = load(path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
            assert "run the same command again" in str(error)
        else:
            assert same(found)
    assert refused > len(positions) / 4


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_recognised(tmp_path, name):
    save, load, _ = FILES[name]
    path = tmp_path / name
    save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="run the same command again"):
            load(path)


class FullDisk(io.FileIO):
    """Has room for `left` more bytes."""

    left = 0

    def write(self, data):
        FullDisk.left -= len(data)
        if FullDisk.left < 0:
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_a_full_disk_leaves_the_old_tensor_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    old, new = labelled([3, 2]), labelled([3, 2], seed=1)
    save_tensors(old, path)
    size = path.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: io.BufferedWriter(FullDisk(path, mode), 64))
        for FullDisk.left in range(0, size, 50):
            with pytest.raises(OSError, match="No space left on device") as error:
                save_tensors(new, path)
            assert str(path) in str(error.value)
    assert_same(load_tensors(path), old)
    assert list(tmp_path.iterdir()) == [path]


def test_tables_return_what_was_written(tmp_path):
    write_parquet(table(), tmp_path / "a.parquet")
    assert same_table(read_parquet(tmp_path / "a.parquet", ["image_id"]))
    with pytest.raises(ValueError, match=r"a\.parquet has no column \['loss'\]"):
        read_parquet(tmp_path / "a.parquet", ["image_id", "loss"])
    with pytest.raises(FileNotFoundError, match=r"missing\.parquet"):
        read_parquet(tmp_path / "missing.parquet")


def test_refuses_a_table_of_another_program(tmp_path):
    table().to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="this project did not write it"):
        read_parquet(tmp_path / "a.parquet")


# -- the programs


def run_program(monkeypatch, name, **options):
    arguments = [
        part
        for option, value in options.items()
        for part in (
            f"--{option.replace('_', '-')}",
            json.dumps(value) if isinstance(value, dict) else str(value),
        )
    ]
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    try:
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise


def test_programs_carry_the_digits_to_tensor_files(tmp_path, monkeypatch):
    run = functools.partial(run_program, monkeypatch)
    images, subsets, split = tmp_path / "images.pth", tmp_path / "subsets.parquet", tmp_path / "split.parquet"
    run("images.py", settings={"source": "digits"}, output=images)
    settings = {"train_per_class": 120, "test_per_class": 30, "seed": 42}
    run("subsets.py", images=images, settings=settings, output=subsets)
    settings = {"imbalance_factor": 0.02, "test_imbalance_factor": None, "seed": 42}
    run("split.py", subsets=subsets, settings=settings, output=split)
    for name in SUBSETS:
        run("tensors.py", images=images, split=split, subset=name, output=tmp_path / f"{name}.pth")
    loaded = {name: load_tensors(tmp_path / f"{name}.pth") for name in SUBSETS}
    # 120 * 0.02 ** (i / 9) and 30 * 0.02 ** (i / 9), worked out by hand and truncated.
    assert torch.bincount(loaded["train_longtailed"].labels).tolist() == [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]
    assert torch.bincount(loaded["test_longtailed"].labels).tolist() == [30, 19, 12, 8, 5, 3, 2, 1, 1, 1]
    assert [len(loaded[name].labels) for name in SUBSETS] == [1200, 331, 297, 300, 82, 61, 16, 5]
    assert read_parquet(split).columns.tolist() == [
        "image_id",
        "label",
        "class_name",
        "subset",
        "longtailed",
        "group",
    ]
    assert_same(loaded["val"], select_set(digits.load_images(), read_parquet(subsets), "val"))


def test_programs_end_with_one_message(tmp_path, monkeypatch):
    run = functools.partial(run_program, monkeypatch)
    missing, output = tmp_path / "missing", tmp_path / "output"
    for name, options in {
        "images.py": {"archive": missing, "settings": {"source": "cifar100", "sha256": "0" * 64}},
        "subsets.py": {
            "images": missing,
            "settings": {"train_per_class": 1, "test_per_class": 1, "seed": 0},
        },
        "split.py": {"subsets": missing, "settings": {"imbalance_factor": 0.5, "seed": 0}},
        "tensors.py": {"images": missing, "split": missing, "subset": "val"},
    }.items():
        with pytest.raises(SystemExit) as end:
            run(name, **options, output=output)
        assert end.value.code.startswith("error: ")
        assert str(missing) in end.value.code
    assert not output.exists()


# -- the real archive


@pytest.fixture(scope="module")
def real():
    archive, sha256 = (os.environ.get(f"LONGTAIL_CIFAR100_{name}") for name in ("ARCHIVE", "SHA256"))
    if not archive or not sha256:
        pytest.skip(
            "LONGTAIL_CIFAR100_ARCHIVE and LONGTAIL_CIFAR100_SHA256 do not name the archive of CIFAR-100"
        )
    data = cifar100.load_images(archive, sha256)
    return data, split_of(data, seed=42, train=450, test=50, factor=0.01)


def test_real_images_are_cifar100s(real):
    data, _ = real
    assert data.images.shape == (60_000, 3, 32, 32)
    assert torch.bincount(data.labels[:50_000]).tolist() == [500] * 100
    assert torch.bincount(data.labels[50_000:]).tolist() == [100] * 100
    assert data.official_subset == ["train"] * 50_000 + ["test"] * 10_000
    assert data.image_ids.tolist() == list(range(60_000))
    assert (data.class_names[0], data.class_names[33], data.class_names[99]) == ("apple", "forest", "worm")
    # Widely published statistics of the training set.
    channels = [data.images[:50_000, channel].float() / 255 for channel in range(3)]
    assert [float(channel.mean()) for channel in channels] == pytest.approx(
        [0.5071, 0.4865, 0.4409], abs=1e-4
    )
    assert [float(channel.std()) for channel in channels] == pytest.approx([0.2673, 0.2564, 0.2762], abs=1e-4)


def test_real_split_has_the_published_counts(real):
    _, split = real
    published = {
        "train": next(c for c in COUNTS if (c["largest"], c["imbalance_factor"]) == (450, 0.01)),
        "test": next(c for c in COUNTS if (c["largest"], c["imbalance_factor"]) == (50, 0.01)),
    }
    for subset, largest, total in (("train", 450, 9754), ("test", 50, 1051)):
        rows = split[split["subset"] == subset]
        assert rows["label"].value_counts().sort_index().tolist() == [largest] * 100
        kept = rows[rows["longtailed"]]
        assert kept["label"].value_counts().sort_index().tolist() == published[subset]["counts"]
        assert len(kept) == total
        if subset == "test":
            assert kept["group"].value_counts().to_dict() == {"head": 844, "middle": 169, "tail": 38}
    assert (split["subset"] == "val").sum() == 10_000
    assert split.groupby("group")["label"].agg(["min", "max"]).to_numpy().tolist() == [
        [0, 32],
        [33, 65],
        [66, 99],
    ]


def test_real_subsets_are_disjoint_and_official_test_images_validate(real):
    data, split = real
    assert split["image_id"].is_unique
    assert split["image_id"].tolist() == list(range(60_000))
    assert split.loc[split["subset"] == "val", "image_id"].tolist() == list(range(50_000, 60_000))
    assert not split.loc[split["subset"] == "val", "longtailed"].any()
    pixels = {
        name: {image.numpy().tobytes() for image in select_set(data, split, name).images}
        for name in ("train_longtailed", "train_balanced", "test_longtailed", "test_balanced")
    }
    assert pixels["train_longtailed"] <= pixels["train_balanced"]
    assert pixels["test_longtailed"] <= pixels["test_balanced"]


def test_real_split_is_pinned(real):
    """Not a truth from outside: a regression pin, of the archive with this hash and the data seed 42."""
    rebuilt = "2d554e9e83c7548394eab9666cd247194aceaa3966fd06af8f86490711046a16"
    if os.environ["LONGTAIL_CIFAR100_SHA256"] != rebuilt:
        pytest.skip(
            "pinned for the rebuilt archive, whose images are in another order than the official ones"
        )
    assert digest_of(real[1]) == "ddcf985de925f3b2d558e1e912a3c8f54fa80efec16cd4eab60ab5624650a117"
