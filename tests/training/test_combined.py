"""Sampler, mixtures, re-weighting and a moving average in one run, also when it resumes."""

import pytest
import torch
from small_runs import same_weights

from longtail.batches.mixup import Targets

COMBINED = {
    "loss": "softmax",
    "loss_parameters": {},
    "recipe": {
        "epochs": 2,
        "sampler": "progressive",
        "mixup": {"alpha": 1.0, "remix": {"kappa": 3.0, "tau": 0.5}},
        "drw": {"start": 0.5, "beta": 0.99},
        "select": "last",
    },
}


def test_sampler_and_mixtures_resume_exactly_within_an_epoch(trained):
    whole, _ = trained("whole", **COMBINED)
    stopped, _ = trained("stopped", stop_after=3, **COMBINED)
    assert whole.history == stopped.history
    assert same_weights(whole.best_weights, stopped.best_weights)
    plain, _ = trained("plain", **{**COMBINED, "recipe": {**COMBINED["recipe"], "mixup": None}})
    assert not same_weights(whole.best_weights, plain.best_weights)


def test_an_average_of_the_weights_validates_is_kept_and_resumes_exactly(trained):
    recipe = {"epochs": 2, "ema": 0.9, "select": "last"}
    averaged, run = trained("averaged", recipe=recipe)
    resumed, _ = trained("averaged resumed", stop_after=3, recipe=recipe)
    assert resumed.history == averaged.history
    assert same_weights(resumed.best_weights, averaged.best_weights)
    plain, plain_run = trained("plain", recipe={**recipe, "ema": None})
    assert same_weights(run.model.state_dict(), plain.best_weights), "training does not see the average"
    assert not same_weights(averaged.best_weights, plain.best_weights)
    assert [row["train_loss"] for row in averaged.history] == [row["train_loss"] for row in plain.history]
    assert [row["val_loss"] for row in averaged.history] != [row["val_loss"] for row in plain.history]
    # By hand, over one step of one weight.
    before = run.average.module.head.weight.detach().clone()
    images = next(plain_run.val_feed.in_order())[0][:8]
    run.model.train()
    run.train_step(images, Targets(torch.arange(8) % 10))
    expected = 0.9 * before + 0.1 * run.model.head.weight
    torch.testing.assert_close(run.average.module.head.weight, expected)


def test_micro_batches_of_mixtures_give_the_whole_batchs_loss(trained):
    vit = {**COMBINED, "architecture": "timm/test_vit"}
    recipe = {**COMBINED["recipe"], "image_size": 32, "optimizer": "sgd", "epochs": 1, "warmup_epochs": 0}
    whole, _ = trained("whole", **{**vit, "recipe": recipe})
    parts, _ = trained("parts", **{**vit, "recipe": {**recipe, "micro_batch": 8}})
    assert parts.history[0] == pytest.approx(whole.history[0], rel=1e-4)
