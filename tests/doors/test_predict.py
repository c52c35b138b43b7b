"""`longtail predict`: what a user gets from a model file and pictures, good and bad ones."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cards import card
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from torchvision.transforms import v2

from longtail.files.parquet import read_parquet
from longtail.models import build_model
from longtail.models.file import load_model, save_model
from longtail.predict import SOME_FAILED, find_pictures, main

CARD = card(
    class_names=["ape, small", "Biene", "ćma/тест"],
    class_counts=[40, 10, 2],
    stored_size=12,
    image_size=20,
    logit_scale=3.0,
    temperature=1.5,
)


def save(path: Path, **changes) -> str:
    torch.manual_seed(0)
    network = build_model("resnet8", num_classes=3, image_size=20)
    save_model(path, network.state_dict(), replace(CARD, **changes))
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Nine pictures of 12 x 12, which is what the model's images were stored as, and things that are none."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("a.png", "b b.png", "ü.PNG", "sub/c.png", *(f"more/{i}.bmp" for i in range(5))):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "sub/loop").symlink_to(folder)
    return folder


def predict(*words: object, out: Path) -> tuple[int, pd.DataFrame]:
    code = main([*map(str, words), "--output", str(out), "--threads", "1"])
    return code, pd.read_csv(out) if out.suffix == ".csv" else read_parquet(out)


@pytest.mark.parametrize("temperature", [1.5, None])
def test_probabilities_are_those_of_torchvisions_chain_and_the_softmax_of_the_calibrated_logits(
    photos, tmp_path, temperature
):
    path = save(tmp_path / "model.safetensors", temperature=temperature)
    code, frame = predict(path, photos, "--top", 3, out=tmp_path / "out.parquet")
    assert code == 0
    assert frame["path"].tolist() == sorted(frame["path"])
    assert len(frame) == 9
    chain = v2.Compose(
        [
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Resize((20, 20), antialias=True),
            v2.Normalize(CARD.mean, CARD.std),
        ]
    )
    network, _ = load_model(path)
    for row in frame.itertuples():
        with torch.no_grad():
            logits = network(chain(Image.open(row.path))[None])[0].double().numpy()
        exponentials = np.exp(3.0 * logits / (temperature or 1))
        expected = exponentials / exponentials.sum()
        order = np.argsort(-expected)
        found = [row.probability_1, row.probability_2, row.probability_3]
        np.testing.assert_allclose(found, expected[order], atol=1e-5)
        assert [row.class_1, row.class_2, row.class_3] == [CARD.class_names[i] for i in order]


def test_a_photograph_takes_the_way_of_the_training_images(model, tmp_path):
    # First to what the training images were stored as, by Pillow; then to the model's size.
    pixels = np.random.default_rng(1).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    Image.fromarray(pixels).resize((12, 12), Image.Resampling.BILINEAR).save(tmp_path / "stored.png")
    _, frame = predict(model, tmp_path / "large.png", tmp_path / "stored.png", out=tmp_path / "o.parquet")
    large, stored = frame.filter(like="probability").to_numpy()
    np.testing.assert_array_equal(large, stored)


@pytest.mark.parametrize(
    ("facts", "by_hand"),
    [
        ({"resize": "crop"}, ImageOps.fit),
        ({"resize": "pad"}, partial(ImageOps.pad, color="black")),
        ({"resize": "pad", "pad_with": [255, 255, 255]}, partial(ImageOps.pad, color="white")),
    ],
)
def test_a_photograph_keeps_its_proportions_where_the_training_images_did(tmp_path, capsys, facts, by_hand):
    path = save(tmp_path / "model.safetensors", **facts)
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 60, 3), dtype=np.uint8))
    (tmp_path / "photos").mkdir()
    photo.save(tmp_path / "photos/large.png")
    by_hand(photo, (12, 12), Image.Resampling.BILINEAR).save(tmp_path / "photos/stored.png")
    for copy in ("listed.png", "alone.png"):
        photo.save(tmp_path / copy)
    (tmp_path / "list.csv").write_text("path\nlisted.png\n")
    asked = [tmp_path / "photos", tmp_path / "list.csv", tmp_path / "alone.png"]
    _, frame = predict(path, *asked, out=tmp_path / "o.parquet")
    shares = frame.filter(like="probability").to_numpy()
    assert len(shares) == 4
    np.testing.assert_allclose(shares, shares[[0] * 4], atol=1e-6)
    said = {"crop": "12 px, cut to a square", "pad": "12 px, with a border"}[facts["resize"]]
    assert said in capsys.readouterr().err
    _, stretched = predict(save(tmp_path / "other.safetensors"), asked[2], out=tmp_path / "s.parquet")
    assert np.abs(stretched.filter(like="probability").to_numpy() - shares[0]).max() > 1e-4


def test_batches_and_threads_change_nothing(model, photos, tmp_path):
    _, one = predict(model, photos, "--batch-size", 1, out=tmp_path / "one.parquet")
    main([model, str(photos), "--output", str(tmp_path / "all.parquet"), "--threads", "3"])
    pd.testing.assert_frame_equal(one, read_parquet(tmp_path / "all.parquet"), atol=1e-6)


def test_one_bad_picture_ends_nothing_and_is_listed(model, photos, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    words = (model, photos / "a.png", broken, tmp_path / "none.png", photos / "b b.png", "--top", 1)
    code, frame = predict(*words, "--batch-size", 2, out=tmp_path / "out.csv")
    assert code == SOME_FAILED
    assert frame.columns.tolist() == ["path", "class_1", "probability_1", "error"]
    assert frame["class_1"].notna().tolist() == [True, False, False, True]
    assert frame["probability_1"].notna().tolist() == [True, False, False, True]
    assert frame["error"].notna().tolist() == [False, True, True, False]
    told = capsys.readouterr().err
    assert f"not read: {broken}: is no picture in a known format" in told
    assert f"not read: {tmp_path / 'none.png'}: does not exist" in told
    assert "2 of 4 pictures classified" in told


def test_when_no_picture_can_be_read_the_exit_code_is_that_of_an_error(model, tmp_path):
    code, frame = predict(model, tmp_path / "none.png", out=tmp_path / "out.parquet")
    assert code == 1
    assert frame["error"].tolist() == ["does not exist"]


def test_a_csv_lists_pictures_relative_to_itself_and_its_names_come_back(model, photos, tmp_path):
    (photos / "list.csv").write_text("label,file\nx,b b.png\ny,sub/c.png\nz,ü.PNG\n", encoding="utf-8-sig")
    code, frame = predict(model, photos / "list.csv", "--column", "file", out=tmp_path / "out.csv")
    assert code == 0
    assert frame["path"].tolist() == ["b b.png", "sub/c.png", "ü.PNG"]


def test_the_standard_output_is_a_csv_and_nothing_else(model, photos, capsys):
    assert main([model, str(photos / "a.png"), "--top", "9", "--threads", "1"]) == 0
    printed = capsys.readouterr()
    header, row = printed.out.splitlines()
    assert header == "path,class_1,probability_1,class_2,probability_2,class_3,probability_3,error"
    assert row.startswith(str(photos / "a.png"))
    assert "resnet8, 3 classes, pictures of 12 px, resized to 20 px" in printed.err
    assert "calibrated probabilities (temperature 1.500)" in printed.err


def test_it_says_that_a_model_is_not_calibrated(photos, tmp_path, capsys):
    main([save(tmp_path / "model.safetensors", temperature=None), str(photos / "a.png"), "--threads", "1"])
    assert "probabilities not calibrated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", None, "holds no picture: no file that ends in .avif"),
        (
            "a.csv",
            "file,label\na.png,x\n",
            "has no column 'path', only file, label; name the one with the paths",
        ),
        ("b.csv", "", "has no column 'path', only nothing"),
        ("c.csv", "path\n", "lists no picture"),
        ("d.csv", "path,x\na.png,1\n,2\n", "row 3: the column 'path' is empty"),
        ("e.csv", b"path\n\x81\xfe\n", "cannot be read as text: it is no text in"),
        ("g.csv", "path,path\na.png,b.png\n", "has the column 'path' more than once"),
        ("f.csv", FileNotFoundError, "No such file"),
    ],
)
def test_folders_and_lists_that_name_no_picture_are_refused(model, tmp_path, capsys, name, content, message):
    path = tmp_path / name
    if content is None:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    assert main([model, str(path)]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert str(path) in told


def test_links_that_lead_back_are_followed_once(photos):
    assert len(find_pictures([photos]).pictures) == 9


def no_file(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def picture(path: Path) -> None:
    Image.new("RGB", (4, 4)).save(path, format="PNG")


def truncated(path: Path) -> None:
    save(path)
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path: Path) -> None:
    save_file({"fc.weight": torch.zeros(2, 2)}, path, {"format": "pt"})


def without_classes(path: Path) -> None:
    content = {"format": "longtail model 1", **vars(CARD)}
    del content["class_names"]
    save_file({"weight": torch.zeros(1)}, path, {"longtail": json.dumps(content)})


def wrong_shapes(path: Path) -> None:
    save(path)
    weights = load_file(path)
    save_model(path, {name: tensor[:1] for name, tensor in weights.items() if tensor.dim()}, CARD)


def other_architecture(path: Path) -> None:
    save(path, architecture="resnet20")


def unknown_architecture(path: Path) -> None:
    save(path, architecture="resnet7000")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_file, "does not exist"),
        (folder, "does not exist"),
        (picture, "is damaged or no safetensors file"),
        (truncated, "is damaged or no safetensors file"),
        (foreign, "is no model of this project: its format is None"),
        (without_classes, "does not say what is needed to use it"),
        (wrong_shapes, "class_names: found 3 for weights of 1 classes"),
        (other_architecture, "does not hold weights of resnet20"),
        (unknown_architecture, "the model 'resnet7000' is not known"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_message(photos, tmp_path, capsys, make, message):
    path = tmp_path / "model.safetensors"
    make(path)
    assert main([str(path), str(photos / "a.png")]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert message in told
    assert str(path) in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "out.xlsx"], "must end in .csv or .parquet"),
        (["--top", "0"], "found 0, needed: at least 1"),
        (["--top", "x"], "found 'x', needed: a whole number"),
        (["--batch-size", "1.5"], "found '1.5', needed: a whole number"),
    ],
)
def test_options_out_of_range_are_refused(model, capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        main([model, "a.png", *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_model_that_does_not_come_first_is_asked_for(capsys):
    with pytest.raises(SystemExit):
        main(["photo.jpg", "model.safetensors"])
    assert "MODEL comes first, and its name ends in .safetensors; found photo.jpg" in capsys.readouterr().err


def test_a_model_of_an_earlier_version_sees_pictures_in_its_own_size(photos, tmp_path, capsys):
    weights = load_file(save(tmp_path / "new.safetensors"))
    content = {
        name: value for name, value in vars(CARD).items() if name not in ("stored_size", "temperature")
    }
    path = tmp_path / "model.safetensors"
    save_file(weights, path, {"longtail": json.dumps({"format": "longtail model 1", **content})})
    assert main([str(path), str(photos / "a.png"), "--threads", "1"]) == 0
    assert "pictures of 20 px, probabilities not calibrated" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cuda:77", "abacus"])
def test_a_device_that_is_not_there_is_named(model, photos, capsys, name):
    assert main([model, str(photos / "a.png"), "--device", name]) == 1
    assert f"there is no device '{name}' here" in capsys.readouterr().err


def test_a_device_that_computes_nothing_is_refused(model, photos, capsys):
    assert main([model, str(photos / "a.png"), "--device", "meta"]) == 1
    assert "'meta' computes nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "columns", ["bbox_x,bbox_y,bbox_width,bbox_height", "xmin,ymin,xmax,ymax", "x1,y1,x2,y2"]
)
def test_regions_that_a_csv_names_are_told_to_be_passed_over(model, photos, tmp_path, capsys, columns):
    listed = tmp_path / "l.csv"
    listed.write_text(f"path,{columns}\n{photos}/a.png,1,1,5,5\n", encoding="utf-8")
    assert main([model, str(listed), "--output", str(tmp_path / "out.csv"), "--threads", "1"]) == 0
    assert "left out: " in (told := capsys.readouterr().err)
    assert f"'{columns.partition(',')[0]}'" in told and "whole pictures are classified" in told


def test_names_of_classes_do_nothing_on_a_terminal_and_in_a_csv(photos, tmp_path, capsys):
    names = ["\x1b]0;PWN\x07\x1b[31mred", "=cmd|'/c calc'!A0", "@SUM(1)"]
    path = save(tmp_path / "model.safetensors", class_names=names)
    words = [path, str(photos / "a.png"), str(tmp_path / "no\x1b[31m.png"), "--threads", "1"]
    assert main(words) == SOME_FAILED
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert r"\x1b]0;PWN\x07\x1b[31mred" in shown.out
    assert ",'@SUM(1)," in shown.out
    assert ",=cmd" not in shown.out and ',"=cmd' not in shown.out
    _, frame = predict(*words[:2], out=tmp_path / "exact.parquet")
    assert sorted(frame.filter(like="class_").iloc[0]) == sorted(names)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "note;path\nx;a.png\ny;sub\\b.png\nz;C:\\me\\sub\\c.png\n"),
        ("l.tsv", "path\tnote\na\tx\n sub/b.png \ty\nsub/c\tz\n"),
        ("l.csv", "note,path\nä,a.png\nö,sub/b.png\nü,sub/c.png\n".encode("latin-1")),
        ("l.tsv", "path\tnote\r\na.png\tx\r\nsub/b.png\ty\r\nsub/c.png\tz\r\n".encode("utf-16")),
    ],
)
def test_lists_are_read_as_those_of_training_are(tmp_path, name, content):
    for picture in ("a.png", "sub/b.png", "sub/c.png"):
        (tmp_path / picture).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / picture)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    found = [path for _, path in find_pictures([tmp_path / name]).pictures]
    assert found == [tmp_path / "a.png", tmp_path / "sub/b.png", tmp_path / "sub/c.png"]


def test_a_large_picture_size_makes_smaller_batches(tmp_path, monkeypatch):
    from longtail.inference import pictures

    sizes = []
    monkeypatch.setattr(pictures, "MOST_AT_A_TIME", 2 * 20**2)
    monkeypatch.setattr(
        pictures, "logits_of", lambda *args: sizes.append(args[-1]) or torch.zeros(len(args[1]), 3)
    )
    for name in "abc":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    pictures.classify(None, CARD, find_pictures([tmp_path]).pictures)
    assert sizes == [2, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", ""], "argument IMAGE: is empty, as where a variable of the shell is not set"),
        (["a.png", "--output", ""], "argument --output: is empty"),
        (["a.png", "--threads", "99999999999999999999"], "found 99999999999999999999, allowed: at most 1024"),
    ],
)
def test_words_that_would_mean_something_else_are_refused(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["m.safetensors", *words])
    assert message in capsys.readouterr().err


def test_a_name_that_is_not_utf8_is_spelt_and_its_picture_classified(model, tmp_path):
    folder = tmp_path / "latin"
    folder.mkdir()
    try:
        Image.new("RGB", (4, 4)).save(folder / "caf\udce9.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    for name in ("out.csv", "out.parquet"):
        code, frame = predict(model, folder, out=tmp_path / name)
        assert code == 0
        assert frame["path"].tolist() == [f"{folder}/caf\\udce9.png"]


def test_a_picture_that_is_named_twice_has_one_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("f/a.png", "f/sub/b.png", "f/c.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        picture(Path(name))
    Path("f/link.png").symlink_to("a.png")
    Path("l.csv").write_text("path\nf/c.png\nf/c\nf/sub/b.png\n")
    found = find_pictures(["f/c.png", "f/", "./f", tmp_path / "f"])
    assert [name for name, _ in found.pictures] == ["f/c.png", "f/a.png", "f/link.png", "f/sub/b.png"]
    assert found.left_out == ["9 x named again; each picture is classified once"]
    found = find_pictures(["l.csv"])
    assert [name for name, _ in found.pictures] == ["f/c.png", "f/sub/b.png"]
    assert found.left_out == ["1 x in the list again; each picture is classified once"]
