"""What a file holds decides, wherever it lies and whenever it was written."""

import hashlib
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from longtail.config.load import load_config
from longtail.data.collection.listing import image_id
from longtail.data.split.frozen import write_frozen
from longtail.data.split.natural import natural_split
from longtail.experiment import contents, fingerprint, keys
from longtail.experiment.contents import content_hash, remembered
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.runs import Run

LOSS = "from torch import nn\n\n\nclass Mine(nn.Module):\n    pass\n"
FILES = {
    "lists/train.txt": "a.jpg 0\nb.jpg 1\n",
    "lists/val.txt": "c.jpg 0\n",
    "lists/test.txt": "d.jpg 1\n",
    "lists/names.txt": "cat\ndog\n",
    "weights.pth": "the weights",
    "resources/thesis_results.csv": "thesis",
    "resources/published_results.csv": "published",
    "mine.py": LOSS,
    "counts.csv": "1,2",
}
RUN = Run("mobilenetv2", "mine", "longtailed", 42)
LISTED = {
    "data": {
        "source": "lists",
        "lists": {
            **{part: f"lists/{part}.txt" for part in ("train", "val", "test")},
            "class_names": "lists/names.txt",
        },
    }
}
TRAINED = {
    "grid": {"models": ["mobilenetv2"], "losses": ["mine"]},
    "models": {"mobilenetv2": {"weights": "weights.pth"}},
    "losses": {
        "mine": {
            "loss": {"path": "mine.py", "name": "Mine"},
            "parameters": {"tables": [{"file": "counts.csv"}]},
        }
    },
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with files that settings name."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contents, "HASHED_BEFORE", tmp_path / "hashes.json")
    monkeypatch.setattr(contents.atexit, "register", kept := [].append)
    monkeypatch.setattr(contents, "kept", kept.__self__, raising=False)
    return tmp_path


def start():
    """Forget what this process knows, as a new one does."""
    for cached in (
        content_hash,
        contents._hashed_before,
        fingerprint.fingerprint,
        fingerprint._parse,
        fingerprint._files,
    ):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def numbers_here(folder, monkeypatch):
    monkeypatch.setattr(keys, "ROOT", folder)  # the numbers that this project ships lie beside its code


def key(settings, ask):
    start()
    return ask(Keys(Experiment(load_config(settings))))


ASKED = {
    **dict.fromkeys(
        ("lists/train.txt", "lists/val.txt", "lists/test.txt", "lists/names.txt"), (LISTED, Keys.split)
    ),
    "weights.pth": (TRAINED, lambda keys: keys.weights("mobilenetv2")),
    "resources/thesis_results.csv": (TRAINED, lambda keys: keys.tables(["evaluation", "thesis"])),
    "resources/published_results.csv": (TRAINED, lambda keys: keys.tables(["evaluation", "published"])),
    "counts.csv": (TRAINED, lambda keys: keys.train(RUN)),
}
ALSO = {
    "weights.pth": lambda keys: keys.train(RUN),
    "counts.csv": Keys.evaluation,
    "resources/thesis_results.csv": Keys.summary,
    "resources/published_results.csv": Keys.summary,
}


@pytest.mark.parametrize("written", ["~/counts.csv", "$HOME/counts.csv", "${HOME}/counts.csv"])
def test_a_file_that_a_loss_of_ones_own_finds_in_the_home_directory_is_in_its_key(
    folder, monkeypatch, written
):
    monkeypatch.setenv("HOME", str(folder))
    mine = {**TRAINED["losses"]["mine"], "parameters": {"file": written}}
    settings = TRAINED | {"losses": {"mine": mine}}
    before = key(settings, lambda keys: keys.train(RUN))
    (folder / "counts.csv").write_text("another")
    assert key(settings, lambda keys: keys.train(RUN)) != before


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_the_content_of_a_file_that_a_setting_names_is_in_its_key(folder, monkeypatch, name, large):
    monkeypatch.setattr(contents, "SMALL", 0 if large else 2**20)
    settings, ask = ASKED[name]
    both = [ask, *([ALSO[name]] if name in ALSO else [])]
    path = folder / name
    before = [key(settings, one) for one in both]
    stat = path.stat()
    os.utime(path, (1, 1))
    assert [key(settings, one) for one in both] == before
    text = FILES[name]
    path.write_text(text[:-1] + "?")  # as long as before
    for times in ((1, 1), (stat.st_atime_ns, stat.st_mtime_ns)):
        os.utime(path, ns=times)
        changed = [key(settings, one) for one in both]
        assert all(one != other for one, other in zip(before, changed, strict=True))
    path.write_text(text)
    assert [key(settings, one) for one in both] == before


def test_a_file_that_is_moved_changes_no_key(folder):
    before = key(LISTED, Keys.split)
    shutil.move("lists", "elsewhere")
    files = {name: path.replace("lists/", "elsewhere/") for name, path in LISTED["data"]["lists"].items()}
    assert key({"data": {"source": "lists", "lists": files}}, Keys.split) == before
    before = key(TRAINED, lambda keys: keys.weights("mobilenetv2"))
    shutil.move("weights.pth", "other.pth")
    moved = {**TRAINED, "models": {"mobilenetv2": {"weights": "other.pth"}}}
    assert key(moved, lambda keys: keys.weights("mobilenetv2")) == before


def test_a_loss_of_ones_own_that_is_moved_changes_no_key(folder):
    asked = [lambda keys: keys.train(RUN), Keys.evaluation]
    before = [key(TRAINED, ask) for ask in asked]
    Path("own").mkdir()
    shutil.move("mine.py", "own/mine.py")
    entry = {**TRAINED["losses"]["mine"], "loss": {"path": "own/mine.py", "name": "Mine"}}
    moved = {**TRAINED, "losses": {"mine": entry}}
    assert [key(moved, ask) for ask in asked] == before
    Path("own/mine.py").write_text(f"{LOSS}\n\nclass Other(Mine):\n    pass\n")
    entry["loss"] = {**entry["loss"], "name": "Other"}
    assert all(key(moved, ask) != old for ask, old in zip(asked, before, strict=True))


def test_two_lists_that_change_places_change_the_key(folder):
    before = key(LISTED, Keys.split)
    shutil.move("lists/val.txt", "other.txt")
    shutil.move("lists/test.txt", "lists/val.txt")
    shutil.move("other.txt", "lists/test.txt")
    assert key(LISTED, Keys.split) != before


def test_other_files_are_in_no_key(folder):
    before = key(TRAINED, lambda keys: keys.train(RUN))
    Path("resources/thesis_results.csv").write_text("other")
    Path("beside.csv").write_text("other")
    assert key(TRAINED, lambda keys: keys.train(RUN)) == before


def test_a_large_file_is_read_once_and_again_when_it_may_have_changed(folder, monkeypatch):
    monkeypatch.setattr(contents, "SMALL", 0)
    read = []
    digest = contents.hashlib.file_digest
    monkeypatch.setattr(contents.hashlib, "file_digest", lambda *args: read.append(1) or digest(*args))

    def again():
        start()
        read.clear()
        found = content_hash("weights.pth")
        contents.kept.pop()()  # the process ends
        return found, len(read)

    first, reads = again()
    assert reads == 1
    assert again() == (first, 0)
    path, stat = Path("weights.pth"), Path("weights.pth").stat()
    path.write_text("THE weights")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other, reads = again()
    assert (other != first, reads) == (True, 1)
    contents.HASHED_BEFORE.write_text(contents.HASHED_BEFORE.read_text().replace(other[:5], "01234"))
    assert again() == (other, 1)  # the notes are damaged


def test_what_is_no_file_has_no_content(folder):
    start()
    assert [content_hash(path) for path in ("absent", "lists", "mine.py/x")] == [None] * 3


def test_notes_of_another_kind_are_not_believed(folder):
    path = folder / "notes.json"
    remembered(path, "one", str)["a"] = "b"
    contents.kept.pop()()
    assert remembered(path, "one", str) == {"a": "b"}
    assert remembered(path, "two", str) == remembered(path, "one", list.copy) == {}


def test_the_rules_read_the_files_of_numbers_that_the_keys_hash():
    root = Path(__file__).parents[2]
    assert all((root / path).is_file() for path in keys.NUMBERS.values())
    rules = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    assert "resources/" not in rules


@pytest.fixture
def pictures(folder, monkeypatch):
    """A folder of files, and a count of those that are read."""
    root = folder / "pictures"
    for name in ("a/1.ppm", "a/2.ppm", "b/1.ppm", "b/2 \udcff.ppm"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"P6" + name.encode(errors="replace"))
    monkeypatch.setattr(contents, "COLLECTION_BEFORE", folder / "collection.json")
    monkeypatch.setattr(contents, "PICTURES_BEFORE", folder / "pictures.json")
    read, original = [], contents._picture
    monkeypatch.setattr(contents, "_picture", lambda path: read.append(path) or original(path))

    def found(root=root):
        read.clear()
        names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        digest = contents.collection_hash(root, names)
        while contents.kept:
            contents.kept.pop()()  # the process ends
        return digest, len(read)

    return root, found


def test_a_picture_that_keeps_its_name_size_and_time_is_seen_and_only_it_is_read(pictures):
    root, found = pictures
    first, reads = found()
    assert reads == 4
    assert found() == (first, 0)
    path, stat = root / "b/1.ppm", (root / "b/1.ppm").stat()
    before = path.read_bytes()
    path.write_bytes(before.upper())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other, reads = found()
    assert (other != first, reads) == (True, 1)
    path.write_bytes(before)
    assert found() == (first, 1)


def test_a_collection_that_is_copied_or_touched_has_the_same_hash(pictures, folder):
    root, found = pictures
    first, _ = found()
    for path in root.rglob("*.ppm"):
        os.utime(path, (1, 1))
    assert found() == (first, 4)
    shutil.copytree(root, folder / "copy")
    assert found(folder / "copy") == (first, 4)
    (folder / "copy/a/1.ppm").unlink()
    without, reads = found(folder / "copy")
    assert (without != first, reads) == (True, 0)


def test_pictures_that_change_places_change_the_hash(pictures):
    root, found = pictures
    first, _ = found()
    one, two = root / "a/1.ppm", root / "a/2.ppm"
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    assert found()[0] != first


@pytest.mark.parametrize("name", ["collection.json", "pictures.json"])
@pytest.mark.parametrize("text", ["", "[]", '{"by": "", "files": {"a": [1]}}'])
def test_damaged_notes_of_pictures_are_made_again(pictures, folder, name, text):
    _, found = pictures
    first, _ = found()
    (folder / name).write_text(text)
    assert found()[0] == first


def test_of_a_huge_picture_only_the_ends_are_read(pictures, monkeypatch):
    root, found = pictures
    monkeypatch.setattr(contents, "HUGE", 10)
    monkeypatch.setattr(contents, "END", 4)
    path = root / "a/1.ppm"
    path.write_bytes(b"0123456789abcdef")
    first, _ = found()
    path.write_bytes(b"0123456!89abcdef")
    assert found()[0] == first
    for changed in (b"!123456789abcdef", b"0123456789abcde!", b"0123456789abcdefg"):
        path.write_bytes(changed)
        assert found()[0] != first


def test_what_cannot_be_read_counts_as_that(pictures):
    root, found = pictures
    first, _ = found()
    os.mkfifo(root / "a/3.ppm")
    assert contents.collection_hash(root, ["a/3.ppm", "a/absent.ppm"]) != first


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        (("2024-06-01", "2024-06-02"), {"metadata"}),
        (("date", "night"), {"metadata"}),
        (("b.png,y", "b.png,z"), {"images"}),
        (("a.png,x,1", "a.png,x,2"), {"images", "metadata"}),
        (("\n", "\r\n"), set()),
        ((",", ";"), set()),
    ],
)
def test_only_what_depends_on_it_is_stale_after_a_change_of_a_list(folder, changed, stale):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    header = "path,label,bbox_x,bbox_y,bbox_width,bbox_height,date"
    table = f"{header}\na.png,x,1,1,5,5,2024-06-01\nb.png,y,0,0,4,4,2024-06-03\n"
    settings = {"data": {"source": "image_folder", "image_folder": {"path": "list.csv"}}}
    found = []
    for text in (table, table.replace(*changed)):
        (folder / "list.csv").write_text(text, newline="")
        found.append({name: key(settings, getattr(Keys, name)) for name in ("images", "metadata")})
    assert {name for name in found[0] if found[0][name] != found[1][name]} == stale


