"""Metrics against cases worked out by hand, and the files that carry them."""

import importlib.metadata
import math
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cards import card
from programs import run_program
from pyarrow import parquet

import longtail
from longtail.analysis import evaluation, metrics
from longtail.analysis.calibration import (
    calibration_error_by_chance,
    expected_calibration_error,
    reliability,
)
from longtail.analysis.frames import combine, evaluated_models, read_confidences, read_evaluated
from longtail.analysis.tables import ENSEMBLES
from longtail.data.split.sets import class_table, with_sets
from longtail.data.tensors.files import LabelledImages
from longtail.experiment.runs import Run
from longtail.files.parquet import read_parquet, write_parquet
from longtail.inference.logits import write_predictions
from longtail.losses import build_loss, known_losses, lade
from longtail.losses.base import Loss
from longtail.machine.randomness import derive_seed
from longtail.models import build_model
from longtail.models.card import digest_of
from longtail.models.file import save_model

LN2 = math.log(2)
COUNTS = torch.tensor([4, 2, 1])
# label, group, longtailed, predicted. Right: 3 of 4, 2 of 4 and 2 of 4; in the long-tailed part 3 of 4, 1 of 2, 1 of 1.
IMAGES = [
    (0, "head", True, 0),
    (0, "head", True, 0),
    (0, "head", True, 1),
    (0, "head", True, 0),
    (1, "middle", True, 1),
    (1, "middle", True, 2),
    (1, "middle", False, 1),
    (1, "middle", False, 0),
    (2, "tail", True, 2),
    (2, "tail", False, 0),
    (2, "tail", False, 0),
    (2, "tail", False, 2),
]


def predictions(scale: float = 1.0) -> pd.DataFrame:
    """Every image gives its predicted class the probability 1/2 and the two others 1/4, for logits times 1/scale."""
    logits = [(np.eye(3, dtype=np.float32)[predicted] * LN2 / scale) for *_, predicted in IMAGES]
    frame = pd.DataFrame([image[:3] for image in IMAGES], columns=["label", "group", "longtailed"])
    return frame.assign(image_id=range(100, 112), logits=logits)


def evaluate(frame: pd.DataFrame, loss: Loss) -> pd.DataFrame:
    return evaluation.evaluate(frame, np.array(frame["logits"].to_list()), loss)


