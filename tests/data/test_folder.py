"""Which pictures a folder holds, by one rule for training and for prediction, and what both say of the others."""

import os
import socket
import subprocess
import time

import pytest
from PIL import Image

from longtail.data.collection.folder import MAX_DEPTH, is_hidden, read_tree
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


def test_names_that_this_python_reads_by_another_encoding_are_refused(root, monkeypatch):
    """As with LC_ALL=C and PYTHONUTF8=0, where é is two bytes that are no letter, or a locale of ISO 8859-1."""
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "iso8859-1")
    assert len(list_images(root).entries) == 4, "ASCII is the same in all of them"
    (root / "list.csv").write_text("path,label\na/0.png,a\nb/é.png,b\n")
    with pytest.raises(
        ValueError, match=r"list.csv, row 3: b/\\xe9.png: this Python .* iso8859-1, .* set PYTHONUTF8=1"
    ):
        list_images(root / "list.csv")
    (root / "a" / "é.png").write_bytes(b"x")
    for look in (list_images, lambda root: find_pictures([root])):
        with pytest.raises(
            ValueError, match=r"a/\\xe9.png: this Python takes the names of files for iso8859-1"
        ):
            look(root)


@pytest.mark.parametrize("name", ["a.jpg", "class", "@home", "data", "thumbs", "#1", "MACOSX"])
def test_other_names_are_seen(name):
    assert not is_hidden(name)


# -- what never ends


def within(seconds, read, *args):
    started = time.monotonic()
    found = read(*args)
    assert time.monotonic() - started < seconds
    return found


def test_folders_that_link_to_one_another_are_read_once(root):
    for name in range(12):
        picture(root / f"a/d{name}/p.png")
        for other in set(range(12)) - {name}:
            (root / f"a/d{name}/to{other}").symlink_to(f"../d{other}")
    listing = within(5, list_images, root)
    assert len(listing.entries) == 4 + 12
    assert len(listing.findings) == 12 * 11
    assert all(finding.refused and finding.action == "not followed" for finding in listing.findings)
    assert (listing.findings[0].path, listing.findings[0].found) == (
        "a/d0/to1",
        "a link to a/d1, which is read there",
    )
    assert len(within(5, find_pictures, [root]).pictures) == 16


def test_links_out_of_the_collection_are_followed_once(root, tmp_path):
    for name in range(8):
        picture(tmp_path / f"out/d{name}/p.png")
        for other in set(range(8)) - {name}:
            (tmp_path / f"out/d{name}/to{other}").symlink_to(f"../d{other}")
    (root / "a/first").symlink_to(tmp_path / "out")
    (root / "b/second").symlink_to(tmp_path / "out/d3")
    listing = within(5, list_images, root)
    assert [entry.path for entry in listing.entries if entry.path.count("/") > 1] == [
        f"a/first/d{name}/p.png" for name in range(8)
    ]
    assert kinds(root)["b/second"] == "link"


@pytest.mark.parametrize("target", ["/", "..", "../..", "."])
def test_a_link_to_a_folder_above_is_not_followed(root, target):
    (root / "a/up").symlink_to(target)
    assert kinds(root) == {"a/up": "loop"}
    assert len(within(5, find_pictures, [root]).pictures) == 4


@pytest.mark.parametrize("name", ["itself", "itself.png"])
def test_a_link_to_itself_is_told(root, name):
    (root / "a" / name).symlink_to(name)
    assert kinds(root) == {f"a/{name}": "broken link"}


def test_folders_within_folders_are_read_to_a_stated_depth(root):
    deep = root / "a"
    for _ in range(300):
        deep.mkdir(exist_ok=True)
        deep = deep / "d"
    picture(root.joinpath("a", *"d" * (MAX_DEPTH - 1), "last.png"))
    picture(root.joinpath("a", *"d" * MAX_DEPTH, "below.png"))
    listing = within(5, list_images, root)
    assert [entry.path.split("/")[-1] for entry in listing.entries if "/d/" in entry.path] == ["last.png"]
    ((path, kind),) = kinds(root).items()
    assert (path, kind) == ("/".join("a" + "d" * MAX_DEPTH), "deep")
    assert len(within(5, find_pictures, [root]).pictures) == 5
    # Too deep for Python's own removal, which clears up after the tests.
    subprocess.run(["rm", "-r", str(root / "a" / "d")], check=True)


def test_what_has_the_name_of_a_picture_and_is_none_is_a_finding_and_a_row(root):
    os.mkfifo(root / "a/fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "a/socket.png"))
    (root / "b/device.jpg").symlink_to("/dev/zero")
    (root / "b/folder.png").mkdir()
    picture(root / "b/folder.png/in.png")
    (root / "b/gone.png").symlink_to("nowhere")
    os.mkfifo(root / "b/pipe")
    assert kinds(root) == {
        "a/fifo.png": "no file",
        "a/socket.png": "no file",
        "b/device.jpg": "no file",
        "b/gone.png": "broken link",
        "b/pipe": "other file",
    }
    assert "b/folder.png/in.png" in [entry.path for entry in list_images(root).entries]
    found = find_pictures([root])
    shown = [path.relative_to(root).as_posix() for _, path in found.pictures]
    assert [path for path in shown if path in kinds(root)] == [
        path for path in kinds(root) if path != "b/pipe"
    ]
    assert found.left_out == [
        f"1 x other file, such as {root}/b/pipe: a file that is not named like an image"
    ]


def test_a_csv_that_names_what_is_no_file_and_one_that_is_none(root, tmp_path):
    os.mkfifo(root / "a/fifo.png")
    rows = ["a/0.png,a", "a/fifo.png,a", "b/0.png,b", "b,b", f"{'x' * 300}.png,b"]
    (root / "list.csv").write_text("\n".join(["path,label", *rows]))
    listing = list_images(root / "list.csv")
    assert {finding.path[:10]: finding.kind for finding in listing.findings} == {
        "a/fifo.png": "no file",
        "b": "no file",
        "xxxxxxxxxx": "missing",
    }
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(ValueError, match=r"list\.csv is a FIFO; a list of images is a file"):
        within(2, find_pictures, [tmp_path / "list.csv"])
    with pytest.raises(ValueError, match=r"list\.csv is neither a folder nor a file"):
        within(2, list_images, tmp_path / "list.csv")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(60 * 10**9)
    for read in (list_images, lambda path: find_pictures([path])):
        with pytest.raises(ValueError, match="has 60,000,000,000 bytes; a list of images has at most"):
            within(2, read, tmp_path / "huge.csv")


def test_a_folder_that_cannot_be_read_is_told(root, monkeypatch):
    picture(root / "a/locked/0.png")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (finding,) = list_images(root).findings
    assert (finding.path, finding.kind, finding.refused) == ("a/locked", "unreadable", True)
    monkeypatch.setattr(os, "scandir", lambda path: scandir("locked"))
    with pytest.raises(PermissionError):
        read_tree(root, print)
