"""`longtail evaluate` and `longtail worklist`, on a small folder of results made for the purpose."""

import base64
import csv
import errno
import hashlib
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cards import card
from PIL import Image

from longtail.data.collection.listing import image_id
from longtail.data.tensors.files import LabelledImages, save_tensors
from longtail.evaluate import SOME_LEFT_OUT
from longtail.evaluate import main as evaluate
from longtail.files.parquet import read_about, read_parquet, write_parquet
from longtail.inference.logits import logits_of, probabilities
from longtail.inference.pictures import classify, find_pictures
from longtail.models import build_model
from longtail.models.card import digest_of
from longtail.models.file import load_model, save_model
from longtail.worklist import main as worklist

NAMES = ["Idaea aversata", "Noctua pronuba", "Xestia c-nigrum"]
CARD = card(class_names=NAMES, class_counts=[9, 6, 3], image_size=8, temperature=0.5)


def picture(path: Path, label: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 90, (8, 8, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((noise + 80 * label).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder of results with one run: 30 test images, of which it takes 6 for others, and 6 for validation."""
    folder = tmp_path_factory.mktemp("made")
    rows = []
    for place in range(54):
        label, subset = (
            place % 3,
            ("train", "test", "test", "test", "test", "test", "val", "train", "train")[place // 6],
        )
        name = f"photos/{label}/{place}.png"
        picture(folder / name, label, place)
        rows.append((image_id(name), name, NAMES[label], label, subset, place // 2))
    split = pd.DataFrame(rows, columns=["image_id", "path", "class_name", "label", "subset", "cluster"])
    split = split.assign(
        longtailed=split["subset"] != "val", group=split["label"].map(["head", "middle", "tail"].__getitem__)
    )
    results = folder / "results"
    hashes = [hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in split["path"]]
    write_parquet(split[["image_id", "path"]].assign(sha256=hashes), results / "data/index.parquet")
    write_parquet(split.drop(columns="path"), results / "data/split.parquet")
    for subset, name in (("val", "val"), ("test", "test_longtailed")):
        own = split[split["subset"] == subset]
        pixels = [np.asarray(Image.open(folder / path)) for path in own["path"]]
        images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
        ids, labels = (torch.tensor(own[column].to_numpy()) for column in ("image_id", "label"))
        save_tensors(LabelledImages(images, labels, ids, NAMES), results / f"data/{name}.pth")
    run = results / "runs/longtailed/resnet8/softmax/seed1"
    run.mkdir(parents=True)
    torch.manual_seed(0)
    network = build_model("resnet8", num_classes=3, image_size=8)
    save_model(run / "model.safetensors", network.state_dict(), CARD)
    test = split[split["subset"] == "test"].reset_index(drop=True)
    taken = test["label"].where(test.index % 5 > 0, (test["label"] + 1) % 3)
    logits = 3 * np.eye(3)[taken]
    answer(run, test, logits)
    return folder


def answer(run: Path, test: pd.DataFrame, logits: np.ndarray, **view: object) -> None:
    """The predictions of the model of a run."""
    frame = test[["image_id", "label"]].assign(logits=list(logits.astype(np.float32)))
    write_parquet(frame, run / "predictions.parquet", {"model": digest_of(run / "model.safetensors"), **view})


@pytest.fixture(scope="module")
def model(made) -> str:
    return str(made / "results/runs/longtailed/resnet8/softmax/seed1/model.safetensors")


@pytest.fixture(scope="module", autouse=True)  # Many tests read them without asking for their list.
def photographs(made) -> Path:
    """Forty new photographs of two nights each, and a file that the model was trained on."""
    rows = [("photos/0/0.png", NAMES[0], "night 0")]
    for place in range(40):
        picture(made / f"new/{place}.png", place % 3, 1000 + place)
        rows.append((f"new/{place}.png", NAMES[place % 3], f"night {place // 4}"))
    return write_list(made / "new.csv", rows)


def write_list(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
    return path


def test_the_answer_is_what_predict_gives(model, photographs, tmp_path, capsys):
    assert evaluate([model, str(photographs), "--output", str(tmp_path), "--threads", "1"]) == SOME_LEFT_OUT
    printed = capsys.readouterr()
    assert "left out: 1 photographs that the model was trained on or selected by" in printed.err
    network, own = load_model(model)
    rows = pd.read_csv(photographs).iloc[1:]
    theirs = classify(network, own, find_pictures([photographs]).pictures, top=3).iloc[1:]
    right = theirs["class_1"].to_numpy() == rows["label"].to_numpy()
    sets = pd.read_csv(tmp_path / "sets.csv").set_index("set")
    assert sets.loc["all", ["n", "clusters"]].tolist() == [40, 10]
    assert sets.loc["all", "acc1"] == pytest.approx(right.mean())
    assert sets.loc["all", "confidence"] == pytest.approx(theirs["probability_1"].mean(), abs=1e-5)
    assert sets.loc["head", "n"] == (rows["label"] == NAMES[0]).sum()
    assert sets.loc["all", "low"] < right.mean() < sets.loc["all", "high"]
    assert sets.loc["all", "acc1_test"] == pytest.approx(0.8), "24 of its 30 test images"
    classes = pd.read_csv(tmp_path / "classes.csv").set_index("class_name")
    assert classes["n_test"].tolist() == [14, 13, 13]
    for name in NAMES:
        own_right = right[(rows["label"] == name).to_numpy()]
        assert classes.loc[name, "recall"] == pytest.approx(own_right.mean())
    square = pd.read_csv(tmp_path / "confusion.csv", index_col=0)
    assert square.to_numpy().sum() == 40
    assert np.trace(square.to_numpy()) == right.sum()
    page = (tmp_path / "evaluation.md").read_text(encoding="utf-8")
    assert f"**{100 * right.mean():.1f} % [" in page
    assert "of 40 photographs in 10 groups are right" in page
    assert "On its 30 test images 80.0 % [" in page
    assert "## How far are they from the test images?" in page
    assert "nan" not in page.lower()
    assert "Test images" not in page.partition("## Each class")[2], "they are the new photographs"
    assert f"{100 * right.mean():.1f} % [" in printed.out
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert table["right"].sum() == right.sum() and len(table) == 40


def test_a_list_with_columns_of_other_names_needs_no_configuration(model, photographs, tmp_path, capsys):
    rows = photographs.read_text(encoding="utf-8").replace("path,label,group", "Datei;Art;Nacht", 1)
    listed = tmp_path / "elsewhere/liste.csv"
    listed.parent.mkdir()
    listed.write_text("\n".join(rows.splitlines()[:1] + [r.replace(",", ";") for r in rows.splitlines()[1:]]))
    assert evaluate([model, str(listed), "--threads", "1"]) == 1
    assert "--columns path=COLUMN label=COLUMN" in capsys.readouterr().err
    said = [
        "--columns",
        "path=Datei",
        "label=Art",
        "--group-column",
        "Nacht",
        "--root",
        str(photographs.parent),
    ]
    assert evaluate([model, str(listed), "--threads", "1", *said]) == SOME_LEFT_OUT
    assert "of 40 photographs in 10 groups are right" in capsys.readouterr().out


def test_a_model_that_was_moved_is_evaluated_alone(model, photographs, tmp_path, capsys):
    moved = shutil.copy(model, tmp_path / "moths.safetensors")
    assert evaluate([str(moved), str(photographs)]) == 0
    page = capsys.readouterr().out
    assert "of 41 photographs in 10 groups" in page
    assert "its test images would be at hand" in page
    assert "test images?" not in page


def test_a_folder_of_class_folders(model, made, tmp_path, capsys):
    for place in range(6):
        picture(tmp_path / "found" / NAMES[2] / f"{place}.png", 2, 2000 + place)
    assert evaluate([model, str(tmp_path / "found")]) == 0, "one class is enough"
    assert "of 6 photographs are right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("idaea Aversata", "is that 'Idaea aversata'?"),
        ("Noctua prounba", "is that 'Noctua pronuba'?"),
        ("Bubo bubo", "1 classes that the model does not know: 'Bubo bubo'. Write"),
    ],
)
def test_a_class_that_the_model_does_not_know_is_refused_or_left_out(model, made, capsys, label, told):
    odd = write_list(made / "odd.csv", [("new/0.png", label, ""), ("new/1.png", NAMES[1], "")])
    assert evaluate([model, str(odd)]) == 1
    assert told in capsys.readouterr().err
    assert evaluate([model, str(odd), "--leave-out-unknown"]) == SOME_LEFT_OUT
    assert "of 1 photographs" in capsys.readouterr().out


@pytest.fixture
def own(made, tmp_path) -> Path:
    """A copy of the results, to change."""
    return Path(shutil.copytree(made / "results", tmp_path / "results"))


def door(name, model, photographs, tmp_path):
    if name == "evaluate":
        return evaluate([str(model), str(photographs), "--threads", "1"])
    return worklist([name, str(model), "--output", str(tmp_path / "lists")])


DOORS = ["evaluate", "wrong", "labels"]
IN_RUN = "runs/longtailed/resnet8/softmax/seed1"


@pytest.mark.parametrize("name", DOORS)
def test_what_the_model_itself_has_answered_is_taken(model, photographs, tmp_path, name):
    assert door(name, model, photographs, tmp_path) in (0, SOME_LEFT_OUT)


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("replaced", ["model.safetensors", "weights", "predictions.parquet", "copied"])
def test_what_another_model_has_answered_is_refused(own, photographs, tmp_path, capsys, name, replaced):
    """Whatever lies in .made: here nothing."""
    model, answers = own / IN_RUN / "model.safetensors", own / IN_RUN / "predictions.parquet"
    network, known = load_model(model)
    frame = read_parquet(answers)
    if replaced == "model.safetensors":
        save_model(model, network.state_dict(), replace(known, seed=7))
    elif replaced == "weights":
        with torch.no_grad():
            next(network.parameters()).mul_(1.1)
        save_model(model, network.state_dict(), known)
    elif replaced == "copied":  # from another run, whose model is a true one of its own
        other = tmp_path / "other"
        save_model(other / "model.safetensors", network.state_dict(), replace(known, seed=8))
        answer(other, frame, np.stack(frame["logits"].to_list()))
        shutil.copy(other / "predictions.parquet", answers)
    else:
        write_parquet(frame, answers)
    assert door(name, model, photographs, tmp_path) == 1
    assert f"{answers} does not say that it is what {model} has answered" in capsys.readouterr().err


def test_new_photographs_are_cropped_as_the_test_images_were(own, photographs, tmp_path, capsys):
    model, split = own / IN_RUN / "model.safetensors", read_parquet(own / "data/split.parquet")
    test = split[split["subset"] == "test"].reset_index(drop=True)
    answer(own / IN_RUN, test, 3 * np.eye(3)[test["label"]], crops="five", expand=4)
    words = [str(model), str(photographs), "--threads", "1", "--output", str(tmp_path / "out")]
    assert evaluate(words) == SOME_LEFT_OUT
    network, known = load_model(model)
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    images = [np.asarray(Image.open(photographs.parent / path)) for path in table["path"]]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    logits = logits_of(network, pixels, known, torch.device("cpu"), crops="five", expand=4)
    expected = probabilities(logits, known).max(dim=1).values.numpy()
    np.testing.assert_allclose(table["probability"], expected, atol=1e-5)
    assert "mean over five crops" in (tmp_path / "out/evaluation.md").read_text()
    whole = probabilities(logits_of(network, pixels, known, torch.device("cpu")), known)
    assert np.abs(whole.max(dim=1).values.numpy() - table["probability"]).max() > 1e-3


@pytest.mark.parametrize("name", DOORS)
def test_a_split_that_was_made_anew_since_is_refused(own, photographs, tmp_path, capsys, name):
    path = own / "data/split.parquet"
    split = read_parquet(path)
    train, test = (split.index[split["subset"] == subset][0] for subset in ("train", "test"))
    split.loc[[train, test], "subset"] = ["test", "train"]
    write_parquet(split, path)
    assert door(name, own / IN_RUN / "model.safetensors", photographs, tmp_path) == 1
    assert "which was made anew since" in capsys.readouterr().err


def test_a_link_to_a_model_leads_to_its_run(made, model, photographs, tmp_path, capsys):
    link = tmp_path / "best.safetensors"
    link.symlink_to(model)
    trained = made / "photos/0"
    rows = [(str(path), NAMES[0], "") for path in sorted(trained.glob("*.png"))]
    listed = write_list(tmp_path / "old.csv", rows)
    said = []
    for path in (model, link):
        code = evaluate([str(path), str(listed), "--threads", "1"])
        said.append((code, capsys.readouterr().err))
    assert said[0] == said[1]
    assert "photographs that the model was trained on or selected by" in said[1][1]


def test_without_the_index_of_a_collection_nobody_knows_what_was_trained_on(own, photographs, capsys):
    (own / "data/index.parquet").unlink()
    assert evaluate([str(own / IN_RUN / "model.safetensors"), str(photographs), "--threads", "1"]) == 1
    assert "says on which files" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["sets.csv", "calibration.md", "classes.html", "confusion.csv", "evaluation.html", "predictions.csv"],
)
def test_nothing_is_written_over_the_list(made, model, photographs, tmp_path, capsys, name):
    shutil.copytree(made / "new", tmp_path / "new")
    lines = photographs.read_text(encoding="utf-8").splitlines(keepends=True)
    listed = tmp_path / name
    listed.write_text("".join(line for line in lines if not line.startswith("photos")), encoding="utf-8")
    before = listed.read_bytes()
    assert evaluate([model, str(listed), "--output", str(tmp_path), "--threads", "1"]) == 1
    assert listed.read_bytes() == before
    assert "is one of the inputs" in capsys.readouterr().err


def test_a_model_of_equal_counts_has_no_head_and_tail(photographs, tmp_path, capsys):
    path = tmp_path / "balanced.safetensors"
    network = build_model("resnet8", num_classes=3, image_size=8)
    save_model(path, network.state_dict(), replace(CARD, class_counts=[5, 5, 5]))
    assert evaluate([str(path), str(photographs), "--threads", "1"]) == 0
    page = capsys.readouterr().out
    assert "Each class" in page
    assert not any(group in page for group in ("Head", "Middle", "Tail"))


def test_a_class_without_test_images_has_the_group_of_the_split(own, photographs, capsys):
    for name in ("data/split.parquet", f"{IN_RUN}/predictions.parquet"):
        frame = read_parquet(own / name)
        tested = frame["subset"] == "test" if "subset" in frame else frame["label"] >= 0
        frame = frame[~((frame["label"] == 2) & tested)].reset_index(drop=True)
        if "group" in frame:
            frame["group"] = frame["label"].map(["many", "medium", "few"].__getitem__)
        write_parquet(frame, own / name, read_about(own / name))
    assert evaluate([str(own / IN_RUN / "model.safetensors"), str(photographs), "--threads", "1"]) != 1
    page = capsys.readouterr().out
    assert "Few" in page
    assert "Tail" not in page


@pytest.mark.parametrize("output", ["photos", "photos/0", "photos/a/new", "linked"])
def test_nothing_is_written_into_the_folder_of_the_photographs(made, model, tmp_path, capsys, output):
    folder = Path(shutil.copytree(made / "photos", tmp_path / "photos"))
    (tmp_path / "linked").symlink_to(folder)
    before = sorted(folder.rglob("*"))
    assert evaluate([model, str(folder), "--output", str(tmp_path / output), "--threads", "1"]) == 1
    assert f"lies in {folder}, which is read" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_old_test_images_are_no_new_photographs(made, model, tmp_path, capsys):
    """By their content, under any name; they are named apart from those of training and validation."""
    rows = [
        (f"photos/{place % 3}/{place}.png", NAMES[place % 3], "") for place in (0, 6, 7, 8, 9, 10, 11, 36)
    ]
    rows += [(f"new/{place}.png", NAMES[place % 3], "") for place in range(4)]
    shutil.copy(made / "photos/0/12.png", made / "renamed.png")
    listed = write_list(made / "both.csv", [*rows, ("renamed.png", NAMES[0], "")])
    assert evaluate([model, str(listed), "--threads", "1"]) == SOME_LEFT_OUT
    printed = capsys.readouterr()
    assert "of 4 photographs" in printed.out
    assert (
        "2 photographs that the model was trained on or selected by: photos/0/0.png, photos/0/36.png"
        in printed.err
    )
    assert (
        "7 photographs that are among its test images already: photos/" in printed.err
        and ", …" in printed.err
    )
    only = write_list(made / "only.csv", rows[1:7])
    assert evaluate([model, str(only), "--threads", "1"]) == 1
    assert (
        "no photograph that counts: 6 photographs that are among its test images" in capsys.readouterr().err
    )


def test_a_full_disk_behind_the_standard_output_is_told(model, photographs, capsys, monkeypatch):
    def full(_: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sys.stdout.write", full)
    assert evaluate([model, str(photographs), "--threads", "1"]) == 1
    assert "error: [Errno 28]" in capsys.readouterr().err


def test_what_cannot_be_evaluated_says_why(model, made, tmp_path, capsys):
    seen = write_list(made / "seen.csv", [("photos/0/0.png", NAMES[0], "")])
    assert evaluate([model, str(seen)]) == 1
    assert "no photograph that counts: 1 photographs that the model was trained on" in capsys.readouterr().err
    (made / "bad.png").write_bytes(b"no picture")
    bad = write_list(made / "bad.csv", [("bad.png", NAMES[0], ""), ("new/1.png", NAMES[1], "")])
    assert evaluate([model, str(bad), "--output", str(tmp_path)]) == SOME_LEFT_OUT
    assert "left out: bad.png: is no picture" in capsys.readouterr().err
    assert evaluate([model, str(made / "none.csv")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_the_images_of_a_list_that_are_its_training_do_not_count(model, made, capsys):
    path = made / "split.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [(f"new/{place}.png", NAMES[place % 3], ("train", "test")[place % 2]) for place in range(20)]
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    assert evaluate([model, str(path)]) == SOME_LEFT_OUT
    printed = capsys.readouterr()
    assert "of 10 photographs" in printed.out
    assert "left out: 10 photographs that the list itself gives to training or validation" in printed.err


def test_wrong_predictions_are_the_images_that_were_mistaken(model, tmp_path, capsys):
    assert worklist(["wrong", model, "--output", str(tmp_path)]) == 0
    assert "6 pictures" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "wrong.csv")
    assert len(table) == 6
    assert (table["label"] != table["predicted"]).all()
    # exp(6) / (exp(6) + 2): logits of 3 at a temperature of 0.5.
    assert table["probability_predicted"].tolist() == pytest.approx([0.995067] * 6, abs=1e-6)
    assert table["path"].str.startswith("photos/").all()
    page = (tmp_path / "wrong.html").read_text(encoding="utf-8")
    assert page.count("<img src=") == 6
    assert "http" not in page.replace('xmlns="http', ""), "it loads nothing"


def test_the_pictures_of_the_experiment_are_shown_whole_where_the_collection_is_named(
    model, tmp_path, capsys
):
    """In place of the square that the model sees; what is not there any more is shown as it is stored."""
    words = ["wrong", model, "--output", str(tmp_path)]
    assert worklist(words) == 0
    first, second = pd.read_csv(tmp_path / "wrong.csv")["path"].head(2)

    def colours():
        page = (tmp_path / "wrong.html").read_text(encoding="utf-8")
        shown = re.findall(r'<img src="data:image/\w+;base64,([^"]+)"', page)
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in shown]

    stored = colours()
    collection = tmp_path / "collection"
    (collection / first).parent.mkdir(parents=True)
    Image.new("RGB", (400, 100), (250, 0, 0)).save(collection / first)
    assert worklist([*words, "--pictures", str(collection)]) == 0
    whole = colours()
    assert (whole[0][len(whole[0]) // 2, :, 0] > 200).all(), "as wide as it is"
    assert (whole[0][0] > 200).all(), "on white"
    assert not (collection / second).exists() and (whole[1] == stored[1]).all()
    assert worklist([*words, "--pictures", str(collection / first)]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_labels_that_are_probably_wrong(model, tmp_path):
    assert worklist(["labels", model, "--output", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "labels.csv")
    tested = table[table["subset"] == "test"]
    wrong = tmp_path / "of wrong"
    worklist(["wrong", model, "--output", str(wrong)])
    mistaken = pd.read_csv(wrong / "wrong.csv")
    assert set(tested["image_id"]) == set(mistaken["image_id"]), "sure answers that are not the label"
    assert set(table["suggested"]) <= set(NAMES)
    assert "validation and test images" in (tmp_path / "labels.html").read_text(encoding="utf-8")


def test_several_models_are_averaged(model, made, tmp_path):
    """The second is as sure as the first, and always right, so no answer of the mean is a mistake of both."""
    run = made / "results/runs/longtailed/resnet8/focal/seed1"
    run.mkdir(parents=True, exist_ok=True)
    shutil.copy(model, run / "model.safetensors")
    split = pd.read_parquet(made / "results/data/split.parquet")
    test = split[split["subset"] == "test"].iloc[::-1]
    answer(run, test, 4 * np.eye(3)[test["label"]])
    both = [model, str(run / "model.safetensors")]
    assert worklist(["wrong", *both, "--output", str(tmp_path)]) == 0
    assert len(pd.read_csv(tmp_path / "wrong.csv")) == 0
    assert "<h1>" in (tmp_path / "wrong.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "height"), [(400, 100), (100, 400), (50, 50), (1000, 500)])
def test_a_picture_to_label_is_shown_whole_and_in_proportion(tmp_path, width, height):
    Image.new("RGB", (width, height), (200, 0, 0)).save(tmp_path / "long.png")
    table = {"path": ["long.png"], "class_1": ["a"], "probability_1": [0.5], "class_2": ["b"]}
    pd.DataFrame(table | {"probability_2": [0.5], "error": [""]}).to_csv(tmp_path / "p.csv", index=False)
    words = ["next", str(tmp_path / "p.csv"), "--pictures", str(tmp_path), "--output", str(tmp_path / "out")]
    assert worklist(words) == 0
    page = (tmp_path / "out/next.html").read_text(encoding="utf-8")
    (shown,) = re.findall(r'<img src="data:image/\w+;base64,([^"]+)"', page)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown))).convert("RGB")).astype(int)
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 100)
    across, down = red.any(0).sum(), red.any(1).sum()
    assert across / down == pytest.approx(width / height, rel=0.05)
    assert max(across, down) == len(pixels)


def test_pictures_to_label_next(made, tmp_path, capsys):
    rows = [(f"new/{place}.png", 0.9 - 0.01 * place, 0.1 + 0.01 * place) for place in range(12)]
    table = pd.DataFrame(rows, columns=["path", "probability_1", "probability_2"])
    table = table.assign(class_1=NAMES[0], class_2=NAMES[1], error="")
    table.loc[12] = {"path": "broken.png", "error": "is empty"}
    table.to_csv(tmp_path / "predictions.csv", index=False)
    words = [
        "next",
        str(tmp_path / "predictions.csv"),
        "--pictures",
        str(made),
        "--output",
        str(tmp_path / "out"),
    ]
    assert worklist([*words, "--number", "5"]) == 0
    assert pd.read_csv(tmp_path / "out/next.csv")["path"].tolist() == [f"new/{11 - k}.png" for k in range(5)]
    page = (tmp_path / "out/next.html").read_text(encoding="utf-8")
    assert page.count("<img src=") == 5
    assert "1 that could not be read are left out" in page
    groups = write_list(tmp_path / "groups.csv", [(f"new/{k}.png", "", f"night {k // 4}") for k in range(12)])
    assert worklist([*words, "--one-per", str(groups), "--by", "entropy"]) == 0
    assert pd.read_csv(tmp_path / "out/next.csv")["path"].tolist() == ["new/11.png", "new/7.png", "new/3.png"]
    assert worklist([*words, "--one-per", "folder"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0] for line in told] == ["5 pictures", "3 pictures", "1 picture"]
    assert len(pd.read_csv(tmp_path / "out/next.csv")) == 1
    assert worklist([*words, "--one-per", str(groups), "--column", "trap"]) == 1
    assert "lacks the columns trap" in capsys.readouterr().err


@pytest.mark.parametrize(
    "saved",
    [
        lambda text: text.encode("cp1252"),
        lambda text: text.replace(".", ",").replace(",png", ".png").encode("utf-16"),
        lambda text: b"\xef\xbb\xbfsep=;\n" + text.encode(),
    ],
)
def test_predictions_and_groups_that_a_spreadsheet_has_saved_are_read(made, tmp_path, saved):
    rows = [f"new/{k}.png;Käfer;0.{90 - k};{NAMES[1]};0.{10 + k};True;" for k in range(6)]
    header = "path;class_1;probability_1;class_2;probability_2;known;error"
    table, groups = tmp_path / "predictions.csv", tmp_path / "groups.csv"
    table.write_bytes(saved("\r\n".join([header, *rows, ";;;;;;"])))
    groups.write_bytes(
        saved("\n".join(["path;Nacht", *(f"new/{k}.png;N\xe4chte {k // 3}" for k in range(6))]))
    )
    words = ["next", str(table), "--pictures", str(made), "--output", str(tmp_path / "out")]
    assert worklist([*words, "--one-per", str(groups), "--column", "Nacht"]) == 0
    found = pd.read_csv(tmp_path / "out/next.csv")
    assert found["path"].tolist() == ["new/5.png", "new/2.png"]
    assert found["class_1"].unique().tolist() == ["Käfer"]
    assert found["probability_1"].tolist() == pytest.approx([0.85, 0.88])


def test_a_work_list_says_what_it_lacks(model, made, tmp_path, capsys):
    moved = shutil.copy(model, tmp_path / "model.safetensors")
    for words, told in (
        (["wrong", str(moved)], "not in the folder of a run"),
        (["next", str(made / "new.csv")], "lacks the columns class_1, probability_1"),
        (["next", str(tmp_path / "none.csv")], "none.csv"),
        (["next", model], "ends in .csv or .parquet"),
    ):
        assert worklist([*words, "--output", str(tmp_path / "out")]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ") and told in error
    alone = made / "results/runs/longtailed/resnet8/softmax/seed2/model.safetensors"
    alone.parent.mkdir(exist_ok=True)
    shutil.copy(model, alone)
    assert worklist(["wrong", str(alone), "--output", str(tmp_path / "out")]) == 1
    assert "run the workflow, which predicts after it has trained" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (lambda table: table.drop(columns="class_2"), "lacks the column class_2"),
        (lambda table: table.rename(columns={"probability_2": "probability_10"}), "lack probability_2"),
        (lambda table: table.assign(probability_x=0.1), "lack probability_4"),
        (lambda table: table.assign(probability_1="much"), "are not numbers from 0 to 1"),
        (
            lambda table: table.assign(probability_1=table["probability_3"] / 2),
            "do not fall from one to the next",
        ),
        (lambda table: table.assign(path=["", *table["path"][1:]]), "row 2: the path is empty"),
    ],
)
def test_a_table_that_predict_did_not_write_is_refused_by_name(model, made, tmp_path, capsys, odd, told):
    network, own = load_model(model)
    table = classify(network, own, find_pictures([made / "new"]).pictures[:3], top=3)
    path = tmp_path / "odd.csv"
    odd(table).to_csv(path, index=False)
    assert worklist(["next", str(path), "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}") and told in error


def test_a_model_of_other_classes_is_refused(model, made, tmp_path, capsys):
    network, own = load_model(model)
    run = made / "results/runs/longtailed/resnet8/ldam/seed1"
    run.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(model).with_name("predictions.parquet"), run)
    save_model(run / "model.safetensors", network.state_dict(), replace(own, class_names=["a", "b", "c"]))
    assert worklist(["wrong", str(run / "model.safetensors"), "--output", str(tmp_path)]) == 1
    assert "knows other classes than the split" in capsys.readouterr().err