KINDS = ("FIFO", "circle", "folder", "device", "too long", "below a file")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_has_no_content_and_is_not_waited_for(tmp_path, kind):
    path = tmp_path / "odd"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "circle":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    others = {
        "device": Path("/dev/zero"),
        "too long": path / ("a" * 5000),
        "below a file": Path(__file__) / "x",
    }
    assert content_hash(others.get(kind, path)) is None


@pytest.mark.parametrize(
    "text", ["a" * 300, "a/" * 3000, "/dev/zero", "a\nb", "~nobody/x", "$NOTHING", "\U0001f600", ""]
)
def test_a_parameter_of_ones_own_loss_may_be_any_text(folder, text):
    mine = {**TRAINED["losses"]["mine"], "parameters": {"note": text}}
    keys_of = [
        key(TRAINED | {"losses": {"mine": each}}, lambda keys: keys.train(RUN)) for each in (mine, mine)
    ]
    assert keys_of[0] == keys_of[1] != key(TRAINED, lambda keys: keys.train(RUN))


def test_a_frozen_split_counts_by_which_file_is_in_which_set(folder):
    for name in (f"c/{label}/{number:02}.png" for label in "ab" for number in range(12)):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("RGB", (8, 8), hashlib.sha256(name.encode()).digest() * 6).save(name)
    files = sorted(Path("c").glob("*/*.png"))
    ids = [image_id(str(path.relative_to("c"))) for path in files]
    index = pd.DataFrame(
        {
            "image_id": ids,
            "twin": ids,
            "path": [str(path.relative_to("c")) for path in files],
            "class_name": [path.parent.name for path in files],
            "sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
            **{"group": "", "subset": ""},
        }
    )

    def keys_of(frozen, **data):
        own = {"source": "image_folder", "image_folder": {"path": "c", "size": 8}, "split": {"file": frozen}}
        start()
        keys = Keys(Experiment(load_config({"data": {**own, **data}})))
        return keys, (keys.sets(), keys.check(), keys.tensors("val"))

    def split(frozen, to, **data):
        keys, _ = keys_of(frozen, **data)
        options = keys.jobs.folder_split_settings()
        del options["strict"]
        table, _ = natural_split(index, **options)
        write_frozen(index, table, to, **keys.origin())
        return pd.read_csv(to, dtype=str)

    drawn = keys_of(None)[1]
    table = split(None, "f.csv")
    assert keys_of("f.csv")[1] == drawn, "naming the split that is there is no change"
    table.assign(remark="hm").sample(frac=1, random_state=0).to_csv(
        "g.csv", index=False, lineterminator="\r\n"
    )
    assert keys_of("g.csv")[1] == drawn, "nor is another order of its rows, or a remark"
    assert split("g.csv", "h.csv").equals(table), "it says the same of itself when it is made again"
    other = keys_of("f.csv", seed=7)[1]
    assert other != drawn and other != keys_of(None, seed=7)[1], "it is not what another seed draws"

    moved = table.assign(split=table["split"].replace({"test": "val", "val": "test"}))
    moved.to_csv("moved.csv", index=False)
    by_hand = keys_of("moved.csv")[1]
    assert by_hand != drawn
    moved.drop(columns="origin").to_csv("bare.csv", index=False)
    assert keys_of("bare.csv")[1] == by_hand
    split("moved.csv", "again.csv")
    assert keys_of("again.csv")[1] == by_hand, "the split of a list is the one that is there, too"

    Path("c/a/00.png").write_bytes(Path("c/a/01.png").read_bytes() + b"more")
    assert keys_of("f.csv")[1] not in (drawn, keys_of(None)[1]), "of a collection that has changed it is not"
    table.drop(columns="split").to_csv("f.csv", index=False)
    assert keys_of("f.csv")[1] != drawn  # its job says what it lacks
