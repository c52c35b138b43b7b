"""`longtail export`: an ONNX file that says what the model says, and a page that says what it is."""

import ast
import contextlib
import json
import re
import shlex
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from PIL import Image
from test_predict import CARD, save

from longtail import export, load_results
from longtail.data.collection.decoding import decode
from longtail.data.collection.shape import Shape
from longtail.experiment.proof import Proofs
from longtail.experiment.runs import MODEL, PREDICTIONS, RECORD
from longtail.export import main
from longtail.files.parquet import read_parquet, write_parquet
from longtail.files.text import printable
from longtail.inference.onnx import example, largest_difference, metadata
from longtail.inference.page import RunFiles, loss_name, model_page
from longtail.inference.pictures import classify
from longtail.models.card import digest_of
from longtail.models.file import load_model, save_model
from longtail.predict import main as predict
from longtail.training.recipe import Recipe, Where

GUIDE = Path(__file__).parents[2] / "docs/use-a-model.md"


def prove(run_folder: Path) -> None:
    """Say, as the workflow does, that the files of a run and the evaluation are made of its model as it is now."""
    model, predictions, record = (run_folder / name for name in (MODEL, PREDICTIONS, RECORD))
    digest = digest_of(model)
    write_parquet(pd.DataFrame({"of": [1]}), predictions, {"model": digest})
    evaluation = run_folder.parents[4] / "evaluation.parquet"
    run = "/".join(run_folder.parts[-4:])
    write_parquet(read_parquet(evaluation), evaluation, {"models": {run: digest}})
    Proofs().write([model, record], "key of the training")


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> Path:
    """Where a user is who has a run, as the workflow leaves it, and did what docs/use-a-model.md says.

    The numbers of the evaluation are made up.
    """
    folder = tmp_path_factory.mktemp("user")
    run_folder = folder / "results/demo/runs/longtailed/resnet8/balanced_softmax/seed42"
    run_folder.mkdir(parents=True)
    save(run_folder / "model.safetensors")
    run = {"model": "resnet8", "loss": "balanced_softmax", "train_set": "longtailed", "seed": 42}
    sizes = {"balanced": 300, "longtailed": 120, "head": 100, "middle": 20, "tail": 0}
    values = {"balanced": 0.5, "longtailed": 0.8125, "head": 0.9, "middle": 0.25, "tail": float("nan")}
    rows = [
        {**run, "test_set": name, "metric": metric, "value": values[name], "n": size}
        for name, size in sizes.items()
        for metric in ("acc1", "f1", "mean_class_acc", "ece", "ece_by_chance")
    ]
    table = pd.DataFrame(rows)
    other = table.assign(seed=43, value=0.125)
    write_parquet(pd.concat([other, table]), folder / "results/demo/evaluation.parquet")
    record = {
        "seconds": 3725.4,
        "peak_memory_mb": 5.0,
        "epochs": [{"train_images_per_second": 7.0}],
        "device": "Abacus 7",
        "finished_at": "2026-01-02",
        "packages": {"torch": "9.9"},
    }
    (run_folder / "run.json").write_text(json.dumps(record))
    prove(run_folder)
    (folder / "photos").mkdir()
    Image.effect_noise((300, 200), 50).save(folder / "photos/one.jpg")
    shutil.copy(folder / "photos/one.jpg", folder / "photos/two.jpg")
    (folder / "list.csv").write_text("path\nphotos/two.jpg\nphotos/one.jpg\n")

    programs = {"predict": predict, "export": main}
    commands = re.findall(r"^    longtail (.*)$", GUIDE.read_text(), re.MULTILINE)
    assert len(commands) == 3
    with contextlib.chdir(folder):
        for name, *words in map(shlex.split, commands):
            # Writing an ONNX file takes seconds, so the only one is of the opset that a test asks for.
            opset = ["--opset", "18"] if "--onnx" in words else []
            assert programs[name]([*words, *opset]) == 0, words
    return folder


@pytest.fixture
def run_folder(user) -> Path:
    return user / "results/demo/runs/longtailed/resnet8/balanced_softmax/seed42"


