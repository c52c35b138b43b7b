"""Every method of training, for real and for a few steps."""

import math

import pytest
import torch
from small_runs import same_weights
from torch.optim.optimizer import register_optimizer_step_pre_hook

SGD = {"optimizer": "sgd", "learning_rate": 0.05}
METHODS = {
    "clip": {"clip": 0.05},
    "nesterov": {**SGD, "nesterov": True},
    "SAM": {"sam": {"rho": 0.1}},
    "deferred re-sampling": {"sampler": "class_balanced", "sampler_start": 0.5},
    "CutMix": {"mixup": {"kind": "cutmix", "probability": 0.5, "remix": {}}},
    "manifold mixup": {"mixup": {"kind": "manifold"}},
    "AutoAugment and Cutout": {"augment": "autoaugment", "cutout": 4},
    "weight balancing": {"max_norm": {}, "weight_decay": 0.1},
    "BCL": {"clip": 1.0},
    "GLMC": {},
}
LOSSES = {"BCL": "bcl", "GLMC": "glmc"}
PLAIN = {"weight balancing": {"weight_decay": 0.1}, "nesterov": SGD}
"""What a method is compared with, where that is not the plain recipe."""


@pytest.fixture(scope="module")
def compared():
    """The finished runs that methods are compared with, by their settings."""
    return {}


@pytest.mark.parametrize("name", METHODS)
def test_each_method_changes_a_run_which_stays_finite_and_resumes_to_the_same_bytes(
    name, trained, base, compared
):
    own = {"start": base, "retrain": "keep"} if name == "weight balancing" else {}
    common = {"epochs": 2, "select": "last", "warmup_epochs": 0}

    def run(folder, recipe, **more):
        return trained(
            f"{name} {folder}",
            **{"loss": "softmax", "loss_parameters": {}, "recipe": common | recipe, **own, **more},
        )

    loss = {"loss": LOSSES[name]} if name in LOSSES else {}
    whole, trainer = run("whole", METHODS[name], **loss)
    assert all(math.isfinite(row["train_loss"]) and math.isfinite(row["val_loss"]) for row in whole.history)
    assert all(tensor.isfinite().all() for tensor in whole.best_weights.values())
    stopped, _ = run("stopped", METHODS[name], stop_after=3, **loss)
    assert stopped.history == whole.history and same_weights(stopped.best_weights, whole.best_weights)
    settings = PLAIN.get(name, {})
    if str(settings) not in compared:
        compared[str(settings)], _ = run("plain", settings)
    plain = compared[str(settings)]
    assert not same_weights(plain.best_weights, whole.best_weights)
    if name == "deferred re-sampling":
        assert plain.history[0] == whole.history[0], "the first half of the epochs is as without it"
    if name == "weight balancing":
        lengths = trainer.model.head.weight.norm(dim=1)
        assert (
            lengths.max()
            <= trainer.after_step[0].limit * (1 + 1e-6)
            < plain.best_weights["head.weight"].norm(dim=1).max()
        )


def test_the_gradient_is_shortened_to_the_norm(trained):
    norms = []

    def noted(optimizer, *_):
        every = [weight.grad.flatten() for group in optimizer.param_groups for weight in group["params"]]
        norms.append(torch.cat(every).norm().item())

    hook = register_optimizer_step_pre_hook(noted)
    try:
        trained("clipped", recipe={"epochs": 1, "warmup_epochs": 0, "clip": 0.05})
    finally:
        hook.remove()
    assert len(norms) > 3 and max(norms) == pytest.approx(0.05, rel=1e-4)