def evaluate_classes(frame: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    return evaluation.evaluate_classes(frame, np.array(frame["logits"].to_list()), classes)


def values(frame: pd.DataFrame) -> dict[tuple[str, str], float]:
    return frame.set_index(["test_set", "metric"])["value"].to_dict()


EXPECTED = {
    ("balanced", "acc1"): 7 / 12,
    ("balanced", "f1"): (6 / 10 + 4 / 7 + 4 / 7) / 3,
    ("balanced", "mean_class_acc"): 7 / 12,
    ("balanced", "cross_entropy"): (7 + 5 * 2) / 12 * LN2,
    ("balanced", "ece"): 7 / 12 - 1 / 2,
    ("balanced", "ece_by_chance"): sum(math.comb(12, k) * abs(k / 12 - 1 / 2) for k in range(13)) / 2**12,
    ("longtailed", "acc1"): 5 / 7,
    ("longtailed", "f1"): (4 * 6 / 7 + 2 * 2 / 4 + 1 * 2 / 3) / 7,
    ("longtailed", "mean_class_acc"): 3 / 4,
    ("longtailed", "cross_entropy"): (5 + 2 * 2) / 7 * LN2,
    ("longtailed", "harmonic_mean"): 9 / 13,
    ("longtailed", "geometric_mean"): (3 / 8) ** (1 / 3),
    ("longtailed", "min_group"): 1 / 2,
    ("head", "acc1"): 3 / 4,
    ("head", "f1"): 6 / 7,
    ("middle", "acc1"): 1 / 2,
    ("middle", "f1"): 2 / 3,
    ("tail", "acc1"): 1.0,
    ("tail", "f1"): 1.0,
    ("tail", "mean_class_acc"): 1.0,
}


def test_metrics_are_those_worked_out_by_hand():
    table = evaluate(predictions(), build_loss("softmax", COUNTS))
    found = values(table)
    for key, value in EXPECTED.items():
        assert found[key] == pytest.approx(value, abs=1e-7), key
    for test_set in ("balanced", "longtailed", "head", "middle", "tail"):
        assert found[test_set, "loss"] == pytest.approx(found[test_set, "cross_entropy"])
    sizes = table.groupby("test_set")["n"].unique().map(list).to_dict()
    assert sizes == {"balanced": [12], "longtailed": [7], "head": [4], "middle": [2], "tail": [1]}


def test_loss_is_the_runs_own_over_the_whole_set():
    # Weights 1/4, 1/2 and 1: five, three and one times ln 2 on the seven long-tailed images.
    found = values(evaluate(predictions(), build_loss("weighted_softmax", COUNTS)))
    assert found["longtailed", "loss"] == pytest.approx(
        (5 / 4 + 3 / 2 + 1) / (4 / 4 + 2 / 2 + 1) * LN2, abs=1e-7
    )
    assert found["longtailed", "cross_entropy"] == pytest.approx(
        EXPECTED["longtailed", "cross_entropy"], abs=1e-7
    )


def test_probabilities_take_the_scale_of_the_loss_into_account():
    found = values(evaluate(predictions(scale=30), build_loss("ldam", COUNTS, s=30.0)))
    for metric in ("cross_entropy", "ece"):
        assert found["balanced", metric] == pytest.approx(EXPECTED["balanced", metric], abs=1e-6)


def test_random_loss_has_one_value_whatever_the_order_of_the_images_and_the_state_of_torch():
    generator = np.random.default_rng(0)
    frame = predictions().assign(logits=list(generator.normal(size=(12, 3))))
    loss = build_loss("equalization", torch.tensor([1000, 2, 1]))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = evaluate(frame, loss)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    pd.testing.assert_frame_equal(evaluate(frame.sample(frac=1, random_state=0), loss), first)
    assert (
        values(first)["balanced", "loss"] < values(first)["balanced", "cross_entropy"]
    )  # classes were left out


@pytest.mark.parametrize("name", known_losses())
def test_a_loss_is_the_same_however_many_images_are_taken_at_a_time(name, monkeypatch):
    """What `forward` gives for the whole set, since a batch of a block's size would be weighted by its own classes."""
    draws = np.random.default_rng(0)
    images = pd.DataFrame({"image_id": range(53), "label": draws.integers(0, 4, 53)})
    images = images.assign(group="head", longtailed=True)
    logits = draws.normal(size=(53, 4)).astype(np.float32)
    loss = build_loss(name, torch.tensor([400, 40, 4, 0])).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(0, "evaluate"))
        whole = float(loss(torch.from_numpy(logits).double(), torch.tensor(images["label"])))
    for block in (1, 1 << 16):  # sixteen images, the fewest, or all at a time
        monkeypatch.setattr(metrics, "BLOCK", block)
        monkeypatch.setattr(lade, "PART", block)
        found = values(evaluation.evaluate(images, logits, loss))
        assert found["longtailed", "loss"] == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", ["softmax", "gcl"])  # without random numbers, and with some
def test_logits_are_not_copied_for_the_sets(name):
    draws = np.random.default_rng(0)
    labels = np.repeat(range(500), 10)
    images = pd.DataFrame({"image_id": range(5000), "label": labels})
    images = images.assign(group=np.where(labels < 400, "head", "tail"), longtailed=labels > 0)
    logits = draws.normal(size=(5000, 500)).astype(np.float32)
    loss = build_loss(name, torch.arange(500, 0, -1)).eval()
    tracemalloc.start()
    try:
        evaluation.evaluate(images, logits, loss)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < logits.nbytes / 3


def test_group_without_images_is_missing_not_zero():
    frame = predictions()
    frame.loc[frame["group"] == "tail", "longtailed"] = False
    table = evaluate(frame, build_loss("softmax", COUNTS))
    tail = table[table["test_set"] == "tail"]
    assert set(tail["metric"]) == {
        "loss",
        "cross_entropy",
        "acc1",
        "f1",
        "mean_class_acc",
        "ece",
        "ece_by_chance",
    }
    assert tail["value"].isna().all() and (tail["n"] == 0).all()
    found = values(table)
    assert all(
        math.isnan(found["longtailed", name]) for name in ("harmonic_mean", "geometric_mean", "min_group")
    )
    assert found["longtailed", "acc1"] == pytest.approx(4 / 6)