def test_the_python_of_the_guide_runs_and_agrees_with_its_commands(user, capsys):
    with contextlib.chdir(user):
        for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL):
            exec(compile(block, GUIDE.name, "exec"), {})  # noqa: S102 (our own page)
        first = pd.read_csv("predictions.csv").iloc[0]
        second = read_parquet("predictions.parquet")
    printed = capsys.readouterr().out
    name, share = printed.splitlines()[0].rsplit(" ", 1)
    assert (name, float(share)) == (first["class_1"], pytest.approx(first["probability_1"], abs=1e-4))
    assert f"{name} " in printed.splitlines()[2]
    assert len(second) == 2
    np.testing.assert_allclose(second["probability_1"], first["probability_1"], atol=1e-6)


def test_the_onnx_file_gives_the_probabilities_of_predict_for_any_batch(user, run_folder, tmp_path):
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (5, CARD.stored_size, CARD.stored_size, 3), dtype=np.uint8)
    (pictures := tmp_path / "pictures").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(pictures / f"{index}.png")
    model = str(run_folder / "model.safetensors")
    assert predict([model, str(pictures), "--output", str(tmp_path / "o.parquet"), "--threads", "1"]) == 0
    expected = read_parquet(tmp_path / "o.parquet")
    session = onnxruntime.InferenceSession(user / "digits.onnx")
    for images, rows in ((pixels, expected), (pixels[:1], expected[:1])):
        logits, shares = session.run(None, {"images": images.transpose(0, 3, 1, 2)})
        assert logits.shape == shares.shape == (len(images), 3)
        ranked = -np.sort(-shares, axis=1)
        np.testing.assert_allclose(ranked, rows.filter(like="probability").to_numpy(), atol=1e-4)
        names = np.array(CARD.class_names)[shares.argmax(axis=1)]
        assert names.tolist() == rows["class_1"].tolist()


@pytest.fixture(scope="module")
def odd_pictures(tmp_path_factory) -> list[Path]:
    """Pictures of every kind whose pixels are not simply red, green and blue as they lie in the file."""
    folder = tmp_path_factory.mktemp("odd")
    rng = np.random.default_rng(5)
    noise = Image.fromarray(rng.integers(0, 256, (23, 38, 4), dtype=np.uint8), "RGBA")
    rgb, exif = noise.convert("RGB"), Image.Exif()
    deep = Image.fromarray(rng.integers(0, 65536, (38, 23), dtype=np.uint16))
    for orientation in (3, 5, 6, 8):
        exif[274] = orientation
        rgb.save(folder / f"turned{orientation}.png", exif=exif)
    deep.save(folder / "deep_turned.png", exif=exif)
    deep.save(folder / "deep_turned.tif", exif=exif)
    rgb.convert("L").save(folder / "grey_turned.tif", exif=exif)
    rgb.save(folder / "photo.jpg")
    rgb.resize((300, 2)).save(folder / "strip.png")
    rgb.resize((12, 12)).save(folder / "exact.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.convert("YCbCr").save(folder / "ycbcr.tif")
    rgb.convert("LAB").save(folder / "lab.tif")
    rgb.convert("1").save(folder / "bits.png")
    rgb.convert("L").save(folder / "grey.png")
    rgb.convert("L").save(folder / "grey_clear.png", transparency=90)
    rgb.save(folder / "rgb_clear.png", transparency=rgb.getpixel((3, 3)))
    noise.save(folder / "alpha.png")
    noise.save(folder / "alpha.webp", lossless=True)
    noise.convert("LA").save(folder / "grey_alpha.png")
    palette = rgb.quantize(20)
    palette.save(folder / "palette.png")
    palette.save(folder / "palette_clear.png", transparency=4)
    palette.save(folder / "palette_clear.gif", transparency=4)
    deep.save(folder / "deep.tif")
    frames = [rgb.rotate(90 * turns) for turns in range(3)]
    for name in ("moving.gif", "moving.png", "moving.webp", "pages.tif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    Image.fromarray(np.arange(35, dtype=np.int32).reshape(5, 7) * 1800).save(folder / "whole.tif")
    return sorted(folder.iterdir())


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"resize": "crop"},
        {"resize": "pad"},
        {"resize": "pad", "pad_with": [9, 0, 255]},
        {"resize": "pad", "pad_with": "reflect"},
    ],
)
def test_the_code_beside_the_onnx_file_gives_what_predict_gives(
    user, run_folder, odd_pictures, capsys, monkeypatch, facts
):
    # The code for each picture opens the same file.
    monkeypatch.setattr(onnxruntime, "InferenceSession", cache(onnxruntime.InferenceSession))
    model, card = load_model(run_folder / "model.safetensors")
    card = replace(card, **facts)
    expected = classify(model, card, [(path.name, path) for path in odd_pictures], top=1)
    assert (expected["error"] == "").all()
    shape = Shape(card.resize, card.pad_with)
    for path, row in zip(odd_pictures, expected.itertuples(), strict=True):
        code, found = example(card, str(user / "digits.onnx"), str(path)), {}
        assert "longtail" not in code.replace(str(user), "").replace(str(path), "")
        exec(compile(code, path.name, "exec"), found)  # noqa: S102 (our own code)
        np.testing.assert_array_equal(
            found["pixels"], decode(path, card.picture_size, shape=shape), path.name
        )
        name, share = capsys.readouterr().out.strip().rsplit(" ", 1)
        assert (name, float(share)) == (row.class_1, pytest.approx(row.probability_1, abs=1e-4)), path.name


