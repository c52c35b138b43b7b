"""A loss of one's own that keeps something between steps, or has weights to train."""

import pytest
import torch
from small_runs import same_weights

from longtail.losses import build_loss
from longtail.testing import check_loss

SOURCE = """
import torch
from torch import nn

class Counting(nn.Module):
    "Cross-entropy that is adjusted by the labels seen so far."

    def __init__(self, class_counts):
        super().__init__()
        self.register_buffer("seen", torch.ones(len(class_counts)))

    def forward(self, logits, labels):
        self.seen += torch.bincount(labels, minlength=len(self.seen))
        return nn.functional.cross_entropy(logits + self.seen.log(), labels)

class Learnt(nn.Module):
    def __init__(self, class_counts):
        super().__init__()
        self.margin = nn.Parameter(torch.zeros(len(class_counts)))

    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits + self.margin, labels)
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(SOURCE)
    return lambda name: {"path": str(tmp_path / "own.py"), "name": name}


def test_what_a_loss_keeps_in_buffers_is_resumed_exactly(trained, own):
    settings = {"loss": own("Counting"), "loss_parameters": {}, "recipe": {"epochs": 2, "select": "last"}}
    whole, _ = trained("whole", **settings)
    stopped, _ = trained("stopped", stop_after=2, **settings)
    assert whole.history == stopped.history
    assert same_weights(whole.best_weights, stopped.best_weights)


def test_weights_of_a_loss_are_trained_resumed_and_kept_out_of_the_model_file(trained, own):
    settings = {"loss": own("Learnt"), "loss_parameters": {}, "recipe": {"epochs": 2, "select": "last"}}
    whole, run = trained("whole", **settings)
    stopped, again = trained("stopped", stop_after=2, **settings)
    margin = run.loss.module.margin
    assert margin.detach().abs().min() > 0 and torch.equal(margin, again.loss.module.margin)
    assert same_weights(whole.best_weights, stopped.best_weights)
    assert not any("margin" in name for name in whole.best_weights)
    check_loss(lambda counts: build_loss(own("Learnt"), counts))