@pytest.mark.parametrize("empty", [None, "head", "middle"])
def test_groups_by_counts_are_measured_under_their_names(empty):
    """The same images, whose groups are called many, medium and few; also where one of them has no class."""
    names = {"head": "many", "middle": "medium", "tail": "few"}
    frame = predictions()
    if empty:
        frame = frame[frame["group"] != empty]
    renamed = evaluate(frame.assign(group=frame["group"].map(names)), build_loss("softmax", COUNTS))
    assert list(renamed["test_set"].unique()) == ["balanced", "longtailed", "many", "medium", "few"]
    expected = evaluate(frame, build_loss("softmax", COUNTS))
    pd.testing.assert_frame_equal(renamed, expected.assign(test_set=expected["test_set"].replace(names)))
    assert not empty or renamed.set_index("test_set").loc[names[empty], "n"].eq(0).all()


def test_a_class_has_the_groups_of_its_test_images():
    classes = pd.DataFrame({"label": range(3), "n_train": COUNTS.numpy()})
    frame = predictions()
    assert evaluate_classes(frame, classes)["clusters"].tolist() == [4, 4, 4]
    nights = frame[frame["label"] < 2].assign(cluster=[7, 7, 8, 9, 9, 9, 9, 9])
    assert evaluate_classes(nights, classes)["clusters"].tolist() == [3, 1, 0]


def test_macro_f1_is_over_the_classes_that_have_images():
    frame = predictions()
    found = values(evaluate(frame[frame["label"] != 2], build_loss("softmax", COUNTS)))
    assert found["balanced", "f1"] == pytest.approx((6 / 8 + 4 / 7) / 2)  # one image was taken for class 2


def test_group_without_a_hit_is_zero():
    frame = predictions()
    frame.at[8, "logits"] = np.array([1.0, 0.0, 0.0])
    found = values(evaluate(frame, build_loss("softmax", COUNTS)))
    assert [found["longtailed", name] for name in ("harmonic_mean", "geometric_mean", "min_group")] == [
        0,
        0,
        0,
    ]
    assert found["tail", "f1"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda frame: frame.at[3, "logits"].__setitem__(1, np.nan),
            "1 of 12 images.*image 103.*lower learning rate",
        ),
        (lambda frame: frame.at[0, "logits"].__setitem__(0, np.inf), "image 100"),
        (lambda frame: frame.__setitem__("label", 3), r"labels go from 3 to 3.*0 … 2"),
    ],
)
def test_broken_predictions_are_refused(change, message):
    frame = predictions()
    change(frame)
    with pytest.raises(ValueError, match=message):
        evaluate(frame, build_loss("softmax", COUNTS))


def test_predictions_without_images_are_refused():
    with pytest.raises(ValueError, match="hold no image"):
        evaluate(predictions().iloc[:0], build_loss("softmax", COUNTS))


SPLIT = pd.DataFrame(
    [(label, "abc"[label], subset, longtailed, group)
     for label, group, kept in ((0, "head", 4), (1, "middle", 2), (2, "tail", 0))
     for subset, longtailed, count in (("train", True, kept), ("train", False, 4 - kept), ("val", False, 3))
     for _ in range(count)],
    columns=["label", "class_name", "subset", "longtailed", "group"],
)  # fmt: skip


def test_class_counts_are_of_the_training_set_of_the_run():
    longtailed = class_table(SPLIT, "longtailed")
    assert longtailed.to_dict("list") == {
        "label": [0, 1, 2],
        "class_name": ["a", "b", "c"],
        "group": ["head", "middle", "tail"],
        "n_train": [4, 2, 0],
    }
    assert class_table(SPLIT, "balanced")["n_train"].tolist() == [4, 4, 4]
    with pytest.raises(ValueError, match="'both' is unknown; choose 'balanced' or 'longtailed'"):
        class_table(SPLIT, "both")