def test_the_opset_is_the_one_that_was_asked_for(user):
    found = {one.domain: one.version for one in onnx.load(user / "digits.onnx").opset_import}
    assert found[""] == 18


@pytest.mark.parametrize(
    "values", [np.full((4, 4), 70_000, np.int32), np.full((4, 4), -1, np.int32), np.ones((4, 4), np.float32)]
)
def test_the_code_refuses_values_without_a_range_as_predict_does(user, tmp_path, values):
    path = tmp_path / "odd.tif"
    Image.fromarray(values).save(path)
    for read in (
        lambda: decode(path, 12),
        lambda: exec(example(CARD, str(user / "digits.onnx"), str(path)), {}),  # noqa: S102
    ):
        with pytest.raises(ValueError, match="have no known range; save the picture with 8 or 16 bits"):
            read()


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}, {33422: b"\0\1\1\2"}])
def test_the_code_takes_no_preview_for_the_picture_as_predict_does(user, tmp_path, tags):
    path = tmp_path / "IMG_1.tif"
    Image.new("RGB", (8, 8)).save(path, tiffinfo=tags)
    for read in (
        lambda: decode(path, 12),
        lambda: exec(example(CARD, str(user / "digits.onnx"), str(path)), {}),  # noqa: S102
    ):
        with pytest.raises(ValueError, match=r"a RAW file of a camera, or (one that )?begins with"):
            read()


@pytest.mark.parametrize("quotes", ["a\"b'", "a'b", 'a"b', "ab\\", "\ud800ü"])
def test_paths_in_the_code_stay_texts(quotes):
    hostile = f"{quotes}\nimport os\nFILE ``` PICTURE.onnx"
    code = example(CARD, hostile, f"{hostile}.jpg")
    code.encode()
    texts = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    assert hostile in texts and f"{hostile}.jpg" in texts


def test_the_guide_shows_the_code_of_the_card():
    assert f"```python\n{example(CARD, 'digits.onnx')}```" in GUIDE.read_text()


def test_the_onnx_file_is_one_file_that_says_how_to_use_it(user):
    assert [path.name for path in user.glob("*.onnx*")] == ["digits.onnx"]
    told = onnxruntime.InferenceSession(user / "digits.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(told["class_names"]) == CARD.class_names
    assert json.loads(told["longtail"])["temperature"] == float(told["temperature"]) == 1.5
    assert told["input"].startswith("images: uint8, batch x 3 x 12 x 12, RGB")
    assert "stretched to 12 x 12 pixels with antialiased" in told["input"]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, "stretched to 12 x 12 pixels"),
        ({"resize": "crop"}, "cut to the largest square in the middle and resized to 12 x 12 pixels"),
        ({"resize": "pad"}, "12 pixels on the longer side and completed to 12 x 12 pixels by black"),
        ({"resize": "pad", "pad_with": [9, 0, 255]}, "by the colour 9, 0, 255"),
        ({"resize": "pad", "pad_with": "reflect"}, "by the picture mirrored at its edges"),
    ],
)
def test_the_page_and_the_onnx_file_say_how_pictures_become_squares(facts, told):
    squared = replace(CARD, **facts)
    assert f"{told} and from there resized to 20 x 20." in model_page(squared, file="m.safetensors")
    assert f"{told} with antialiased bilinear interpolation" in metadata(squared)["input"]


