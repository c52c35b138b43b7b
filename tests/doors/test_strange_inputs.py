"""Collections, results, states and tables that a stranger may name: one sentence each, and nothing is written."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.commands.cite import main as cite
from longtail.commands.clean import clean
from longtail.commands.init import main as init
from longtail.worklist import main as worklist

COUNTS = {"ape": 4, "bee": 3}
PICTURES = [f"photos/{name}/{place}.png" for name, count in COUNTS.items() for place in range(count)]


def table(head: str = "path,label", tail: str = "", more: str = "") -> str:
    rows = [f"{path},{path.split('/')[1]}{tail}" for path in PICTURES]
    return "\n".join([head, *rows, more])


def regions(values: str) -> str:
    return table("path,label,xmin,ymin,xmax,ymax", f",{values}")


IMAGES = [{"id": place, "file_name": path, "width": 8, "height": 8} for place, path in enumerate(PICTURES)]
CLASSES = [{"id": place, "name": name} for place, name in enumerate(COUNTS)]
MARKS = [
    {"id": image["id"], "image_id": image["id"], "category_id": place % 2, "bbox": [1, 1, 4, 4]}
    for place, image in enumerate(IMAGES)
]


def coco(images=IMAGES, annotations=MARKS, categories=CLASSES, **first) -> str:
    """A file of COCO; `first` changes the first annotation."""
    if first:
        annotations = [annotations[0] | first, *annotations[1:]]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def archive(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as into:
        for name, text in files.items():
            into.writestr(name.replace("_", "."), text)
    return content.getvalue()


BOMB = '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><archive>&b;</archive>'
COLLECTIONS = {
    "empty.csv": "",
    "header.csv": "path,label\n",
    "lines.csv": "\n\n\n",
    "nul.csv": "path,label\na\0b,c\n",
    "twice.csv": table("path,label,label", ",b"),
    "open.csv": table().replace("photos/bee/1", '"photos/bee/1'),
    "long.csv": table(more="photos/ape/0.png," + "y" * 300_000 + "\n"),
    "no_label.csv": table(more="photos/ape/0.png,\n"),
    "blank_label.csv": table(more="photos/ape/0.png,   \n"),
    "dots.csv": table().replace(",ape", ",..").replace(",bee", ",.."),
    "split_odd.csv": table("path,label,split", ",foo"),
    "split_train.csv": table("path,label,split", ",Train"),
    "split_test.csv": table("path,label,split", ",test"),
    "split_gap.csv": table("path,label,split", ",train").replace("/2.png,ape,train", "/2.png,ape,"),
    "none.csv": table().replace("photos/", "nowhere/"),
    **{
        f"region_{place}.csv": regions(values)
        for place, values in enumerate(
            [
                "a,b,c,d",
                "5,5,5,5",
                "6,6,2,2",
                "nan,0,5,5",
                "inf,0,5,5",
                ",,,",
                "5,5,,",
                "1e999,0,5,5",
                "True,0,5,5",
            ]
        )
    },
    "five.json": "5",
    "null.json": "null",
    "deep.json": "[" * 20_000,
    "nothing.json": "{}",
    "list.json": "[]",
    "no_images.json": coco(images=[]),
    "no_marks.json": coco(annotations=[]),
    "no_classes.json": coco(categories=[]),
    "null_images.json": coco(images=[None]),
    "text.json": coco(images="a", annotations="b", categories="c"),
    "unknown_image.json": coco(image_id=99),
    "unknown_class.json": coco(category_id=99),
    "list_id.json": coco(images=[IMAGES[0] | {"id": [0]}, *IMAGES[1:]]),
    "text_id.json": coco(images=[IMAGES[0] | {"id": "0"}, *IMAGES[1:]]),
    "text_width.json": coco(images=[IMAGES[0] | {"width": "x"}, *IMAGES[1:]]),
    **{
        f"box_{place}.json": coco(bbox=box)
        for place, box in enumerate(
            [
                [1, 1],
                "x",
                [1, 1, 5, 5, 5],
                ["a", 1, 5, 5],
                {"x": 1},
                [True, 1, 5, 5],
                [1, 1, 10**400, 5],
                [None] * 4,
            ]
        )
    },
    "empty.zip": archive(),
    "other.zip": archive(a_txt="x"),
    "bomb.zip": archive(meta_xml=BOMB, occurrence_txt="x"),
    "book.xlsx": archive(workbook_xml="x"),
    "text.xlsx": "path,label\n",
    "noise.xlsx": bytes(range(128, 256)) * 9,
    "noise.json": bytes(range(128, 256)) * 9,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stranger")
    for place, path in enumerate(PICTURES):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(place).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / path)
    return folder


@pytest.fixture
def here(photos, monkeypatch) -> Path:
    monkeypatch.chdir(photos)
    return photos


def refused(capsys, main, words, named: str = "") -> None:
    assert main(words) == 1
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and told.err.count("\n") == 1 and len(told.err) < 1500, told.err
    assert named in told.err
    assert not told.out


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_collection_that_is_none_is_refused_by_name(here, capsys, name):
    content = COLLECTIONS[name]
    (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(capsys, init, [name, "--output", "made/mine.yaml"], "" if name.startswith("region") else name)
    assert not (here / "made").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["/dev/null"],
        ["fifo.csv"],
        ["none"],
        ["photos/ape"],
        ["photos/ape/0.png"],
        ["photos", "--output", "photos/mine.yaml"],
        ["photos", "--output", "photos/ape/mine.yaml"],
        ["photos", "--output", "mine.txt"],
        ["photos", "--root", "none"],
        ["list.csv", "--root", "/dev/null"],
        ["list.csv", "--columns", "path=none"],
        ["list.csv", "--columns", "path=path", "path=label"],
        ["list.csv", "--group-column", "none"],
        ["list.csv", "--group-column", "path"],
    ],
)
def test_a_proposal_of_what_cannot_be_is_refused(here, capsys, words):
    (here / "list.csv").write_text(table())
    if not (here / "fifo.csv").exists():
        os.mkfifo(here / "fifo.csv")
    refused(capsys, init, [*words, *([] if "--output" in words else ["--output", "made/mine.yaml"])])
    assert not (here / "made").exists() and not list((here / "photos").rglob("*.yaml"))


@pytest.mark.parametrize(
    "words", [["none"], ["photos"], ["list.csv"], ["/dev/null"], ["photos", "--bibtex", "x.txt"]]
)
def test_methods_of_no_results_are_refused(here, capsys, words):
    (here / "list.csv").write_text(table())
    refused(capsys, cite, words)


HEAD = "path,class_1,probability_1,class_2,probability_2\n"
TABLES = {
    "empty": "",
    "head": HEAD,
    "nan": f"{HEAD}a.png,a,nan,b,0.3\n",
    "above": f"{HEAD}a.png,a,1.5,b,0.3\n",
    "below": f"{HEAD}a.png,a,-0.1,b,0.3\n",
    "text": f"{HEAD}a.png,a,x,b,0.3\n",
    "infinite": f"{HEAD}a.png,a,inf,b,0.3\n",
    "rising": f"{HEAD}a.png,a,0.1,b,0.9\n",
    "sum": f"{HEAD}a.png,a,0.9,b,0.9\n",
    "twice": f"{HEAD}a.png,a,0.6,b,0.3\na.png,a,0.7,b,0.3\n",
    "no_path": f"{HEAD},a,0.6,b,0.3\n",
    "one": "path,class_1,probability_1\na.png,a,0.9\n",
    "gap": "path,class_1,probability_1,class_3,probability_3\na.png,a,0.9,b,0.1\n",
    "no_share": "path,class_1,probability_1,class_2\na.png,a,0.9,b\n",
    "unread": f"{HEAD}a.png,,,,\n",
    "two_columns": "path,class_1,probability_1,class_2,probability_2,path\na.png,a,0.6,b,0.3,b.png\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_no_predictions_is_refused(here, capsys, name):
    (here / f"{name}.csv").write_text(TABLES[name])
    refused(capsys, worklist, ["next", f"{name}.csv", "--output", "lists"], f"{name}.csv")
    assert not (here / "lists").exists()


@pytest.mark.parametrize(
    "words", [["--pictures", "none"], ["--pictures", "right.csv"], ["--one-per", "photos"]]
)
def test_a_work_list_of_no_pictures_is_refused(here, capsys, words):
    (here / "right.csv").write_text(f"{HEAD}a.png,a,0.6,b,0.3\n")
    refused(capsys, worklist, ["next", "right.csv", "--output", "lists", *words], words[1])
    assert not (here / "lists").exists()


def test_a_picture_that_was_predicted_twice_alike_is_there_once(here, capsys):
    (here / "alike.csv").write_text(HEAD + "a.png,a,0.6,b,0.3\n" * 2)
    assert worklist(["next", "alike.csv", "--output", "once"]) == 0
    assert "1 picture;" in capsys.readouterr().out


def test_odd_states_are_kept_and_keep_no_others(tmp_path):
    odd = tmp_path / ("a" * 20)
    (odd / "lock").mkdir(parents=True)
    (tmp_path / ("b" * 20)).mkdir()
    (tmp_path / ("b" * 20) / "current.state").write_bytes(b"1")
    (tmp_path / ("c" * 20)).symlink_to("/etc")
    told = clean(tmp_path)
    assert "deleted the states of 1 unfinished runs" in told[0]
    assert any(line.startswith(f"{odd}: kept, as its lock cannot be taken") for line in told)
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["a", "c"]