def test_classes_are_scored_on_the_balanced_test_set():
    table = evaluate_classes(predictions(), class_table(SPLIT, "longtailed"))
    assert table["n_test"].tolist() == [4, 4, 4]
    assert table["acc"].tolist() == pytest.approx([3 / 4, 2 / 4, 2 / 4])
    assert table["f1"].tolist() == pytest.approx([6 / 10, 4 / 7, 4 / 7])


def test_class_without_test_images_is_missing_even_if_predicted():
    frame = predictions()
    table = evaluate_classes(frame[frame["label"] != 2], class_table(SPLIT, "balanced"))
    assert table["n_test"].tolist() == [4, 4, 0]
    assert table.loc[2, ["acc", "f1"]].isna().all()
    with pytest.raises(ValueError, match="3 logits per image but the split has 2 classes"):
        evaluate_classes(frame, class_table(SPLIT[SPLIT["label"] != 2], "balanced"))


@pytest.mark.parametrize("images", [1, 38, 5000])
def test_chance_gives_a_perfect_model_a_calibration_error(images):
    rng = np.random.default_rng(images)
    confidence = rng.uniform(0.1, 1, images)
    draws = rng.random((60, images))
    errors = [expected_calibration_error(confidence, drawn < confidence) for drawn in draws]
    reach = 4 * np.std(errors) / len(errors) ** 0.5
    assert calibration_error_by_chance(confidence) == pytest.approx(np.mean(errors), abs=reach + 1e-12)
    assert math.isnan(calibration_error_by_chance(confidence[:0]))


def test_calibration_error_is_the_mean_gap_over_images():
    confidence, correct = np.array([0.95, 0.95, 0.55, 0.60, 0.32]), np.array([True, False, True, True, False])
    table = reliability(confidence, correct, bins=10)
    assert table["n"].tolist() == [1, 2, 2]  # 0.60 lies in the bin that ends there
    assert table["accuracy"].tolist() == [0, 1, 0.5]
    assert table["confidence"].tolist() == pytest.approx([0.32, 0.575, 0.95])
    expected = (1 * 0.32 + 2 * 0.425 + 2 * 0.45) / 5
    assert expected_calibration_error(confidence, correct, bins=10) == pytest.approx(expected)


LOSSES = {
    "softmax": {"loss": "softmax", "loss_parameters": {}, "key": "of softmax"},
    "mine": {"loss": "focal", "loss_parameters": {}, "key": "of focal"},
}


def evaluate_runs(folder: Path, *more: str | Path) -> None:
    """Evaluate two losses with seeds 1 and 2, whatever is there of them."""
    runs = folder / "runs"
    (folder / "runs.txt").write_text("\n".join(str(run.relative_to(runs)) for run in grid(folder)))
    missing = [str(run.relative_to(runs)) for run in grid(folder) if not run.exists()]
    run_program(
        *(
            "evaluation",
            f"@{folder / 'runs.txt'}",
            "--folder",
            runs,
            *(["--missing", *missing] if missing else []),
            *more,
        ),
        split=folder / "split.parquet",
        settings=LOSSES,
        output=folder / "evaluation.parquet",
        output_per_class=folder / "per_class.parquet",
    )


@pytest.fixture(scope="module")
def evaluated_once(tmp_path_factory):
    """A results folder with the evaluations of two runs of four, seed 1 of both losses."""
    place, whole = tmp_path_factory.mktemp("evaluated"), predictions()
    test = whole[["image_id", "label", "group", "longtailed"]]
    split = pd.concat(
        [SPLIT, test.assign(class_name=test["label"].map(list("abc").__getitem__), subset="test")]
    )
    write_parquet(split.assign(image_id=range(100 - len(SPLIT), 112)), place / "split.parquet")
    for loss in LOSSES:
        folder = place / "runs" / "longtailed" / "resnet8" / loss / "seed1"
        write_parquet(whole[["image_id", "label", "logits"]], folder / "predictions.parquet")
        numbers = ("train_loss", "train_acc1", "val_loss", "val_acc1", "learning_rate")
        epoch = {"epoch": [1], **dict.fromkeys(numbers, 0.5)}
        write_parquet(pd.DataFrame(epoch), folder / "history.parquet")
    evaluate_runs(place)
    return place


