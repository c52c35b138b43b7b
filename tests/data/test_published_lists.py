"""Published lists with the folder of their images, made small: ImageNet-LT's text and iNaturalist's json."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from programs import run_program

from longtail.config.load import ConfigError, load_config
from longtail.data.collection import published
from longtail.data.collection.published import bytes_needed, decode_listed
from longtail.data.collection.shape import Shape
from longtail.data.lists.published import Listed, find_pictures, read_lists
from longtail.data.split.sets import with_groups
from longtail.data.tensors.files import load_tensors
from longtail.data.tensors.selection import select_set
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys

COUNTS = {"train": (101, 20, 19), "val": (1, 1, 1), "test": (2, 2, 2)}


@pytest.fixture
def lists(tmp_path):
    """Lists of three classes, and a picture for each line, whose red says its place among all lines."""
    place, found = 0, {}
    for part, counts in COUNTS.items():
        lines = []
        for label, count in enumerate(counts):
            folder = tmp_path / f"img/{part}/n{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (12, 10), (place, 0, 0)).save(folder / f"{number}.png")
                lines.append(f"{part}/n{label}/{number}.png {label}")
                place += 1
        found[part] = tmp_path / f"{part}.txt"
        found[part].write_text("\n".join(lines) + "\n")
    return found


def decoded(lists, tmp_path, **options):
    path = tmp_path / "out/images.pth"
    decode_listed(read_lists(lists), tmp_path / "img", path, 8, shape=Shape("crop"), **options)
    return path


def test_the_given_split_is_kept_and_the_groups_go_by_training_counts(lists, tmp_path):
    own = {**{part: str(path) for part, path in lists.items()}, "class_names": None}
    run_program(
        "listed_images",
        root=tmp_path / "img",
        settings={**own, "size": 8, "resize": "crop", "pad_with": None},
        output=tmp_path / "images.pth",
    )
    run_program("list_split", settings={**own, "classes": None, "seed": 1}, output=tmp_path / "sets.parquet")
    images, sets = (
        load_tensors(tmp_path / "images.pth", mmap=True),
        pd.read_parquet(tmp_path / "sets.parquet"),
    )
    assert [images.images[:][:, 0, 0, 0].tolist(), images.image_ids.tolist()] == [list(range(149))] * 2
    for part, counts in COUNTS.items():
        name = part if part == "val" else f"{part}_longtailed"
        assert np.bincount(select_set(images, sets, name).labels).tolist() == list(counts)
    assert np.bincount(select_set(images, sets, "train_balanced").labels).tolist() == [19, 19, 19]
    groups = with_groups(sets, "counts").drop_duplicates("label").sort_values("label")["group"]
    assert groups.tolist() == ["many", "medium", "few"]


def test_classes_that_are_left_out_take_their_images_with_them(lists, tmp_path):
    images = load_tensors(decoded(lists, tmp_path))
    rules = {"exclude": ["1"], "rename": {}, "merge": {}, "names": None, "taxonomy": None, "min_images": None}
    own = {**{part: str(path) for part, path in lists.items()}, "class_names": None}
    run_program("list_split", settings={**own, "classes": rules, "seed": 1}, output=tmp_path / "sets.parquet")
    test = select_set(images, pd.read_parquet(tmp_path / "sets.parquet"), "test_longtailed")
    assert test.class_names == ["0", "2"] and test.images[:, 0, 0, 0].tolist() == [143, 144, 147, 148]


def test_without_validation_images_the_tests_show_how_training_goes(lists, tmp_path):
    del lists["val"]
    images = load_tensors(decoded(lists, tmp_path))
    own = {**{part: str(path) for part, path in lists.items()}, "val": None, "class_names": None}
    run_program("list_split", settings={**own, "classes": None, "seed": 1}, output=tmp_path / "sets.parquet")
    sets = pd.read_parquet(tmp_path / "sets.parquet")
    assert torch.equal(
        select_set(images, sets, "val").image_ids, select_set(images, sets, "test_longtailed").image_ids
    )


def test_an_interrupted_job_goes_on_and_ends_with_the_same_bytes(lists, tmp_path, monkeypatch, capsys):
    whole = decoded(lists, tmp_path / "", part_bytes=3 * 64 * 50)
    before = {path.name: path.read_bytes() for path in whole.parent.rglob("*.pth")}
    for path in whole.parent.rglob("*.pth"):
        path.unlink()
    seen, decode = [], published.decode

    def interrupted(path, *options, **more):
        seen.append(path)
        if len(seen) == 75:
            raise KeyboardInterrupt
        return decode(path, *options, **more)

    monkeypatch.setattr(published, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decoded(lists, tmp_path, part_bytes=3 * 64 * 50)
    assert [path.name for path in whole.parent.rglob("*.pth")] == ["0000.pth"]
    capsys.readouterr()
    decoded(lists, tmp_path, part_bytes=3 * 64 * 50)
    assert {path.name: path.read_bytes() for path in whole.parent.rglob("*.pth")} == before
    assert "1 of them from an interrupted job" in capsys.readouterr().out
    assert sorted(path.name for path in (whole.parent / "images.shards").iterdir()) == sorted(before)[:-1]


def test_parts_of_other_pictures_are_made_anew(lists, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "save_parts", lambda *_: 0)
    decoded(lists, tmp_path)
    first = published._fingerprint(read_lists(lists), tmp_path / "img", 8, Shape("crop"), 5)
    Image.new("RGB", (12, 10), "blue").resize((40, 40)).save(tmp_path / "img/test/n0/0.png")
    assert published._fingerprint(read_lists(lists), tmp_path / "img", 8, Shape("crop"), 5) != first


def test_the_disk_has_to_hold_all_files(lists, tmp_path, monkeypatch):
    listed = Listed(["a"], [], [], ["train"] * 115_846 + ["val"] * 20_000 + ["test"] * 50_000, [])
    of_one = (
        3 * 224**2
    )  # all images, all sets, and once more the largest, which is written by way of another file
    assert bytes_needed(listed, of_one) == of_one * (2 * 185_846 + 115_846)
    monkeypatch.setattr(published.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 10**9}))
    with pytest.raises(
        OSError, match=r"has 1.0 GB free, and the images take 0.0 GB and 1.1 GB to spare; free some"
    ):
        decoded(lists, tmp_path)


def test_pictures_that_are_missing_or_unreadable_are_named_and_counted(lists, tmp_path):
    (tmp_path / "img/val/n0/0.png").write_bytes(b"no picture")
    with pytest.raises(
        ValueError, match=r"1 of 149 pictures cannot be read, such as .*val/n0/0.png: .*Unpack"
    ):
        decoded(lists, tmp_path)
    for number in (3, 4):
        (tmp_path / f"img/train/n0/{number}.png").unlink()
    told = rf"2 of 149 pictures of the lists are not in .*, such as train/n0/3.png \({re.escape(str(lists['train']))}"
    with pytest.raises(FileNotFoundError, match=told + ", line 4"):
        find_pictures(read_lists(lists), tmp_path / "img")
    with pytest.raises(ValueError, match="which is no folder"):
        find_pictures(read_lists(lists), tmp_path / "other")


@pytest.mark.parametrize("path", ["../a.png", "train/../../a.png", "/a.png"])
def test_a_path_out_of_the_folder_is_refused(lists, tmp_path, path):
    lists["test"].write_text(f"{path} 0\n")
    with pytest.raises(ValueError, match=r"test.txt, line 1: .* leads out of data.lists.root"):
        find_pictures(read_lists(lists), tmp_path / "img")


def challenge(path, change=None):
    """The json of iNaturalist's challenges: two images of the classes 1 and 0."""
    content = {
        "info": {"year": 2018},
        "images": [
            {"id": 7, "file_name": f"{path.stem}/b.jpg"},
            {"id": 3, "file_name": f"{path.stem}/a.jpg"},
        ],
        "annotations": [
            {"id": 3, "image_id": 3, "category_id": 0},
            {"id": 7, "image_id": 7, "category_id": 1},
        ],
        "categories": [{"id": 0, "name": "Ara  ararauna"}, {"id": 1, "name": "Bufo bufo"}],
    }
    if change:
        change(content)
    path.write_text(json.dumps(content))
    return path


