"""The sets of a split and their files: exact, and never silently wrong."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from payloads import PAYLOADS, WRITERS, payloads
from small_images import assert_same, labelled, shuffled, split_of

from longtail.data.split.sets import SUBSETS
from longtail.data.tensors.files import LabelledImages, load_tensors, save_tensors
from longtail.data.tensors.selection import select_set
from longtail.files.parquet import read_parquet, write_parquet


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
    of_other_groups = {"test_many", "test_medium", "test_few"}
    assert set(SUBSETS) == {*conditions, *of_other_groups}
    for name in of_other_groups:
        with pytest.raises(
            ValueError, match=rf"'{name}' needs a split with its group; .*has head, middle, tail \("
        ):
            select_set(data, split, name)
    with pytest.raises(ValueError, match="'test_tail' needs a split with its group; this one has no groups"):
        select_set(data, split.drop(columns="group"), "test_tail")
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
    "step", [67, pytest.param(1, marks=pytest.mark.long)], ids=["some bits", "every bit"]
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