def test_a_file_that_does_not_agree_is_told(user, run_folder):
    model, card = load_model(run_folder / "model.safetensors")
    assert largest_difference(user / "digits.onnx", model, card) < 1e-6
    with pytest.raises(ValueError, match=r"differ by .* in a probability .* the file is not that model"):
        largest_difference(user / "digits.onnx", model, replace(card, temperature=1.6))
    with torch.no_grad():
        next(model.parameters()).mul_(1.1)
    with pytest.raises(ValueError, match="the file is not that model"):
        largest_difference(user / "digits.onnx", model, card)


def test_the_page_states_data_results_recipe_and_limits(user):
    page = (user / "digits.md").read_text(encoding="utf-8")
    rows = {
        cells[0]: cells[1:]
        for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines())
        if len(cells) > 1
    }
    assert rows["training images"] == ["52"]
    assert rows["imbalance"] == ["20 to 1"]
    assert rows["of the rarest class"] == ["2 (`ćma/тест`)"]
    assert rows["Balanced"] == ["300", *["50.0%"] * 5]
    assert rows["Long-tailed"] == ["120", *["81.2%"] * 5]
    assert rows["Tail"] == ["0", *["–"] * 5]
    assert rows["`trained on`"] == ["Abacus 7"]
    assert rows["`time`"] == ["1:02:05"]
    assert rows["1"] == ["`Biene`", "10"]
    assert "divided by the temperature 1.500" in page
    assert "2 of 3 classes had fewer than 20 training images: `Biene`, `ćma/тест`" in page
    assert "few test images (middle 20, tail 0)" in page
    run_folder = "results/demo/runs/longtailed/resnet8/balanced_softmax/seed42"
    assert f"longtail predict {run_folder}/model.safetensors photos/" in page


def header(page: str) -> dict:
    """The YAML at the beginning of a page, as hubs read it: to the first line of three dashes."""
    return yaml.safe_load(re.fullmatch(r"---\n(.*?)\n---\n\n# .*", page, re.DOTALL)[1])


def cells_of(page: str) -> dict[str, list[str]]:
    """The rows of all tables by their first cells."""
    rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "|" in line
    )
    return {first: rest for first, *rest in rows}


FOLDER = 'mo: "ths" {{x}} --- #'


@pytest.fixture
def answered(user, tmp_path) -> Path:
    """The user's results with a split, groups, a list's columns, and answers to 30 test images, 24 of them right."""
    results = shutil.copytree(user / "results/demo", tmp_path / "results")
    folder = results / "runs/longtailed/resnet8/balanced_softmax/seed42"
    rows = [
        *((label, "train") for label, count in enumerate(CARD.class_counts) for _ in range(count)),
        *((label, "val") for label in range(3) for _ in range(2)),
        *((label, "test") for label in range(3) for _ in range(10)),
    ]
    split = pd.DataFrame(rows, columns=["label", "subset"]).assign(longtailed=True)
    split["image_id"] = split.index
    split["class_name"] = split["label"].map(dict(enumerate(CARD.class_names)))
    split["group"] = split["label"].map(["head", "middle", "tail"].__getitem__)
    split["cluster"] = split.index.where(split["subset"] != "train", split["label"])
    write_parquet(split, results / "data/split.parquet")
    days = [f"2024-05-{1 + place % 28:02}" for place in range(len(split))]
    metadata = pd.DataFrame({"image_id": split["image_id"], "path": "", "date": days, "trap": "A"})
    write_parquet(metadata, results / "data/metadata.parquet")
    configuration = tmp_path / "moths.yaml"
    data = {"source": "image_folder", "image_folder": {"path": f"/pictures/{FOLDER}/list.csv"}}
    configuration.write_text(yaml.safe_dump({"data": data}))
    Proofs([configuration]).write([results / "data/split.parquet"], "key of the split")
    test = split[split["subset"] == "test"]
    taken = test["label"].where(
        test["image_id"] % 5 > 0, 0
    )  # two of each ten images of the others go to class 0
    taken[(test["label"] == 0) & (test["image_id"] % 5 == 0)] = 1
    logits = list(np.eye(3, dtype=np.float32)[taken])
    made_by = {"model": digest_of(folder / MODEL)}
    write_parquet(test[["image_id", "label"]].assign(logits=logits), folder / PREDICTIONS, made_by)
    Proofs().write([folder / MODEL, folder / RECORD], "key of the training")
    return folder


