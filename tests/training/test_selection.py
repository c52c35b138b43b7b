"""The epoch that is kept, by the number that it is chosen by, and the end of a training that gets no better."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_runs
import torch
from programs import run_program
from sklearn.metrics import f1_score, recall_score
from small_runs import same_weights, save_run

from longtail.analysis.metrics import METRICS, Answers
from longtail.config.load import ConfigError, load_config
from longtail.data.tensors.files import LabelledImages, load_tensors
from longtail.files.parquet import read_parquet, write_parquet
from longtail.inference.logits import predict
from longtail.models.card import read_card
from longtail.models.file import load_model
from longtail.training.progress import Progress
from longtail.training.recipe import Recipe
from longtail.training.run import Trainer
from longtail.training.selection import SCORES, SELECTS, Selection, f1, mean_class_accuracy

GROUPS = np.array(["head"] * 3 + ["middle"] * 3 + ["tail"] * 4)
METRIC = {"mean_class_acc": "mean_class_acc", "macro_f1": "f1", "min_group": "min_group"}
# Learning so fast that the validation has ups and downs.
RESTLESS = {
    "epochs": 8,
    "learning_rate": 0.05,
    "warmup_epochs": 0,
    "schedule": "constant",
    "calibrate": False,
}
SOFTMAX = {"loss": "softmax", "loss_parameters": {}}


def test_every_choice_is_known():
    assert ("best", "last", *SCORES) == SELECTS
    assert [Recipe(select=name).selects_by for name in SELECTS] == [
        "val_acc1",
        None,
        "val_mean_class_acc",
        "val_macro_f1",
        "val_min_group",
    ]


def test_scores_by_hand():
    # Class 0 has four images, of which three are recognised; class 1 two and one; class 2 one, taken for class 0.
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 0, 0])
    groups = np.array(["head", "middle", "tail", "tail"])  # the fourth class is not validated
    found = {name: Selection(name, labels, groups).of(predicted) for name in SCORES}
    assert found["mean_class_acc"] == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    # Precision of class 0: 3 of 5, of class 1: 1 of 2.
    assert found["macro_f1"] == pytest.approx((2 * 3 / (5 + 4) + 2 * 1 / (2 + 2) + 0) / 3)
    assert found["min_group"] == 0


@pytest.mark.parametrize("select", list(SCORES))
def test_the_best_epoch_by_every_score_is_kept_and_is_what_the_evaluation_computes(
    digits, train_arguments, tmp_path, select
):
    split = pd.DataFrame(
        {"image_id": range(10), "label": range(10), "class_name": list("0123456789"), "group": GROUPS}
    )
    write_parquet(split.assign(subset="train", longtailed=True), tmp_path / "split.parquet")
    recipe = RESTLESS | {"epochs": 4, "select": select}
    arguments = train_arguments(digits, tmp_path, recipe=recipe, **SOFTMAX)
    run_program("train", *arguments, *("--split", str(tmp_path / "split.parquet")))
    history = read_parquet(tmp_path / "history.parquet")
    scores = history[f"val_{select}"]
    order = history.sort_values([f"val_{select}", "val_acc1"], ascending=False, kind="stable")
    best = int(order.index[0]) + 1
    card = read_card(tmp_path / "model.safetensors")
    assert card.best_epoch == best
    assert json.loads((tmp_path / "run.json").read_text())["best_epoch"] == best
    model, card = load_model(tmp_path / "model.safetensors")
    images = load_tensors(digits / "val.pth")
    logits = predict(model, images, card, torch.device("cpu")).double().numpy()
    test_set = "balanced" if select == "macro_f1" else "longtailed"
    answers = Answers(test_set, images.labels.numpy(), GROUPS[images.labels.numpy()], logits, None)
    assert METRICS[METRIC[select]].compute(answers) == pytest.approx(scores.max(), abs=1e-12)


def test_scores_over_classes_are_those_of_scikit_learn():
    draws = np.random.default_rng(0)
    labels, found = draws.integers(0, 40, 300) * 2, draws.integers(0, 90, 300)
    found[::2] = labels[::2]
    classes = np.unique(labels)
    assert mean_class_accuracy(labels, found) == recall_score(labels, found, labels=classes, average="macro")
    for average in ("macro", "weighted"):
        assert f1(labels, found, average) == f1_score(labels, found, labels=classes, average=average)


def test_another_choice_trains_the_same_and_keeps_another_epoch(trained, monkeypatch):
    recipe = RESTLESS | {"epochs": 4, "learning_rate": 0.01}
    by_top1, _ = trained("top-1", recipe=recipe, **SOFTMAX)
    # The score of the validation falls from epoch to epoch.
    falling = iter(range(4, 0, -1))
    monkeypatch.setattr(Selection, "of", lambda self, predicted: next(falling) / 10)
    chosen, _ = trained("falling", recipe=recipe | {"select": "macro_f1"}, **SOFTMAX)
    assert (chosen.best_epoch, by_top1.best_epoch > 1) == (1, True)
    assert [row["val_macro_f1"] for row in chosen.history] == [place / 10 for place in range(4, 0, -1)]
    for row, other in zip(by_top1.history, chosen.history, strict=True):
        assert row.items() <= other.items()


def test_of_equals_top_1_decides_and_then_the_first():
    kept = Progress()
    scores = [(0.0, 0.1), (0.0, 0.3), (0.0, 0.2), (0.0, 0.3), (np.nan, np.nan), (0.1, 0.1), (0.1, 0.05)]
    best = []
    for score, top1 in scores:
        kept.history.append({"val_min_group": score, "val_acc1": top1})
        best.append(kept.is_best("val_min_group"))
    assert best == [True, True, False, False, False, True, False]


def a_fifth(path: Path) -> LabelledImages:
    """Some images of each class."""
    data = load_tensors(path)
    return LabelledImages(data.images[::5], data.labels[::5], data.image_ids[::5], data.class_names)


@pytest.mark.parametrize(
    ("settings", "best", "last"),
    [
        ({"patience": 2}, 4, 6),
        ({"patience": 2, "validate_every": 2, "select": "mean_class_acc"}, 4, 6),
        ({"patience": 3, "validate_every": 2, "ema": 0.5}, 4, 8),
        ({"patience": 1, "drw": {"start": 0.1}}, 2, 3),
    ],
)
def test_training_ends_where_it_has_got_no_better_and_resumes_to_the_same(
    trained, monkeypatch, settings, best, last
):
    value = [0.1, 0.3, 0.2, 0.4, 0.4, 0.3, 0.35, 0.2, 0.4, 0.5]
    names = ("val_loss", "val_acc1", "val_mean_class_acc")
    monkeypatch.setattr(Trainer, "validate", lambda run: dict.fromkeys(names, value[run.progress.epoch]))
    monkeypatch.setattr(small_runs, "load_tensors", a_fifth)
    recipe = RESTLESS | {"epochs": 10, "batch_size": 16} | settings  # two steps in an epoch
    ended, run = trained("ended", recipe=recipe, **SOFTMAX)
    assert (ended.best_epoch, len(ended.history), ended.ended_early) == (best, last, True)
    resumed, again = trained("resumed", stop_after=5, recipe=recipe, **SOFTMAX)
    assert (resumed.best_epoch, resumed.ended_early) == (best, True)
    assert str(resumed.history) == str(ended.history)
    assert same_weights(resumed.best_weights, ended.best_weights)
    assert same_weights(again.model.state_dict(), run.model.state_dict())


@pytest.fixture
def never_better(monkeypatch):
    """Validations of which none is better than the one before."""
    monkeypatch.setattr(Trainer, "validate", lambda run: {"val_loss": 2.0, "val_acc1": 0.5})


def test_the_outputs_say_that_training_ended_early(digits, train_arguments, tmp_path, capsys, never_better):
    arguments = train_arguments(digits, tmp_path, recipe=RESTLESS | {"patience": 1}, **SOFTMAX)
    run_program("train", *arguments)
    told, record = capsys.readouterr().out, json.loads((tmp_path / "run.json").read_text())
    history = read_parquet(tmp_path / "history.parquet")
    assert record["ended_early"] is True
    assert len(record["epochs"]) == len(history) < 8
    assert (
        f"ended after epoch {len(history)} of 8, since none was better than epoch {record['best_epoch']}"
        in told
    )
    run_program("train", *arguments)  # a second start finds the end and goes no further
    assert read_parquet(tmp_path / "history.parquet").equals(history)


def test_the_second_stage_of_decoupled_training_may_end_early(trained, base, digits, tmp_path, never_better):
    second = {"retrain": "new", "start": base, "recipe": RESTLESS | {"patience": 1}, **SOFTMAX}
    ended, run = trained("second", **second)
    assert (ended.ended_early, len(ended.history)) == (True, 2)
    first, _ = load_model(base)
    kept, _ = load_model(save_run(run, digits, tmp_path / "second.safetensors"))
    assert same_weights(first.backbone.state_dict(), kept.backbone.state_dict())


def test_groups_that_are_missing_are_named(trained):
    with pytest.raises(ValueError, match="select: min_group needs the group of every class"):
        trained("none", recipe={"select": "min_group"})
    with pytest.raises(ValueError, match="no validation image is of middle or tail; give more"):
        Selection("min_group", np.array([0, 1]), GROUPS)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            {"select": "f1"},
            "train.select: found 'f1'; input should be 'best', 'last', 'mean_class_acc', 'macro_f1'",
        ),
        (
            {"patience": 5, "select": "last"},
            "patience (5) waits for a better epoch, and select: last keeps the last",
        ),
        ({"patience": 4, "validate_every": 5}, "patience (4) must be at least validate_every (5)"),
        ({"patience": 0}, "train.patience: found 0"),
        (
            {"patience": 10, "drw": {}},
            "patience (10) could end training after epoch 11, and drw re-weighs the classes from epoch 73 on; set "
            "patience to 72 or more, or to null",
        ),
        ({"patience": 71, "drw": {}}, "could end training after epoch 72"),
        ({"patience": 69, "validate_every": 3, "drw": {}}, "could end training after epoch 72"),
    ],
)
def test_settings_that_make_no_sense_are_refused(train, message):
    with pytest.raises(ConfigError) as caught:
        load_config({"train": train})
    assert message in "\n".join(caught.value.problems)


def test_a_loss_that_is_reweighted_late_needs_a_patience_of_its_own():
    mapping = {"grid": {"losses": ["softmax", "ldam_drw"]}, "train": {"patience": 10}}
    with pytest.raises(
        ConfigError, match=r"losses.ldam_drw.train: patience .10. could end training after epoch 11"
    ):
        load_config(mapping)
    config = load_config(mapping | {"losses": {"ldam_drw": {"train": {"patience": 72}}}})
    assert config.recipe("resnet50", "ldam_drw").patience == 72
    load_config({"train": {"patience": 72, "validate_every": 3, "drw": {}}})


def test_no_epoch_is_chosen_by_test_images():
    for select in SELECTS:
        mapping = {"data": {"test_per_class": None}, "train": {"select": select, "calibrate": False}}
        if select == "last":
            load_config(mapping)
        else:
            with pytest.raises(ConfigError, match=rf"train.select: {select}, for .* by the test images"):
                load_config(mapping)


def test_a_patience_that_is_never_lost_is_told():
    (told,) = load_config({"train": {"patience": 90, "schedule": "cosine"}}).warnings
    assert told.startswith("train.patience: no training ends early, since patience is 90 and train.epochs 90")
