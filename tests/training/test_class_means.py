"""A cosine head that starts from class means."""

import pytest
import torch
from small_runs import same_weights
from torch import nn

from longtail.data.tensors.files import load_tensors
from longtail.models import build_model
from longtail.models.heads import CosineLinear, class_means
from longtail.training.checkpoint import StateFolder
from longtail.training.run import Trainer

COUNTS = torch.tensor([9, 4, 1, 0])


COSINE = {
    "loss": "logit_adjusted",
    "loss_parameters": {"s": 25.0},
    "head": "cosine",
    "head_init": "class_means",
    "recipe": {"epochs": 2, "padding": 1, "augment": "trivial", "select": "last", "ema": 0.5},
}


def test_a_cosine_head_starts_from_the_mean_features_of_images_as_they_are(trained, digits):
    _, run = trained("run", **COSINE)
    run = Trainer(
        run.settings,
        load_tensors(digits / "train.pth"),
        load_tensors(digits / "val.pth"),
        device=torch.device("cpu"),
        states=StateFolder(digits / "no state"),
    )
    random = run.model.head.weight.detach().clone()
    assert run.resume() is None
    backbone = run.model.backbone.eval()
    train_set = load_tensors(digits / "train.pth")
    images = (train_set.images / 255 - 0.3) / 0.4
    with torch.no_grad():
        for label in range(10):
            mean = torch.stack(
                [backbone(image[None])[0] for image in images[train_set.labels == label]]
            ).mean(0)
            torch.testing.assert_close(run.model.head.weight[label], mean / mean.norm(), rtol=0, atol=1e-5)
    assert torch.equal(run.average.module.head.weight, run.model.head.weight)
    assert not torch.equal(run.model.head.weight, random)
    fresh = build_model("resnet8", num_classes=10, image_size=8).backbone.state_dict()
    counters = [name for name in fresh if name.endswith(("running_mean", "num_batches_tracked"))]
    assert all(torch.equal(backbone.state_dict()[name], fresh[name]) for name in counters)


def test_a_class_without_images_keeps_its_random_direction():
    head = CosineLinear(2, 3)
    before = head.weight.detach().clone()
    images = torch.tensor([[3.0, 4.0], [9.0, 12.0], [0.0, -2.0]])
    batches = [(images[:2], torch.tensor([2, 2])), (images[2:], torch.tensor([0]))]
    means = class_means(nn.Identity(), batches, 3)
    assert means.tolist() == [[0, -2], [0, 0], [6, 8]]
    head.point_to(means)
    torch.testing.assert_close(head.weight, torch.tensor([[0, -1], before[1].tolist(), [0.6, 0.8]]))


def test_a_head_from_class_means_is_not_made_again_when_a_run_resumes(trained, monkeypatch):
    whole, _ = trained("whole", **COSINE)
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return class_means(*arguments)

    monkeypatch.setattr("longtail.training.run.class_means", counted)
    stopped, _ = trained("stopped", stop_after=2, **COSINE)
    assert len(calls) == 1
    assert whole.history == stopped.history
    assert same_weights(whole.best_weights, stopped.best_weights)
    with pytest.raises(ValueError, match="head_init: class_means with head: linear; allowed: random, or"):
        trained("linear", **{**COSINE, "head": "linear"})