def test_the_page_has_the_collection_every_class_and_the_calibration_after_the_temperature(
    answered, tmp_path, monkeypatch
):
    page = tmp_path / "page.md"
    assert main([str(answered / MODEL), "--card", str(page), "--license", "CC-BY-4.0"]) == 0
    text = page.read_text(encoding="utf-8")
    rows = cells_of(text)
    assert rows["collection"] == [f"`{FOLDER}/list.csv`"]
    assert rows["training images"] == ["52 in 3 groups"]
    assert rows["validation images"] == ["6 in 6 groups"]
    assert rows["test images"] == ["30 in 30 groups"]
    assert rows["also known of each image"] == ["`date` (2024-05-01 to 2024-05-28), `trap`"]
    assert "all in one of these sets" in text
    # Wilson's interval of 8 in 10, as its tables have it; precision 8 of 10 + 2 - 2 and 8 of 8.
    by_name = {
        name: dict(zip(heads_of(text, "Class"), [name, *cells], strict=True))
        for name, cells in rows.items()
        if len(cells) == len(heads_of(text, "Class")) - 1
    }
    bee = by_name["Biene"]
    assert (bee["Recall (%)"], bee["… [95 %]"]) == ("80.0", "49.0 to 94.3")
    assert (bee["Precision (%)"], bee["F1 (%)"]) == ("80.0", "80.0")
    assert (bee["Training images"], bee["Test images"], bee["Training groups"]) == ("10", "10", "1")
    assert (bee["Most taken for"], bee["… (%)"]) == ("ape, small", "20.0")
    assert by_name["ćma/тест"]["Precision (%)"] == "100.0"
    # softmax of (3, 0, 0) and, with the temperature 1.5, of (2, 0, 0): 0.909 and 0.787; 24 of 30 are right.
    assert rows["as trained"][:3] == ["90.9%", "80.0%", "10.9%"]
    assert rows["after the temperature"][:3] == ["78.7%", "80.0%", "1.3%"]
    assert "Of 30 test images, 80.0 % are right [62.7, 90.5]" in text
    told = header(text)
    assert (told["license"], told["library_name"]) == ("cc-by-4.0", "longtail")
    first = told["model-index"][0]["results"][0]
    assert first["dataset"]["name"] == f"{FOLDER}/list.csv, balanced test images"
    assert {metric["type"]: metric["value"] for metric in first["metrics"]} == {"accuracy": 0.5, "f1": 0.5}
    assert not page.with_suffix(".classes.csv").exists()
    monkeypatch.setattr("longtail.inference.page.LISTED", 1)
    assert main([str(answered / MODEL), "--card", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "The 1 best classes; `page.classes.csv` has all 3:" in text
    assert header(text)["license"] == "unknown"
    beside = pd.read_csv(page.with_suffix(".classes.csv"))
    assert sorted(beside["class_name"]) == sorted(CARD.class_names)
    assert beside["recall"].tolist() == [0.8] * 3


def heads_of(page: str, first: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if re.match(rf"\| {first}  ", line)]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("subset", ["train", "test"])
def test_a_split_or_predictions_that_were_made_anew_are_not_shown_as_the_models(answered, tmp_path, subset):
    if subset == "test":
        other_weights(answered / MODEL)
    else:
        path = answered.parents[4] / "data/split.parquet"
        write_parquet(read_parquet(path).iloc[1:], path)
    assert main([str(answered / MODEL), "--card", str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "Results by class" not in text and "validation images" not in text


RECIPE = CARD.recipe


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"loss": "ldam", "recipe": {**RECIPE, "drw": {"start": 0.8, "beta": 0.9999}}}, "LDAM-DRW"),
        ({"loss": "vs", "recipe": {**RECIPE, "drw": {"start": 0.8, "beta": 0.9999}}}, "VS-DRW"),
        ({"loss": "ldam"}, "LDAM"),
        ({"recipe": {**RECIPE, "mixup": {"alpha": 1.0, "remix": None}}}, "Softmax with Mixup"),
        ({"recipe": {**RECIPE, "mixup": {"alpha": 1.0, "remix": {"tau": 0.5}}}}, "Softmax with Remix"),
        ({"recipe": {**RECIPE, "sampler": "square_root"}}, "Softmax with square-root sampler"),
        ({"started_from": {"source": None, "retrain": "new"}}, "cRT"),
        ({"started_from": {"retrain": "scale"}, "loss": "focal"}, "LWS with Focal"),
        ({"head": "scaled"}, "LWS"),
        ({"variant": {"adjust": "la", "tau": 1.0}}, "Softmax + LA"),
        ({"loss": {"path": "own.py", "name": "Mine"}}, "Mine"),
    ],
)
def test_the_loss_is_named_as_people_say_it(facts, name):
    assert loss_name(replace(CARD, **facts)) == name
    assert f"# ResNet-8, {name}\n" in model_page(replace(CARD, **facts), file="m.safetensors")


