"""What is done to the weights after a step."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from longtail.models.classifier import ImageClassifier
from longtail.training.after_step import LimitLengths, after_step
from longtail.training.recipe import Recipe

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "training.json").read_text())["maxnorm"]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=["first", "third"])
@pytest.mark.parametrize("every", ["step", "epoch"])
def test_lengths_are_limited_as_in_the_reference(case, every):
    start, weight, bias = (
        torch.tensor(case[name], dtype=torch.float64) for name in ("W_stage1", "W", "bias")
    )
    model = ImageClassifier(nn.Identity(), nn.Linear(weight.shape[1], len(weight)).double())
    model.head.load_state_dict({"weight": start, "bias": bias})
    limit = LimitLengths(model, share=case["hyper"]["thresh"], every=every)
    assert limit.limit.item() == pytest.approx(case["threshold"], rel=1e-12)
    model.head.load_state_dict({"weight": weight, "bias": bias})
    limit(2, 3)
    if every == "epoch":
        assert torch.equal(model.head.weight, weight), "the epoch has another step"
        limit(3, 3)
    expected = torch.tensor(case["W_after"], dtype=torch.float64)
    torch.testing.assert_close(model.head.weight.detach(), expected, rtol=1e-9, atol=1e-12)
    assert torch.equal(model.head.bias, bias)


def test_nothing_is_done_unless_the_recipe_says_so():
    model = ImageClassifier(nn.Identity(), nn.Linear(2, 3))
    assert after_step(model, Recipe()) == []
    assert len(after_step(model, Recipe(max_norm={}))) == 1
