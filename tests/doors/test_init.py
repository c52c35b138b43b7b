"""`longtail init`: a configuration that works, from a collection alone, and what it says where none can be made."""

import contextlib
import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from workspace import Workspace

from longtail.commands.init import main
from longtail.config.load import load_config, load_files
from longtail.data.collection.listing import Entry, Listing
from longtail.data.collection.overview import OF_GROUPS, Overview, _columns_of_groups
from longtail.experiment.proposal import (
    PATIENCE_OF_PEOPLE,
    SIZES,
    TINY,
    Machine,
    is_tiny,
    planned,
    proposal,
    written,
)
from tools.glyphs import write_letters

LAPTOP = Machine(cores=2, memory=16.0)
SERVER = Machine(cores=16, memory=128.0, gpus=1, gpu_memory=80.0)


@pytest.fixture(autouse=True)
def laptop(monkeypatch):
    monkeypatch.setattr("longtail.commands.init._machine", lambda: LAPTOP)


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("letters") / "letters"
    write_letters(folder)
    return folder


def picture(path, size, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(colour).integers(0, 255, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size).save(path)


@pytest.fixture(scope="module")
def moths(tmp_path_factory):
    """15 pictures of two classes."""
    folder = tmp_path_factory.mktemp("moths") / "moths"
    for number in range(15):
        picture(folder / ("rare" if number % 5 == 0 else "common") / f"{number}.png", (40, 40), number)
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """62 photographs of 3 species, one of them rare, listed with the traps and days that they come from."""
    folder = tmp_path_factory.mktemp("photographs")
    rows, number = [], 0
    for name, count in (("Noctua pronuba", 40), ("Agrotis ipsilon", 20), ("Euxoa nigricans", 2)):
        for _ in range(count):
            sides = [(300, 200), (200, 300), (400, 200)][number % 3]
            picture(folder / f"pictures/{number}.jpg", sides, number)
            rows.append([f"pictures/{number}.jpg", name, f"T{number % 10}", f"2024-06-{1 + number % 20:02}"])
            number += 1
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["Path", "Label", "trap_id", "day"], *rows])
    return folder


def made(tmp_path, *words):
    """The configuration that a command writes, as text and as mapping."""
    output = tmp_path / "mine.yaml"
    assert main([*map(str, words), "--output", str(output)]) == 0
    text = output.read_text(encoding="utf-8")
    load_files([output], {})  # is valid
    return text, yaml.safe_load(text)


def plain(text):
    """The text without the lines that its comments are divided into."""
    return " ".join(text.replace("#", "").split())


def test_small_pictures_get_a_small_network_and_letters_no_mirror(letters, tmp_path, capsys):
    text, mapping = made(tmp_path, letters)
    assert mapping["grid"] == {
        "train_sets": ["longtailed"],
        "models": ["resnet8"],
        "losses": ["softmax", "balanced_softmax"],
    }
    assert mapping["models"] == {"resnet8": {"pretrained": False}}
    train = mapping["train"]
    assert (train["image_size"], train["flip"], train["select"]) == (48, False, "mean_class_acc")
    # Its 422 images of 12 classes are those of docs/own-images.md, and so are 292 for training, 63 to 4 of a class.
    assert "422 images of 12 classes" in text and "292 training images" in text
    assert "4 to 63 training images, 15.8 times as many" in plain(text)
    assert "No groups were found." in text
    told = capsys.readouterr().out
    assert re.search(r"mine\.yaml: 6 training jobs go through 350,400 images, about \d+ minutes", told)
    assert [line.split()[:2] for line in told.splitlines() if line.startswith("    ")] == [
        ["longtail", "check"],
        ["longtail", "plan"],
        ["snakemake", "--configfile"],
    ]


def test_photographs_start_from_imagenet_and_keep_groups_and_proportions(photographs, tmp_path):
    text, mapping = made(tmp_path, photographs / "list.csv")
    assert mapping["models"] == {"mobilenetv2": {"pretrained": True}}
    assert mapping["train"]["mean"] == [0.485, 0.456, 0.406] and mapping["train"]["image_size"] == 192
    folder = mapping["data"]["image_folder"]
    assert folder["group_column"] == "trap_id" and folder["small_classes"] == "train_only"
    assert (folder["resize"], folder["pad_with"]) == ("pad", "reflect")
    said = plain(text)
    assert "(10 values) stay on one side" in said and "(Euxoa nigricans)" in said
    assert "Other columns that may be groups: day." in said