def test_the_json_of_inaturalist_gives_paths_labels_and_names(tmp_path):
    listed = read_lists({part: challenge(tmp_path / f"{part}.json") for part in ("train", "test")})
    assert listed.class_names == ["Ara ararauna", "Bufo bufo"]
    assert listed.paths == ["train/b.jpg", "train/a.jpg", "test/b.jpg", "test/a.jpg"]
    assert listed.labels == [1, 0, 1, 0] and listed.subsets == ["train"] * 2 + ["test"] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.pop("annotations"),
            "has no list 'annotations', so .* of iNaturalist 2018 give train2018.json",
        ),
        (lambda c: c["annotations"].pop(), "the image train/b.jpg has no annotation"),
        (lambda c: c["annotations"][0].update(image_id=9), "annotation 1: its image 9 is not listed"),
        (lambda c: c["annotations"][0].update(category_id=-1), "annotation 1: its category_id is -1"),
        (
            lambda c: c["annotations"][0].update(category_id=5),
            "image 3: the label is 5, but the categories are 2",
        ),
        (lambda c: c["annotations"][0].update(image_id=7), "annotation 2: image 7 has the classes 0 and 1"),
        (lambda c: c["images"][0].pop("file_name"), "has not the form of iNaturalist's json"),
    ],
)
def test_a_json_with_a_fault_is_refused_with_its_place(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_lists({"train": challenge(tmp_path / "train.json", change)})


def test_settings_of_lists_that_do_not_fit_are_refused(tmp_path):
    root = {"source": "lists", "lists": {"train": "a.txt", "root": "img"}}
    for own, message in (
        ({"source": "lists", "lists": {"train": "a.txt", "size": 64}}, "size is for lists with images"),
        (root, "data.lists.test is not set, but data.lists.root is"),
        ({**root, "lists": {**root["lists"], "test": "b", "pad_with": "reflect"}}, "resize is crop"),
        ({**root, "lists": {**root["lists"], "test": "b"}}, "data.lists.val: null leaves no others"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config({"data": own})


def test_keys_follow_the_pictures_and_the_lists(lists, tmp_path):
    own = {**{part: str(path) for part, path in lists.items()}, "root": str(tmp_path / "img")}
    settings = {"data": {"source": "lists", "lists": own}}

    def keys():
        made = Keys(Experiment(load_config(settings)))
        return made.images(), made.sets()

    first = keys()
    Image.new("RGB", (9, 9)).save(tmp_path / "img/test/n0/0.png")
    changed = keys()
    assert changed[0] != first[0] and changed[1] == first[1]
    (tmp_path / "img/test/n0/0.png").unlink()
    with pytest.raises(ConfigError, match=r"data\.lists: 1 of 149 pictures"):
        keys()