@pytest.fixture
def evaluated(evaluated_once, tmp_path):
    """The same as a folder of the test's own."""
    return shutil.copytree(evaluated_once, tmp_path / "evaluated")


def grid(folder: Path) -> list[Path]:
    runs = folder / "runs" / "longtailed" / "resnet8"
    return [runs / loss / f"seed{seed}" for loss in ("softmax", "mine") for seed in (1, 2)]


def test_runs_are_evaluated_from_their_files_with_their_own_loss(evaluated):
    table = read_parquet(evaluated / "evaluation.parquet")
    expected = "model loss train_set seed test_set metric value n clusters"
    assert list(table.columns) == expected.split()
    for loss, expected in (
        ("softmax", 17 / 12 * LN2),
        # Focal of probability 1/2 and 1/4, gamma 2: (1/4) ln 2 and (9/16) 2 ln 2.
        ("mine", (7 / 4 + 5 * 9 / 8) / 12 * LN2),
    ):
        own = table[(table["loss"] == loss) & (table["seed"] == 1)]
        assert set(own["model"]) == {"resnet8"} and set(own["train_set"]) == {"longtailed"}
        found = values(own)
        assert {key: found[key] for key in EXPECTED} == pytest.approx(EXPECTED)
        assert found["balanced", "loss"] == pytest.approx(expected, abs=1e-7)


def test_missing_runs_are_in_the_table_without_numbers(evaluated):
    results = longtail.load_results(evaluated)
    per_run = results.evaluation.groupby(["loss", "seed"], sort=False)["value"]
    assert per_run.size().tolist() == [38, 38, 38, 38]
    assert per_run.count().tolist() == [38, 0, 38, 0]
    assert results.evaluation.groupby("test_set")["n"].nunique().eq(1).all()
    assert results.missing[["loss", "seed"]].to_numpy().tolist() == [["softmax", 2], ["mine", 2]]
    assert results.per_class.groupby("seed")["acc"].count().to_dict() == {1: 6, 2: 0}
    assert results.per_class["n_train"].tolist() == [4, 2, 0] * 4
    assert results.history.groupby("seed")["val_acc1"].count().to_dict() == {1: 2, 2: 0}
    assert repr(results).startswith("<4 runs") and "2 of them missing" in repr(results)


def test_a_run_without_predictions_is_missing_only_where_it_is_named(evaluated):
    (evaluated / "runs/longtailed/resnet8/mine/seed1/predictions.parquet").unlink()
    with pytest.raises(SystemExit, match=r"of the run longtailed/resnet8/mine/seed1 does not exist"):
        evaluate_runs(evaluated)


def test_variants_are_left_out_of_histories_which_they_have_not(evaluated):
    folder = evaluated / "runs/longtailed/resnet8"
    changed = card(variant={"adjust": "la", "tau": 1.0})
    weights = {"head.weight": torch.zeros(2, 1), "head.bias": torch.zeros(2)}
    for loss in ("softmax+la", "failed+la"):
        shutil.copytree(folder / "softmax/seed1", folder / loss / "seed1")
        (folder / loss / "seed1/history.parquet").unlink()
    save_model(folder / "softmax+la/seed1/model.safetensors", weights, changed)
    losses = ["softmax", "mine", "softmax+la", "failed+la"]
    rows = {
        "model": "resnet8",
        "train_set": "longtailed",
        "seed": 1,
        "test_set": "balanced",
        "metric": "acc1",
    }
    frame = pd.DataFrame({"loss": losses, "value": 0.5, "n": 4}).assign(**rows)
    write_parquet(frame, evaluated / "evaluation.parquet")
    results = longtail.load_results(evaluated)
    assert results.history["loss"].tolist() == ["softmax", "mine", "failed+la"]
    assert results.runs["loss"].tolist() == ["softmax", "mine", "failed+la"]


def test_missing_run_on_another_training_set_does_not_borrow_its_class_counts():
    there, absent = (Path("runs", name, "resnet8/softmax/seed1/x") for name in ("longtailed", "balanced"))
    classes = evaluate_classes(predictions(), class_table(SPLIT, "longtailed"))
    table = combine([absent, there], {there: classes}, ["acc", "f1"], ["n_train"])
    assert table["train_set"].tolist() == ["balanced"] * 3 + ["longtailed"] * 3
    assert table["n_train"].isna().tolist() == [True] * 3 + [False] * 3
    assert table["acc"].isna().tolist() == [True] * 3 + [False] * 3