def test_a_column_that_the_user_names_is_the_group(photographs, tmp_path):
    _, mapping = made(tmp_path, photographs / "list.csv", "--group-column", "day")
    assert mapping["data"]["image_folder"]["group_column"] == "day"


def test_columns_that_are_called_otherwise_can_be_named(photographs, tmp_path, capsys):
    rows = (photographs / "list.csv").read_text().replace("Path;Label", "Datei;Art")
    (tmp_path / "liste.csv").write_text(rows)
    words = [str(tmp_path / "liste.csv"), "--output", str(tmp_path / "mine.yaml")]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "lacks the columns path, label; it has 'Datei', 'Art'" in told
    assert "--columns path=COLUMN label=COLUMN" in told, "there is no configuration yet to say it in"
    names = ["--columns", "path=Datei", "label=Art", "--root", str(photographs)]
    _, mapping = made(tmp_path, tmp_path / "liste.csv", *names)
    assert mapping["data"]["image_folder"]["columns"] == {"path": "Datei", "label": "Art"}
    assert mapping["data"]["image_folder"]["root"] == str(photographs)


def test_what_a_detector_found_needs_no_configuration_before_the_first(tmp_path, capsys):
    images = []
    for number in range(20):
        picture(tmp_path / f"{number}.jpg", (100, 80), number)
        found = {
            "category": str(1 + number % 2),
            "conf": 0.9 if number < 16 else 0.1,
            "bbox": [0.1, 0.1, 0.5, 0.5],
        }
        images.append({"file": f"{number}.jpg", "detections": [found]})
    content = {"info": {}, "detection_categories": {"1": "animal", "2": "person"}, "images": images}
    (tmp_path / "md.json").write_text(json.dumps(content))
    assert main([str(tmp_path / "md.json"), "--output", str(tmp_path / "mine.yaml")]) == 1
    assert "--min-confidence SHARE" in capsys.readouterr().err
    words = [tmp_path / "md.json", "--min-confidence", "0.5", "--regions", "ignore"]
    text, mapping = made(tmp_path, *words)
    folder = mapping["data"]["image_folder"]
    assert (folder["min_confidence"], folder["regions"]) == (0.5, "ignore")
    assert "16 images of 2 classes" in text


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        (("left face", "right face"), False),
        (("Left_Ear", "Right_Ear", "nose"), False),
        (("right whale", "blue whale"), True),
        (("left ear", "nose"), True),
    ],
)
def test_classes_of_two_sides_are_not_mirrored(names, flip, tmp_path):
    for number, name in enumerate(8 * names):
        picture(tmp_path / f"animals/{name}/{number}.jpg", (120, 100), number)
    _, mapping = made(tmp_path, tmp_path / "animals")
    assert mapping["train"]["flip"] is flip


def test_too_few_groups_to_divide_by_are_told_and_not_taken(photographs, tmp_path):
    rows = list(csv.reader((photographs / "list.csv").open(), delimiter=";"))
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["path", "label", "site"], *([*row[:2], "AB"[i % 2]] for i, row in enumerate(rows[1:]))]
        )
    text, mapping = made(tmp_path, tmp_path / "list.csv", "--root", photographs)
    assert "group_column" not in mapping["data"]["image_folder"]
    assert "the columns site leave too few" in plain(text)


def test_a_split_of_ones_own_and_equal_classes_are_seen(tmp_path):
    for subset, count in (("train", 8), ("test", 4)):
        for kind in "ab":
            for number in range(count):
                picture(
                    tmp_path / f"set/{subset}/kind {kind}{kind}/{number}.png",
                    (40, 40),
                    hash((subset, kind, number)) % 999,
                )
    text, mapping = made(tmp_path, tmp_path / "set")
    assert "brings its own split" in text
    assert mapping["grid"]["losses"] == ["softmax"] and "variants" not in mapping
    assert mapping["train"]["select"] == "best" and mapping["train"]["flip"] is True


def test_what_cannot_be_used_is_told(letters, tmp_path):
    shutil.copytree(letters, tmp_path / "letters")
    for name in ("1.txt", "2.txt"):
        (tmp_path / "letters/letter e" / name).write_text("notes")
    # All of the rarest class are looked at.
    sorted((tmp_path / "letters/letter u").glob("*.png"))[0].write_bytes(b"\x89PNG\r\n\x1a\n")
    text, _ = made(tmp_path, tmp_path / "letters")
    assert "But 2 more files are left out and 1 of 120 that were looked at cannot be read" in plain(text)


