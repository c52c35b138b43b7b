"""Sampler, mixtures, re-weighting and a moving average in one run, also when it resumes."""

import pytest
import torch
from small_runs import same_weights

from longtail.training.run import Trainer

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
    stopped, _ = trained("stopped", stop_after=2, **COMBINED)
    assert whole.history == stopped.history
    assert same_weights(whole.best_weights, stopped.best_weights)
    plain, _ = trained("plain", **{**COMBINED, "recipe": {**COMBINED["recipe"], "mixup": None}})
    assert not same_weights(whole.best_weights, plain.best_weights)


def test_an_average_of_the_weights_validates_is_kept_and_resumes_exactly(trained):
    recipe = {"epochs": 2, "ema": 0.9, "select": "last"}
    averaged, run = trained("averaged", recipe=recipe)
    resumed, _ = trained("averaged resumed", stop_after=2, recipe=recipe)
    assert resumed.history == averaged.history
    assert same_weights(resumed.best_weights, averaged.best_weights)
    plain, _ = trained("plain", recipe={**recipe, "ema": None})
    assert same_weights(run.model.state_dict(), plain.best_weights), "training does not see the average"
    assert not same_weights(averaged.best_weights, plain.best_weights)
    assert [row["train_loss"] for row in averaged.history] == [row["train_loss"] for row in plain.history]
    assert [row["val_loss"] for row in averaged.history] != [row["val_loss"] for row in plain.history]


def test_an_average_follows_the_weights_at_a_decay_that_rises_with_the_steps_of_the_run(trained, monkeypatch):
    weights, step = [], Trainer.train_step

    def noted(run, *batch):
        result = step(run, *batch)
        weights.append(run.model.head.weight.detach().clone())
        return result

    monkeypatch.setattr(Trainer, "train_step", noted)
    recipe = {"epochs": 3, "ema": 0.75, "select": "last"}
    _, run = trained("averaged", recipe=recipe)
    assert len(weights) == 12
    expected = weights[0]
    for number, weight in enumerate(weights[1:], 2):
        decay = min(0.75, 1 - number ** (-2 / 3))  # is 0.75 from step 8 on
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(run.average.module.head.weight, expected)


def test_a_slow_average_does_not_keep_a_short_runs_initial_weights(trained):
    recipe = {"epochs": 5, "select": "last"}
    plain, _ = trained("plain", recipe=recipe)
    averaged, _ = trained("averaged", recipe={**recipe, "ema": 0.999})
    assert averaged.history[-1]["val_acc1"] > plain.history[-1]["val_acc1"] - 0.1


def test_a_run_is_told_what_it_is_too_short_for(trained, capsys):
    trained("long", recipe={"epochs": 3, "ema": 0.999, "schedule": "multistep", "milestones": [1, 2]})
    assert "warning" not in capsys.readouterr().out
    short = {"epochs": 1, "warmup_epochs": 0, "batch_size": 32, "ema": 0.999}
    trained("short", recipe={**short, "schedule": "multistep", "milestones": [1]})
    told = capsys.readouterr().out
    # 0.37 * 0.52 * 0.60, the decays of the second to the fourth step
    assert "warning: train.ema: 12% of the weights that are kept are those of the first of 4 steps" in told
    assert told.count("warning: train.milestones: the learning rate never steps after epoch 1") == 1


def test_micro_batches_of_mixtures_give_the_whole_batchs_loss(trained):
    vit = {**COMBINED, "architecture": "timm/test_vit"}
    recipe = {**COMBINED["recipe"], "image_size": 32, "optimizer": "sgd", "epochs": 1, "warmup_epochs": 0}
    whole, _ = trained("whole", **{**vit, "recipe": recipe})
    parts, _ = trained("parts", **{**vit, "recipe": {**recipe, "micro_batch": 8}})
    assert parts.history[0] == pytest.approx(whole.history[0], rel=1e-4)