@pytest.mark.parametrize("variant", [None, {"adjust": "la", "tau": 1.0}])
def test_what_was_fitted_to_the_validation_images_is_listed_where_it_was(variant):
    fitted = {"`calibrate`", "`false_rejection`"}
    card = replace(CARD, variant=variant, temperature=1.5, known_from=0.0, recipe=Recipe().settings())
    rows = cells_of(model_page(card, file="m.safetensors"))
    assert fitted <= set(rows) and ("`classifier changed afterwards`" in rows) == bool(variant)
    without = replace(card, temperature=None, known_from=None)
    assert not fitted & set(cells_of(model_page(without, file="m.safetensors")))


@pytest.mark.parametrize(
    ("loss", "parameters", "listed"),
    [
        ("softmax", {"smoothing": 0.0, "s": 1.0}, set()),
        ("softmax", {"smoothing": 0.1, "s": 25.0}, {"smoothing", "s"}),
        ("focal", {"gamma": 0.0}, {"gamma"}),  # its default is 2, so somebody has set that
        ("ldam", {"max_m": 0.5, "s": 30.0}, {"max_m", "s"}),
        ({"path": "own.py", "name": "Mine"}, {"weight": 0, "table": None}, {"weight"}),
    ],
)
def test_parameters_of_a_loss_that_did_nothing_are_not_listed(loss, parameters, listed):
    rows = cells_of(model_page(replace(CARD, loss=loss, loss_parameters=parameters), file="m.safetensors"))
    assert {cell for cell in rows if cell.startswith("`loss: ")} == {f"`loss: {name}`" for name in listed}


def test_only_settings_that_acted_are_listed_with_the_papers():
    off = Recipe().settings()
    rows = cells_of(model_page(replace(CARD, loss="ldam", recipe=off, known_from=1.0), file="m.safetensors"))
    assert {"`schedule`", "`step_size`", "`gamma`", "`flips`", "`false_rejection`"} <= set(rows)
    absent = [
        "augment",
        "augment_operations",
        "momentum",
        "milestones",
        "lora_rank",
        "mixup",
        "drw",
        "ema",
        "compile",
    ]
    assert not {f"`{name}`" for name in absent} & set(rows)
    assert "Margin Loss, NeurIPS 2019" in rows["`paper of the loss`"][0]
    on = Recipe(
        augment="rand",
        optimizer="sgd",
        schedule="multistep",
        mixup={},
        drw={},
        tune="lora",
        flip=False,
        calibrate=False,
    ).settings()
    rows = cells_of(model_page(replace(CARD, recipe=on), file="m.safetensors"))
    assert {"`augment_operations`", "`momentum`", "`milestones`", "`lora_rank`", "`mixup.alpha`"} <= set(rows)
    assert not {"`step_size`", "`flips`", "`false_rejection`", "`mixup.remix`"} & set(rows)
    assert rows["`drw`"] == ["Class-balanced weights from a late epoch on (Cao et al., 2019)."]
    at_once = Recipe(drw={"start": 0}).settings()
    assert cells_of(model_page(replace(CARD, recipe=at_once), file="m.safetensors"))["`drw.start`"] == ["0.0"]


def test_every_condition_of_a_setting_can_be_met():
    for name, field in Recipe.model_fields.items():
        for need in field.metadata:
            if isinstance(need, Where):
                assert set(need.values) <= {*get_values(need.name)}, name