def test_an_existing_file_is_kept_unless_it_is_forced(moths, tmp_path, capsys):
    output = tmp_path / "mine.yaml"
    output.write_text("mine: true\n")
    words = [str(moths), "--output", str(output)]
    assert main(words) == 1
    assert f"error: {output} exists; name another file by --output" in capsys.readouterr().err
    assert output.read_text() == "mine: true\n"
    assert main([*words, "--force"]) == 0
    assert "image_folder" in output.read_text()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "no class with images; at least two are needed"),
        ({"a/1.png": "picture", "a/2.png": "picture"}, "one class with images, 'a'"),
        ({"1.png": "picture", "2.png": "picture"}, "no class with images"),
        ({"a/1.txt": "text", "b/2.txt": "text"}, "no class with images"),
        ({f"{name}/{n}.png": "text" for name in "ab" for n in range(5)}, "none of 10 pictures"),
        ({f"{name}/1.png": "picture" for name in "ab"}, "no image"),
        (None, "does not exist; give a folder of class folders, or"),
    ],
)
def test_a_collection_that_cannot_be_used_says_what_is_missing(content, told, tmp_path, capsys):
    folder = tmp_path / "collection"
    if content is not None:
        folder.mkdir()
    for number, (name, kind) in enumerate((content or {}).items()):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("text") if kind == "text" else picture(path, (40, 40), number)
    assert main([str(folder), "--output", str(tmp_path / "mine.yaml")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and told in said and "Traceback" not in said
    assert not (tmp_path / "mine.yaml").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--output", "mine.txt"], "must end in .yaml"),
        (["--columns", "path"], "expected such as path=File"),
        (["--columns", "pth=File"], "did you mean 'path'?"),
        (["--root", ""], "is empty"),
    ],
)
def test_options_that_mean_nothing_are_refused(words, told, moths, capsys):
    with contextlib.suppress(SystemExit):
        assert main([str(moths), *words]) == 1
    assert told in capsys.readouterr().err