def test_no_run_at_all_and_no_run_folder_are_refused():
    with pytest.raises(FileNotFoundError, match="none of the 1 runs"):
        combine(["runs/balanced/resnet8/softmax/seed1/x"], {}, ["value"])
    with pytest.raises(ValueError, match="is not in the folder of a run"):
        Run.of_file("results/evaluation.parquet")


def test_folder_without_results_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"evaluation\.parquet does not exist.*snakemake"):
        longtail.load_results(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path, frame: path.write_bytes(path.read_bytes()[:-9]), "cannot be read as parquet"),
        (
            lambda path, frame: write_parquet(frame.assign(image_id=frame["image_id"] + 100), path),
            r"the split lacks 12 of the 12 images, such as id 200",
        ),
        (
            lambda path, frame: write_parquet(
                frame.assign(logits=[np.float32([np.nan, 0, 0])] * len(frame)), path
            ),
            r"has logits of image 100 that are not finite, and of 12 images in all",
        ),
        (
            lambda path, frame: write_parquet(
                frame.assign(logits=[np.zeros(3), np.zeros(2)] + [np.zeros(3)] * (len(frame) - 2)), path
            ),
            "column logits takes lists of equally many numbers",
        ),
        (
            lambda path, frame: write_parquet(frame.assign(logits="0 1 2"), path),
            "takes lists of equally many",
        ),
        (
            lambda path, frame: write_parquet(frame.drop(columns="logits"), path),
            r"has no column \['logits'\]",
        ),
        (lambda path, frame: write_parquet(frame.iloc[:0], path), "holds no row"),
    ],
    ids=["truncated", "other images", "not finite", "unequal", "text", "none", "empty"],
)
def test_a_run_that_cannot_be_evaluated_is_named_and_the_results_stay(evaluated, damage, message):
    before = (evaluated / "evaluation.parquet").read_bytes()
    path = evaluated / "runs/longtailed/resnet8/mine/seed1/predictions.parquet"
    damage(path, read_parquet(path))
    with pytest.raises(SystemExit, match=rf"^error: (?=.*mine/seed1/predictions\.parquet).*{message}"):
        evaluate_runs(evaluated)
    assert (evaluated / "evaluation.parquet").read_bytes() == before


def test_a_loss_without_settings_is_refused(evaluated, monkeypatch):
    monkeypatch.setitem(LOSSES, "other", LOSSES["mine"])
    monkeypatch.delitem(LOSSES, "mine")
    with pytest.raises(
        SystemExit, match=r"mine/seed1/predictions\.parquet is of the loss mine, and --settings has"
    ):
        evaluate_runs(evaluated)


OUTPUTS = ("evaluation.parquet", "per_class.parquet")


