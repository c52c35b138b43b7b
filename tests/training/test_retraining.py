"""Decoupled training: a classifier on the frozen backbone of a finished run."""

import pytest
import torch
from small_runs import same_weights, save_run

from longtail.models.file import load_model
from longtail.models.weights import write_weights
from longtail.training.outputs import model_card

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
    resumed, _ = trained("resumed", stop_after=3, start=base, retrain=classifier, **SECOND_STAGE)
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