def test_weights_that_are_not_there_are_named_with_their_place(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    text, _ = made(tmp_path, photographs / "list.csv")
    file = "mobilenet_v2-b0353104.pth"  # torchvision's own name
    assert f"put that file as {file} into" in plain(text)
    place = tmp_path / f"cache/hub/checkpoints/{file}"
    place.parent.mkdir(parents=True)
    place.touch()
    text, _ = made(tmp_path, photographs / "list.csv", "--force")
    assert f"They are here already: {place}." in plain(text)


def test_where_the_workflow_is_not_paths_are_whole(moths, tmp_path, monkeypatch):
    monkeypatch.chdir(moths.parent)
    _, mapping = made(tmp_path, "moths")
    assert mapping["data"]["image_folder"]["path"] == str(moths)
    (tmp_path / "Snakefile").touch()
    (tmp_path / "moths").symlink_to(moths)
    monkeypatch.chdir(tmp_path)
    _, mapping = made(tmp_path, "moths", "--force")
    assert mapping["data"]["image_folder"]["path"] == "moths"


@pytest.mark.parametrize("name", ["a: b #c", "- x", "'q\"", "{y}", "ünï", "%TAG", "back\\slash"])
def test_names_with_signs_of_yaml_stay_names(name, tmp_path):
    for kind, count in (("one", 12), (name.replace("/", ""), 3)):
        for number in range(count):
            picture(tmp_path / f"{name}/{kind}/{number}.png", (40, 40), number)
    text, mapping = made(tmp_path, tmp_path / name)
    assert mapping["data"]["image_folder"]["path"] == str(tmp_path / name)
    assert mapping["data"]["image_folder"]["small_classes"] == "train_only"
    assert all(re.match(r" *(#|[\w+]+:)", line) for line in text.splitlines())


def seen(counts, side=500, **changes):
    """An overview of a collection with these training images of its classes, as far as a plan looks at it."""
    return replace(
        Overview(
            images=2 * sum(counts),
            left_out=0,
            counts={f"kind {number:03} of it": count for number, count in enumerate(counts)},
            tested=sum(counts) // 3,
            validated=max(1, sum(counts) // 7),
            most_validated=max(1, max(counts) // 7),
            small=(),
            given=False,
            groups=0,
            group_column=None,
            other_columns=(),
            nested=0,
            looked_at=5,
            unreadable=0,
            sizes=((side, side),) * 5,
            mean=(0.5, 0.5, 0.5),
            std=(0.2, 0.2, 0.2),
            cut="thirds",
            limits=None,
            reason="it is so",
        ),
        **changes,
    )


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(1, 20_000), min_size=2, max_size=60),
    side=st.integers(8, 6000),
    cores=st.integers(1, 128),
    gpu_memory=st.sampled_from([0.0, 4.0, 24.0, 80.0]),
    small=st.booleans(),
    groups=st.integers(0, 50),
)
def test_whatever_is_seen_the_configuration_is_valid_and_warns_of_nothing(
    counts, side, cores, gpu_memory, small, groups
):
    machine = Machine(cores, 16.0, int(gpu_memory > 0), gpu_memory)
    overview = seen(counts, side, groups=groups, group_column="trap" if groups else None)
    if small:
        overview = replace(overview, small=(next(iter(overview.counts)),), cut="counts", limits=(90, 9))
    choices = proposal(
        overview, machine, planned(overview, machine), {"path": "data/x"}, "results/x", "Weights."
    )
    mapping = yaml.safe_load(written(choices, ["a header"]))
    config = load_config(mapping)
    assert config.warnings == []
    assert config.data.groups == overview.cut
    # What it says in words is what it sets.
    pretrained = config.model(config.grid.models[0]).pretrained
    assert pretrained == (side > TINY) == (not is_tiny(overview))
    assert (config.train.mean == (0.485, 0.456, 0.406)) == pretrained


@pytest.mark.parametrize(
    ("machine", "side", "architecture"),
    [
        (LAPTOP, 500, "mobilenetv2"),
        (SERVER, 500, "resnet50"),
        (Machine(4, 16.0, 1, 4.0), 500, "mobilenetv2"),
        (LAPTOP, 32, "resnet8"),
        (SERVER, 32, "resnet32"),
    ],
)
def test_the_model_fits_the_machine_and_the_pictures(machine, side, architecture):
    assert planned(seen([60, 20, 5], side), machine).architecture == architecture


def test_more_images_take_fewer_epochs_and_at_last_smaller_pictures():
    plans = [planned(seen([count, count // 4]), LAPTOP) for count in (40, 400, 4000, 100_000)]
    assert [one.epochs for one in plans] == sorted((one.epochs for one in plans), reverse=True)
    assert [one.size for one in plans] == sorted((one.size for one in plans), reverse=True)
    assert plans[0].size == max(SIZES) and plans[-1].size == min(SIZES)
    assert all(one.seconds <= PATIENCE_OF_PEOPLE["cpu"] for one in plans[:3])


def test_what_the_memory_cannot_hold_is_not_proposed():
    sizes = [planned(seen([60, 20]), LAPTOP._replace(memory=memory)).size for memory in (16.0, 5.5, 4.0)]
    assert sizes[0] == max(SIZES) and sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0]


def test_no_picture_is_enlarged():
    for side in (100, 130, 170, 200, 3000):
        assert planned(seen([60, 20], side), LAPTOP).size == max(size for size in SIZES if size <= side)


@pytest.mark.parametrize(
    ("counts", "losses"),
    [
        ([30, 20], ("softmax",)),
        ([30, 10], ("softmax", "balanced_softmax")),
        ([450, 4], ("softmax", "balanced_softmax", "crt")),
    ],
)
def test_the_losses_fit_the_imbalance(counts, losses):
    assert planned(seen(counts), LAPTOP).losses == losses


def test_columns_of_groups_are_known_by_their_words(moths):
    paths = sorted(path.relative_to(moths).as_posix() for path in moths.rglob("*.png"))
    for word in OF_GROUPS:
        for form in (word, f"{word}_id", f"{word.capitalize()}s", f"the{word.capitalize()}"):
            rows = [Entry(path, "a", more=((form, str(n % 7)),)) for n, path in enumerate(paths)]
            assert _columns_of_groups(Listing(moths, rows)) == [form], form
    for form in ("trapezoid", "weight", "dated", "comment"):
        rows = [Entry(path, "a", more=((form, str(n % 7)),)) for n, path in enumerate(paths)]
        assert _columns_of_groups(Listing(moths, rows)) == [], form


def test_what_is_written_trains(tmp_path):
    workspace = Workspace.create(tmp_path / "copy")
    for kind, count in (("beetle", 16), ("moth", 6)):
        for number in range(count):
            picture(
                workspace.folder / f"data/insects/{kind}/{number}.png",
                (20, 20),
                number + 50 * (kind == "moth"),
            )
    with contextlib.chdir(workspace.folder):
        assert main(["data/insects"]) == 0
    run = "results/insects/runs/longtailed/resnet8/balanced_softmax/seed1"
    workspace.snakemake(
        f"{run}/predictions.parquet", "--configfile", "config/insects.yaml", "--config", "train={epochs: 2}"
    )
    assert (workspace.folder / run / "model.safetensors").is_file()
