"""Decoupled training: a classifier on the frozen backbone of a finished run."""

import json
from pathlib import Path

import pytest
import torch
from small_runs import same_weights, save_run
from torch import nn

from longtail.losses import build_loss
from longtail.models.classifier import ImageClassifier
from longtail.models.file import load_model
from longtail.models.heads import ScaledLinear
from longtail.models.weights import write_weights
from longtail.training.optimization import build_optimizer
from longtail.training.outputs import model_card
from longtail.training.recipe import Recipe
from longtail.training.retraining import learning_rates
from longtail.training.settings import RunSettings
from longtail.training.tuning import freeze, train_mode

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "training.json").read_text())[
    "mislas_stage2_step"
]

SECOND_STAGE = {
    "loss": "softmax",
    "loss_parameters": {},
    "recipe": {"epochs": 2, "sampler": "class_balanced", "warmup_epochs": 0},
}


@pytest.mark.parametrize("classifier", ["new", "scale"])
def test_decoupled_training_leaves_the_backbone_bit_for_bit(trained, base, digits, tmp_path, classifier):
    progress, run = trained("second", start=base, retrain=classifier, **SECOND_STAGE)
    first, _ = load_model(base)
    second, _ = load_model(save_run(run, digits, tmp_path / "second.safetensors"))
    assert same_weights(first.backbone.state_dict(), second.backbone.state_dict()), "batch statistics, too"
    images = torch.rand(4, 3, 8, 8)
    assert not torch.equal(first(images), second(images))
    if classifier == "scale":
        assert same_weights(first.head.state_dict(), second.head.linear.state_dict())
        torch.testing.assert_close(second(images), first(images) * second.head.scale)
    resumed, _ = trained("resumed", stop_after=2, start=base, retrain=classifier, **SECOND_STAGE)
    assert resumed.history == progress.history
    assert same_weights(resumed.best_weights, progress.best_weights)


def test_the_card_says_what_training_started_from(trained, base, tmp_path):
    _, run = trained("named", start=base, retrain="new", **SECOND_STAGE)
    names = [str(label) for label in range(10)]
    assert model_card(run, names, start=str(base)).started_from == {"source": None, "retrain": "new"}
    facts = {
        "source": "timm/x.y",
        "url": None,
        "license": "mit",
        "file": "x.pth",
        "sha256": "1a",
        "as_published": None,
    }
    weights = tmp_path / "weights.safetensors"
    write_weights(weights, {"weight": torch.zeros(1)}, {**facts, "mean": [0.5] * 3})
    assert model_card(run, names, str(weights)).started_from == facts


def test_decoupled_training_needs_a_run_of_the_same_model(trained, base):
    with pytest.raises(
        ValueError, match="is a resnet8 for 10 classes; a resnet20 for 10 cannot start from it"
    ):
        trained("other", start=base, retrain="new", architecture="resnet20", **SECOND_STAGE)
    with pytest.raises(ValueError, match="needs the model file of the run"):
        trained("none", retrain="new", **SECOND_STAGE)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=["norms follow", "norms stay"])
def test_two_steps_of_mislas_are_those_of_the_reference(case):
    hyper = case["hyper"]
    network = [nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    backbone = nn.Sequential(*network, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = ImageClassifier(backbone, ScaledLinear(4, len(case["counts"]))).double()

    def state(part):
        renamed = {
            "net.": "backbone.",
            "classifier.": "head.linear.",
            "lws.learned_norm": "head.scale",
        }
        found = {}
        for name, value in case[part].items():
            ours = next(name.replace(old, new) for old, new in renamed.items() if name.startswith(old))
            kind = torch.int64 if isinstance(value, int) else torch.float64
            found[ours] = torch.tensor(value, dtype=kind)
        return {**found, "head.scale": found["head.scale"].squeeze(0)}

    model.load_state_dict(state("before"))
    settings = RunSettings(
        architecture="resnet8",
        head="linear",
        loss="label_aware_smoothing",
        loss_parameters={},
        recipe=Recipe(),
        seed=1,
        retrain="keep_and_scale",
        classifier_rate=hyper["lr_factor"],
    )
    freeze(model, settings.tune, 1)
    sgd = {"momentum": hyper["momentum"], "weight_decay": hyper["weight_decay"]}
    rates = learning_rates(model, settings)
    optimizer = build_optimizer(model, "sgd", learning_rate=hyper["lr"], rates=rates, **sgd)
    for group in optimizer.param_groups:
        group["lr"] = hyper["lr"] * group.get("lr_scale", 1.0)
    shape = {name: hyper[name] for name in ("smooth_head", "smooth_tail", "shape")}
    loss = build_loss("label_aware_smoothing", torch.tensor(case["counts"]), **shape)
    train_mode(model, settings.tune, shift_norms=case["shift_bn"])
    for images, labels in zip(case["images"], case["labels"], strict=True):
        optimizer.zero_grad()
        loss(model(torch.tensor(images, dtype=torch.float64)), torch.tensor(labels)).backward()
        optimizer.step()
    for name, expected in state("after").items():
        torch.testing.assert_close(model.state_dict()[name], expected, rtol=1e-9, atol=1e-12)


def test_shifted_norms_follow_the_images_and_no_weight_of_the_backbone_moves(trained, base, digits, tmp_path):
    settings = {"start": base, "retrain": "keep_and_scale", "classifier_rate": 0.2, **SECOND_STAGE}
    settings["loss"] = "label_aware_smoothing"
    progress, run = trained("shifted", shift_norms=True, **settings)
    kept, _ = trained("kept", **settings)
    (first, _), (second, card) = (
        load_model(base),
        load_model(save_run(run, digits, tmp_path / "x.safetensors")),
    )
    before, after = first.backbone.state_dict(), second.backbone.state_dict()
    moved = {name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"running_mean", "running_var", "num_batches_tracked"}
    assert not torch.equal(first.head.weight, second.head.linear.weight), "the classifier is trained on"
    assert (second.head.scale != 1).any() and card.head == "scaled"
    assert not same_weights(kept.best_weights, progress.best_weights)
    resumed, _ = trained("resumed", stop_after=2, shift_norms=True, **settings)
    assert resumed.history == progress.history
    assert same_weights(resumed.best_weights, progress.best_weights)


def test_shifted_norms_need_batch_norms(trained, digits, tmp_path):
    with pytest.raises(ValueError, match="timm/test_vit has none; set shift_norms: false"):
        vit = {"architecture": "timm/test_vit", "recipe": {"epochs": 1, "warmup_epochs": 0, "image_size": 16}}
        plain = {"loss": "softmax", "loss_parameters": {}}
        _, run = trained("vit", **vit, **plain)
        start = save_run(run, digits, tmp_path / "vit.safetensors")
        trained("second", start=start, retrain="new", shift_norms=True, **vit, **plain)
