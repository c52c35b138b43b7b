"""What a plan says of a collection that has changed since its results were made: words, and not two hashes."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from longtail.config.load import load_config
from longtail.experiment.changes import collection_changes
from longtail.experiment.jobs import Experiment
from longtail.files.parquet import write_parquet


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A collection of 20 pictures and a broken file, and the tables that the job which decoded it has left."""
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        picture(tmp_path / "c" / "ab"[number % 2] / f"{number:02}.png", number)
    (tmp_path / "c/a/broken.png").write_bytes(b"")
    files = sorted(path for path in (tmp_path / "c").glob("*/*.png") if path.stat().st_size)
    index = pd.DataFrame(
        {
            "path": [f"{path.parent.name}/{path.name}" for path in files],
            "class_name": [path.parent.name for path in files],
            "sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
        }
    )
    write_parquet(index, tmp_path / "results/data/index.parquet")
    findings = pd.DataFrame({"path": ["a/broken.png"], "action": ["left out"]})
    write_parquet(findings, tmp_path / "results/data/findings.parquet")
    return tmp_path / "c"


def changes(**data):
    settings = {"source": "image_folder", "image_folder": {"path": "c", "size": 8}, **data}
    return collection_changes(Experiment(load_config({"data": settings, "paths": {"results": "results"}})))


def test_nothing_is_said_where_nothing_has_changed_or_nothing_was_made(made):
    assert changes() == ""
    (made.parent / "results/data/index.parquet").unlink()
    picture(made / "a/new.png", 99)
    assert changes() == ""


def test_each_kind_of_change_is_counted(made):
    for number in range(30):
        picture(made / "b" / f"new{number}.png", 100 + number)
    (made / "a/00.png").rename(made / "a/other name.png")
    (made / "a/08.png").rename(made / "b/08.png")  # which is how a label is corrected in folders
    (made / "a/10.png").rename(made / "b/of b.png")
    (made / "a/02.png").unlink()
    picture(made / "a/04.png", 77)
    told = changes()
    expected = "made of them: 30 files added, 1 removed, 1 renamed, 1 replaced, 2 relabelled."
    assert expected in told
    assert told.endswith(
        "a copy of results/data/split.csv, named by data.split.file, keeps those where they are."
    )
    (made.parent / "frozen.csv").write_text("path,label,split,sha256\n")
    assert changes(split={"file": "frozen.csv"}).endswith("1 replaced, 2 relabelled.")


def test_a_new_label_in_a_list_is_told(made):
    rows = [f"{path.parent.name}/{path.name}" for path in sorted(made.glob("*/*.png"))]
    lines = [f"{row},{'b' if row == 'a/06.png' else row[0]}" for row in rows]
    (made / "list.csv").write_text("\n".join(["path,label", *lines]))
    assert "made of them: 1 file relabelled. They" in changes(image_folder={"path": "c/list.csv", "size": 8})


def test_regions_of_one_picture_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
    rows = [f"{number}.png,{'ab'[number % 2]},{x},0,4,8" for number in range(4) for x in (0, 4)]
    (tmp_path / "list.csv").write_text(
        "\n".join(["path,label,bbox_x,bbox_y,bbox_width,bbox_height", *rows]) + "\n"
    )
    folder = {"image_folder": {"path": "list.csv", "size": 8}}
    index = pd.DataFrame(
        [
            (f"{number}.png#{x},0,4,8", "ab"[number % 2], (tmp_path / f"{number}.png").read_bytes())
            for number in range(4)
            for x in (0, 4)
        ],
        columns=["path", "class_name", "sha256"],
    )
    index["sha256"] = [hashlib.sha256(content).hexdigest() for content in index["sha256"]]
    write_parquet(index, tmp_path / "results/data/index.parquet")
    assert changes(**folder) == ""
    picture(tmp_path / "3.png", 99)
    assert "2 files replaced" in changes(**folder)
