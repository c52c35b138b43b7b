"""Losses of several experts, trained for real, and the weights of experts for test images."""

import dataclasses
import math

import pytest
import torch
from small_runs import same_weights, save_run

from longtail.data.split.frequencies import largest_draw
from longtail.data.tensors.files import LabelledImages, load_tensors
from longtail.inference.logits import predict
from longtail.inference.variants import drawn, vary
from longtail.models.file import load_model

EXPERTS = {
    "experts": 3,
    "head": "cosine",
    "loss_parameters": {},
    "recipe": {"epochs": 5, "learning_rate": 0.005, "select": "last"},
}
CPU = torch.device("cpu")


@pytest.mark.parametrize(("loss", "narrow"), [("ride", True), ("sade", False)])
def test_experts_learn_resume_to_the_same_bytes_and_are_weighed_for_test_images(
    loss, narrow, trained, digits, tmp_path
):
    whole, trainer = trained("whole", loss=loss, narrow_experts=narrow, **EXPERTS)
    assert all(math.isfinite(row["train_loss"]) and math.isfinite(row["val_loss"]) for row in whole.history)
    assert whole.history[-1]["val_acc1"] > 0.3  # by chance 0.1
    stopped, _ = trained("stopped", stop_after=5, loss=loss, narrow_experts=narrow, **EXPERTS)
    assert stopped.history == whole.history and same_weights(stopped.best_weights, whole.best_weights)

    path, images = (
        save_run(trainer, digits, tmp_path / "model.safetensors"),
        load_tensors(digits / "test.pth"),
    )
    model, card = load_model(path)
    assert (card.experts, card.narrow_experts, card.head) == (3, narrow, "cosine")
    expected = trainer.model.eval()(trainer.val_feed.images[:4] / 255)
    torch.testing.assert_close(model(trainer.val_feed.images[:4] / 255), expected)

    plain = predict(model, images, card, CPU)
    varied = vary(model, card, {"adjust": "aggregation"}, images, CPU)
    assert len(varied["weights"]) == 3 and sum(varied["weights"]) == pytest.approx(1, abs=1e-3)
    weighed = predict(model, images, card, CPU)
    assert not torch.equal(weighed, plain)
    again, _ = load_model(path)
    without_labels = dataclasses.replace(images, labels=images.labels.flip(0))
    assert vary(again, card, {"adjust": "aggregation"}, without_labels, CPU) == varied

    # Under another distribution, other images are looked at: those that the rule of the table draws.
    settings = {"adjust": "aggregation", "distribution": "backward_50"}
    other = vary(again, card, settings, images, CPU)
    assert other["weights"] != varied["weights"] and other["distribution"] == "backward_50"
    members = drawn(images.labels, card, "backward_50")
    there = images.labels.bincount(minlength=10).tolist()
    found = images.labels[members].bincount(minlength=10).tolist()
    assert found == largest_draw("backward_50", card.class_counts, there)
    part = LabelledImages(images.images[members], images.labels[members], members, images.class_names)
    assert vary(again, card, {"adjust": "aggregation"}, part, CPU)["weights"] == other["weights"]


def test_experts_that_a_loss_needs_have_to_be_there(trained):
    with pytest.raises(ValueError, match="RIDE needs the logits of several experts, and the model has none"):
        trained("none", loss="ride", loss_parameters={}, head="cosine")