def evaluated_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many runs an evaluation computes, and does not take over from the one before."""
    computed = []
    evaluate_classes = evaluation.evaluate_classes
    monkeypatch.setattr(
        evaluation, "evaluate_classes", lambda *given: computed.append(1) or evaluate_classes(*given)
    )
    evaluate_runs(folder)
    monkeypatch.setattr(evaluation, "evaluate_classes", evaluate_classes)
    return len(computed)


def test_one_more_run_and_one_less_give_the_bytes_of_a_whole_evaluation(evaluated, monkeypatch):
    runs = evaluated / "runs/longtailed/resnet8"
    shutil.copytree(runs / "mine/seed1", runs / "mine/seed2")
    shutil.rmtree(runs / "softmax/seed1")
    assert evaluated_anew(evaluated, monkeypatch) == 1
    found = [(evaluated / name).read_bytes() for name in OUTPUTS]
    assert evaluated_anew(evaluated, monkeypatch) == 0
    assert [(evaluated / name).read_bytes() for name in OUTPUTS] == found
    for name in OUTPUTS:
        (evaluated / name).unlink()
    assert evaluated_anew(evaluated, monkeypatch) == 2
    assert [(evaluated / name).read_bytes() for name in OUTPUTS] == found
    assert [run.loss for run in read_evaluated(evaluated / "evaluation.parquet")] == ["mine", "mine"]


def test_class_counts_that_were_floats_beside_those_of_a_missing_run_are_whole_numbers_again(tmp_path):
    there, absent = (Path("runs", name, "resnet8/softmax/seed1/x") for name in ("longtailed", "balanced"))
    classes = evaluate_classes(predictions(), class_table(SPLIT, "longtailed"))
    whole = combine([absent, there], {there: classes}, ["acc", "f1"], ["n_train"])
    write_parquet(whole, tmp_path / "x.parquet", {"keys": {str(Run.of_file(there)): "key"}})
    ((key, found),) = read_evaluated(tmp_path / "x.parquet").values()
    assert key == "key" and found["n_train"].dtype == "int64"
    pd.testing.assert_frame_equal(found, classes)


def other_predictions(folder: Path) -> None:
    path = folder / "runs/longtailed/resnet8/mine/seed1/predictions.parquet"
    frame = read_parquet(path)
    write_parquet(frame.assign(logits=list(-np.array(frame["logits"].to_list()))), path)


def other_split(folder: Path) -> None:
    frame = read_parquet(folder / "split.parquet")
    write_parquet(frame.assign(longtailed=True), folder / "split.parquet")


def another_value(name: str, column: str) -> Callable[[Path], None]:
    """A change that leaves the checksum and all else as they are."""

    def change(folder: Path) -> None:
        table = parquet.read_table(folder / name)
        values = table.column(column).to_numpy().copy()
        values[0] += 1
        place = table.column_names.index(column)
        parquet.write_table(table.set_column(place, table.field(place), [values]), folder / name)

    return change


@pytest.mark.parametrize(
    ("change", "times"),
    [
        (other_predictions, 1),
        (other_split, 2),
        (lambda folder: LOSSES["mine"].update(key="of another code"), 1),
        (lambda folder: LOSSES["mine"].pop("key"), 1),
        (another_value(OUTPUTS[0], "value"), 2),
        (another_value(OUTPUTS[1], "acc"), 2),
        (lambda folder: (folder / OUTPUTS[1]).unlink(), 2),
        (lambda folder: (folder / OUTPUTS[0]).write_text("no parquet"), 2),
        (lambda folder: write_parquet(read_parquet(folder / OUTPUTS[1]), folder / OUTPUTS[1]), 2),
    ],
    ids=["predictions", "split", "loss", "no key", "damaged", "damaged classes", "half", "text", "no keys"],
)
def test_a_run_is_evaluated_again_where_anything_that_it_depends_on_has_changed(
    evaluated, monkeypatch, change, times
):
    for loss in LOSSES:
        monkeypatch.setitem(LOSSES, loss, dict(LOSSES[loss]))
    change(evaluated)
    assert evaluated_anew(evaluated, monkeypatch) == times


def test_values_that_other_versions_of_packages_computed_are_not_taken_over(evaluated, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0")
    assert evaluated_anew(evaluated, monkeypatch) == 2


def test_damaged_predictions_are_told_though_their_run_was_evaluated(evaluated):
    another = another_value("runs/longtailed/resnet8/mine/seed1/predictions.parquet", "label")
    another(evaluated)
    with pytest.raises(SystemExit, match=r"^error: .*mine/seed1/predictions\.parquet is damaged"):
        evaluate_runs(evaluated)


def test_predictions_of_another_model_are_evaluated_by_nothing(evaluated):
    """The one that lies beside them is another, or they do not say which has made them."""
    folder = evaluated / "runs/longtailed/resnet8/softmax/seed1"
    path, model = folder / "predictions.parquet", folder / "model.safetensors"
    save_model(model, build_model("resnet8", num_classes=3, image_size=8).state_dict(), card())
    frame = read_parquet(path)
    for made_by in ({}, {"model": "0" * 64}):
        write_parquet(frame, path, made_by)
        with pytest.raises(SystemExit, match=r"does not say that it is what .* has answered"):
            evaluate_runs(evaluated)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_confidences([path])
    write_parquet(frame, path, {"model": digest_of(model)})
    evaluate_runs(evaluated)
    run = Run("resnet8", "softmax", "longtailed", 1)
    assert evaluated_models(evaluated / "evaluation.parquet") == {run: digest_of(model)}


def test_predictions_that_are_not_finite_are_not_written(tmp_path):
    images = LabelledImages(
        torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), torch.tensor([5, 8]), ["a", "b"]
    )
    with pytest.raises(ValueError, match="1 of 2 images have logits that are not finite, such as image 8"):
        write_predictions(tmp_path / "p.parquet", images, torch.tensor([[0.0, 1.0], [0.0, torch.inf]]), {})
    assert not list(tmp_path.iterdir())


def test_an_image_joins_the_sets_that_the_split_says():
    split = pd.DataFrame({"image_id": [3, 1, 2], "group": list("tmh"), "longtailed": [True, False, True]})
    old = pd.DataFrame(
        {"image_id": [2, 3], "longtailed": [False, False], "group": ["x", "x"], "label": [0, 1]}
    )
    joined = with_sets(old, split)
    assert joined.to_dict("list") == {
        "image_id": [2, 3],
        "label": [0, 1],
        "group": ["h", "t"],
        "longtailed": [True, True],
    }
    assert with_sets(old, split.assign(balanced=[True, True, False]))["balanced"].tolist() == [False, True]


def test_an_ensemble_averages_probabilities_and_not_logits():
    images = pd.DataFrame(
        {"image_id": [0, 1], "label": [1, 0], "group": ["head", "tail"], "longtailed": True}
    )
    # Two runs are nearly sure of class 0 by a small margin of probability, one is sure of class 1.
    probabilities = np.array(
        [[[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]], [[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]], [[0.01, 0.98, 0.01]] * 2]
    )
    ensemble = evaluation.Ensemble()
    loss = build_loss("softmax", torch.tensor([3, 2, 1]))
    for own in probabilities:
        ensemble.add(images, np.log(own), loss)
    table = ensemble.table().set_index("test_set")
    assert probabilities.mean(axis=0).argmax(axis=1).tolist() == [1, 0]
    assert table.loc["balanced"].tolist() == [3, pytest.approx(0.5), 1.0, 2]
    assert table.loc["head"].tolist() == [3, pytest.approx(1 / 3), 1.0, 1]
    assert np.isnan(table.loc["middle", "ensemble"]) and table.loc["middle", "n"] == 0


def test_the_program_writes_ensembles_of_the_runs_that_are_there(evaluated):
    out = evaluated / "ensembles.parquet"
    evaluate_runs(evaluated, "--output-ensembles", out)
    assert ENSEMBLES.read(out).empty, "one seed of each loss is there"
    one = evaluated / "runs/longtailed/resnet8/softmax"
    shutil.copytree(one / "seed1", one / "seed2")
    evaluate_runs(evaluated, "--output-ensembles", out)
    found = ENSEMBLES.read(out)
    assert found["loss"].eq("softmax").all() and found["seeds"].eq(2).all() and len(found) == 5
    pd.testing.assert_series_equal(found["single"], found["ensemble"], check_names=False)


def test_an_ensemble_is_made_again_only_where_a_member_is_another(evaluated, monkeypatch):
    out = evaluated / "ensembles.parquet"
    one = evaluated / "runs/longtailed/resnet8/softmax"
    shutil.copytree(one / "seed1", one / "seed2")
    evaluate_runs(evaluated, "--output-ensembles", out)
    once = out.read_bytes()
    monkeypatch.setattr(evaluation.Ensemble, "table", lambda self: pytest.fail("it was made again"))
    evaluate_runs(evaluated, "--output-ensembles", out)
    assert out.read_bytes() == once
    monkeypatch.undo()
    out.write_bytes(once[:-9])
    evaluate_runs(evaluated, "--output-ensembles", out)
    assert out.read_bytes() == once
    right = predictions().assign(logits=lambda frame: list(9 * np.eye(3, dtype=np.float32)[frame["label"]]))
    write_parquet(right[["image_id", "label", "logits"]], one / "seed2" / "predictions.parquet")
    evaluate_runs(evaluated, "--output-ensembles", out)
    assert ENSEMBLES.read(out)["ensemble"].dropna().eq(1).all()
