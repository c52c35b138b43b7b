"""The worked example of docs/own-images.md in short: from a folder of pictures to predictions on new ones."""

import subprocess

import pandas as pd
import pytest
import torch
import yaml
from warm import plan, run
from workspace import Workspace

from longtail.data.tensors.files import load_tensors
from longtail.files.parquet import read_parquet
from longtail.models.card import read_card
from longtail.predict import SOME_FAILED, main
from tools.glyphs import write_letters

# One loss, pictures that keep their proportions, and a fifth of the epochs on images of half the size.
SHORT = {
    "grid": {"losses": ["balanced_softmax"]},
    "train": {"epochs": 12, "image_size": 16, "padding": 1, "batch_size": 16, "learning_rate": 0.005},
}
RESULTS = "results/own-images"
RUN = f"{RESULTS}/runs/longtailed/resnet8/balanced_softmax/seed42"
WANTED = [
    f"{RESULTS}/data/check.md",
    f"{RESULTS}/tables/longtailed/resnet8/top1.md",
    f"{RESULTS}/figures/longtailed/resnet8/balanced_softmax/confused_pairs.png",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The example with a damaged picture among the letters, trained and evaluated by the workflow."""
    workspace = Workspace.create(tmp_path_factory.mktemp("own") / "a copy")
    workspace.draw_quickly()
    write_letters(workspace.folder / "data/letters")
    (workspace.folder / "data/letters/letter e/broken.png").write_bytes(b"\x89PNG\r\n")
    path = workspace.folder / "config/own-images.yaml"
    config = yaml.safe_load(path.read_text())
    config["data"]["image_folder"] |= {"resize": "pad", "pad_with": [255, 255, 255]}
    for section, values in SHORT.items():
        config[section].update(values)
    path.write_text(yaml.safe_dump(config))
    workspace.snakemake(*WANTED, "--configfile", "config/own-images.yaml")
    return workspace.folder


def test_the_workflow_ends_with_what_was_asked_for(finished):
    check = (finished / WANTED[0]).read_text()
    assert "422 usable images of 12 classes" in check
    row = next(line for line in check.splitlines() if "letter e/broken.png" in line)
    assert "left out" in row
    assert "| Balanced softmax |" in (finished / WANTED[1]).read_text()
    assert (finished / WANTED[2]).stat().st_size > 10_000
    caption = (finished / WANTED[2]).with_suffix(".txt").read_text()
    assert "Test images: 87;" in caption


def test_the_model_knows_how_pictures_became_squares(finished):
    card = read_card(finished / RUN / "model.safetensors")
    assert (card.resize, card.pad_with) == ("pad", [255, 255, 255])


def test_what_it_learnt_is_far_above_chance(finished):
    predictions = read_parquet(finished / RUN / "predictions.parquet")
    predicted = predictions["logits"].map(lambda logits: logits.argmax())
    accuracy = (predicted == predictions["label"]).mean()
    assert len(predictions) == 87
    assert accuracy > 0.5, "guessing the most frequent letter gives 0.21"
    assert predicted.nunique() > 8
    evaluation = read_parquet(finished / RESULTS / "evaluation.parquet").set_index(["test_set", "metric"])
    assert evaluation.loc[("longtailed", "acc1"), "value"] == pytest.approx(accuracy)
    assert evaluation.loc[("balanced", "acc1"), "n"] == 36
    names = load_tensors(finished / RESULTS / "data/test_longtailed.pth").class_names
    assert names == sorted(f"letter {letter}" for letter in "eaotinshrdlu")


def test_new_pictures_get_the_names_of_the_classes_and_bad_ones_are_listed(finished, capsys):
    new = finished / "data/letters-new"
    broken = finished / "data/letters/letter e/broken.png"
    words = [f"{finished / RUN}/model.safetensors", str(new), str(broken), "--top", "12", "--threads", "1"]
    assert main([*words, "--output", str(finished / "out.csv")]) == SOME_FAILED
    frame = pd.read_csv(finished / "out.csv")
    failed = frame["error"].notna()
    assert frame.loc[failed, "path"].tolist() == [str(broken)]
    assert f"not read: {broken}" in capsys.readouterr().err
    good = frame[~failed]
    assert [path.rpartition("/")[2] for path in good["path"]] == [f"{letter}.png" for letter in "eilors"]
    classes = good[[f"class_{place}" for place in range(1, 13)]]
    assert all(set(row) == {f"letter {letter}" for letter in "eaotinshrdlu"} for row in classes.to_numpy())
    shares = torch.tensor(good[[f"probability_{place}" for place in range(1, 13)]].to_numpy())
    assert torch.allclose(shares.sum(1), torch.ones(6, dtype=shares.dtype), atol=1e-5)
    assert (shares.diff(dim=1) <= 0).all()
    right = good["class_1"] == [f"letter {letter}" for letter in "eilors"]
    assert right.sum() >= 3, good["class_1"].tolist()


def test_the_check_answers_on_the_screen_each_time_and_with_the_status(finished):
    words = ("snakemake", "check_data", "--configfile", "config/own-images.yaml")
    done = run(finished, *words, stderr=subprocess.STDOUT)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("The page: ") and any(line.startswith("Complete log") for line in lines)
    assert "422 usable images of 12 classes." in done.stdout
    assert "Left out: 1 unreadable." in done.stdout
    assert "To look at: 1 x near duplicate" in done.stdout
    assert f"The page: {RESULTS}/data/check.html" in done.stdout
    done = run(finished, *words, "--config", "data={image_folder: {strict: true}}")
    assert done.returncode == 1
    assert "The workflow refuses this collection (unreadable, near duplicate)." in done.stdout


def test_checking_another_source_says_what_to_do_instead(finished):
    code, told = plan(finished, "check_data", "--configfile", "config/demo.yaml")
    assert code == 1
    assert "check_data looks through an image folder, but data.source is digits" in told
    assert "MissingRule" not in told
