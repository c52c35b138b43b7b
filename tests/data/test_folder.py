"""Which pictures a folder holds, by one rule for training and for prediction, and what both say of the others."""

import os

import pytest
from PIL import Image

from longtail.data.collection.folder import is_hidden
from longtail.data.collection.listing import list_images
from longtail.inference.pictures import find_pictures


@pytest.fixture
def root(tmp_path):
    """Two classes of two pictures."""
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        picture(tmp_path / "c" / name)
    return tmp_path / "c"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path, "PNG")


def kinds(root):
    return {finding.path: finding.kind for finding in list_images(root).findings}


HIDDEN = [
    ".git",
    ".ipynb_checkpoints",
    ".@__thumb",
    "__MACOSX",
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
    "lost+found",
]


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("place", [".", "a", "a/deep"])
def test_hidden_folders_are_left_out_at_every_depth_with_the_number_of_pictures(root, name, place):
    for number in range(3):
        picture(root / place / name / "x" / f"{number}.png")
    listing = list_images(root)
    assert [entry.path for entry in listing.entries] == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    (finding,) = listing.findings
    assert finding.path == os.path.normpath(f"{place}/{name}")
    assert (finding.found, finding.refused) == (
        "a hidden folder with 3 files that are named like images",
        False,
    )
    assert len(find_pictures([root]).pictures) == 4


def test_hidden_files_are_told_once_for_each_folder_and_make_no_job_stale(root):
    digest = list_images(root).digest()
    for name in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini"):
        (root / "a" / name).write_bytes(b"x")
    (root / ".hidden.png").write_bytes(b"x")
    listing = list_images(root)
    assert [(finding.path, finding.found) for finding in listing.findings] == [
        (".", "has 1 hidden files, such as .hidden.png"),
        ("a", "has 4 hidden files, such as .DS_Store"),
    ]
    assert listing.digest() == digest
    found = find_pictures([root])
    assert len(found.pictures) == 4
    assert found.left_out == [f"2 x hidden, such as {root}: has 1 hidden files, such as .hidden.png"]


@pytest.mark.parametrize("name", ["a.jpg", "class", "@home", "data", "thumbs", "#1", "MACOSX"])
def test_other_names_are_seen(name):
    assert not is_hidden(name)