def get_values(name: str) -> list:
    """The values that the configuration's schema allows for a setting."""
    schema = json.loads((GUIDE.parents[1] / "config/schema.json").read_text())
    allowed = schema["$defs"]["Recipe"]["properties"][name]
    options = [allowed, *allowed.get("anyOf", [])]
    if allowed.get("type") == "boolean":
        return [True, False]
    return [value for each in options for value in each.get("enum", [])]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (None, "is not known: an earlier version made the file"),
        ({"retrain": "new"}, "is not known"),
        ({"source": None}, "started from random weights"),
        ({"source": "timm/a.b", "license": "apache-2.0"}, "`timm/a.b`. Their licence: `apache-2.0`."),
        (
            {"source": "t/a", "file": "f.pth", "sha256": "12ab"},
            "`f.pth` (SHA-256 `12ab`), which nothing proves",
        ),
        (
            {"source": "t/a", "file": "f", "sha256": "1", "as_published": True},
            "(SHA-256 `1`). Their licence is not known",
        ),
    ],
)
def test_the_weights_that_training_started_from_are_named(facts, told):
    page = model_page(replace(CARD, started_from=facts), file="m.safetensors")
    assert told in page
    hub = {"source": "timm/a.b", "url": "https://huggingface.co/timm/a.b/resolve/main/model.safetensors"}
    assert header(model_page(replace(CARD, started_from=hub), file="m"))["base_model"] == "timm/a.b"
    assert "base_model" not in header(page)


@pytest.mark.parametrize(
    "name", ["---", "a: b", "q\"'", "x\n---\ny", "{{ y }}", "- [z](http://w)", "\ud800", "!!python/x"]
)
def test_hostile_names_stay_texts_in_the_header_and_the_page(name):
    evaluation = pd.DataFrame([{"test_set": "balanced", "metric": "acc1", "value": 0.5, "n": 3}])
    card = replace(CARD, class_names=[name, "b", "c"], loss={"path": "p", "name": name})
    page = model_page(card, file="m", run=RunFiles(evaluation=evaluation, folder=name, source=name))
    page.encode()
    told = header(page)["model-index"][0]
    assert told["name"] == f"ResNet-8, {printable(name)}"
    assert told["results"][0]["dataset"]["name"] == f"{printable(name)}, balanced test images"
    body = page.split("\n---\n", 1)[1]
    assert not any(line.strip() == "---" for line in body.splitlines())
    assert "<a " not in MarkdownIt("commonmark").enable("table").render(body)


def test_names_with_markdown_in_them_stay_names():
    names = ["a|b", "`c`", "<script>alert(1)</script>\n# d"]
    page = model_page(replace(CARD, class_names=names), file="model.safetensors")
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(page)
    assert "<script>" not in html
    assert "<h1>d" not in html
    assert html.count("<code>a|b</code>") == 2  # as the most frequent class, and among all
    assert "<code>`c`</code>" in html


def test_a_page_without_the_run_says_what_is_missing(tmp_path, capsys):
    model = save(tmp_path / "model.safetensors", temperature=None)
    assert main([model, "--card", str(tmp_path / "page.md")]) == 0
    page = (tmp_path / "page.md").read_text()
    assert "None were found" in page
    assert "Probabilities are not calibrated" in page
    assert "without results" in capsys.readouterr().out


def test_a_damaged_evaluation_or_record_is_named(user, run_folder, tmp_path, capsys):
    model = save(tmp_path / "model.safetensors")
    page = ["--card", str(tmp_path / "page.md")]
    (tmp_path / "run.json").write_text("{")
    assert main([model, *page]) == 1
    assert "run.json" in capsys.readouterr().err
    (tmp_path / "run.json").unlink()
    content = (user / "results/demo/evaluation.parquet").read_bytes()
    (tmp_path / "evaluation.parquet").write_bytes(content[:-20])
    assert main([model, *page, "--evaluation", str(tmp_path / "evaluation.parquet")]) == 1
    assert "evaluation.parquet" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_a_model_that_was_moved_has_the_results_of_the_only_run_of_a_file(user, run_folder, tmp_path, capsys):
    model = save(tmp_path / "model.safetensors")
    whole, copied = tmp_path / "whole.parquet", user / "results/demo/evaluation.parquet"
    words = [model, "--card", str(tmp_path / "page.md"), "--evaluation"]
    assert main([*words, str(copied)]) == 0, "the file says of which models its rows are"
    assert "nothing proves it" not in (tmp_path / "page.md").read_text()
    write_parquet(read_parquet(copied), whole)  # as an earlier version did
    assert main([*words, str(whole)]) == 1
    assert f"{whole} holds 2 runs with results where one is needed" in capsys.readouterr().err
    only = read_parquet(whole).query("seed == 42")
    write_parquet(only, tmp_path / "one.parquet")
    assert main([*words, str(tmp_path / "one.parquet")]) == 0
    assert "81.2%" in (page := (tmp_path / "page.md").read_text())
    assert "nothing proves it" in page
    in_its_place = [str(run_folder / "model.safetensors"), *words[1:]]
    write_parquet(read_parquet(whole).query("seed == 43"), tmp_path / "other.parquet")
    assert main([*in_its_place, str(tmp_path / "other.parquet")]) == 1
    assert (
        "holds 0 runs with results where one is needed (longtailed/resnet8/balanced_softmax"
        in capsys.readouterr().err
    )


def other_weights(path: Path) -> None:
    """Train anew: other weights under the same card."""
    model, card = load_model(path)
    with torch.no_grad():
        next(model.parameters()).mul_(1.1)
    save_model(path, model.state_dict(), card)


def remade_predictions(run_folder: Path) -> None:
    model, predictions = run_folder / MODEL, run_folder / PREDICTIONS
    other_weights(model)
    write_parquet(pd.DataFrame({"of": [1]}), predictions, {"model": digest_of(model)})
    Proofs().write([model, run_folder / RECORD], "key")


@pytest.mark.parametrize(
    ("change", "record_too", "told"),
    [
        (lambda folder: other_weights(folder / MODEL), True, "of another model of this run"),
        (remade_predictions, False, "of another model of this run"),
        (
            lambda folder: write_parquet(
                read_parquet(folder.parents[4] / "evaluation.parquet").assign(value=0.8125),
                folder.parents[4] / "evaluation.parquet",
            ),
            False,
            "of which model",
        ),
    ],
)
def test_results_and_record_of_other_weights_are_left_out_and_told(
    user, tmp_path, change, record_too, told, capsys
):
    results = shutil.copytree(user / "results/demo", tmp_path / "demo")
    folder = results / "runs/longtailed/resnet8/balanced_softmax/seed42"
    words = [str(folder / MODEL), "--card", str(tmp_path / "page.md")]
    assert main(words) == 0
    assert "81.2%" in (tmp_path / "page.md").read_text()
    assert load_results(results).trained_anew == []  # and there is no warning, which would be an error here
    change(folder)
    if told.startswith("of another model"):
        with pytest.warns(
            UserWarning, match="longtailed/resnet8/balanced_softmax/seed42, which was trained anew"
        ):
            load_results(results)
    capsys.readouterr()
    assert main(words) == 0
    page = (tmp_path / "page.md").read_text()
    assert "81.2%" not in page
    assert told in page and told in capsys.readouterr().out
    assert ("Abacus 7" not in page) == record_too
    prove(folder)
    assert main(words) == 0
    assert "81.2%" in (tmp_path / "page.md").read_text()


def test_results_that_are_named_but_proven_to_be_of_other_weights_are_refused(
    user, run_folder, tmp_path, capsys
):
    evaluation = ["--evaluation", str(user / "results/demo/evaluation.parquet")]
    page = ["--card", str(tmp_path / "page.md")]
    moved = Path(shutil.copy(run_folder / MODEL, tmp_path / MODEL))
    assert main([str(moved), *page, *evaluation]) == 0
    assert "81.2%" in (tmp_path / "page.md").read_text()
    other_weights(moved)
    assert main([str(moved), *page, *evaluation]) == 1
    assert f"but of other weights than {moved} holds" in capsys.readouterr().err


def test_a_run_that_is_not_in_the_evaluation_has_a_page_without_results(user, run_folder, tmp_path, capsys):
    moved = tmp_path / "results/runs/longtailed/resnet8/ldam/seed42/model.safetensors"
    moved.parent.mkdir(parents=True)
    shutil.copy(run_folder / "model.safetensors", moved)
    shutil.copy(user / "results/demo/evaluation.parquet", tmp_path / "results/evaluation.parquet")
    assert main([str(moved), "--card", str(tmp_path / "page.md")]) == 0
    assert "without results" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "give --onnx FILE, or --card FILE"), (["--onnx", "model.pt"], "must end in .onnx")],
)
def test_options_that_do_not_fit_are_refused(capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        main(["model.safetensors", *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_model_and_missing_packages_are_named(tmp_path, monkeypatch, capsys):
    model = str(tmp_path / "none.safetensors")
    assert main([model, "--card", str(tmp_path / "page.md")]) == 1
    assert f"error: {model} does not exist" in capsys.readouterr().err
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else name)
    assert main([model, "--onnx", str(tmp_path / "a.onnx")]) == 1
    assert capsys.readouterr().err == "error: ONNX needs onnxscript: pip install onnxscript\n"
