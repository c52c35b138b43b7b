"""Fine-tuning few weights: which are trained, and what becomes of low-rank updates."""

import re

import pytest
import torch
from small_runs import same_weights
from torch import nn
from torchvision.models import VisionTransformer

from longtail.machine.randomness import derive_seed
from longtail.models import build_model, from_torchvision
from longtail.training.tuning import freeze, merge, merged_weights

TRANSFORMER = {
    "architecture": "timm/test_vit",
    "loss": "softmax",
    "loss_parameters": {},
}
SHORT = {"image_size": 32, "epochs": 2, "select": "last", "optimizer": "adamw", "weight_decay": 0.1}


def initial(run) -> dict[str, torch.Tensor]:
    torch.manual_seed(derive_seed(1, "initial weights"))
    architecture, size = run.settings.architecture, run.recipe.image_size
    return build_model(architecture, num_classes=10, image_size=size).state_dict()


def changed(run, progress) -> set[str]:
    before = initial(run)
    assert before.keys() == progress.best_weights.keys(), "those of the plain architecture"
    return {name for name, weight in progress.best_weights.items() if not torch.equal(weight, before[name])}


@pytest.mark.parametrize(
    ("tune", "pattern"),
    [
        ("lora", r"backbone\.blocks\.\d+\.attn\.qkv\.weight"),
        ("bias", r"backbone\..*bias"),
        ("norm", r"backbone\..*norm\d?\.(weight|bias)"),
        ("head", r"nothing of the backbone"),
    ],
)
def test_only_the_chosen_weights_of_a_transformer_are_trained(trained, tune, pattern):
    progress, run = trained(
        tune, **TRANSFORMER, recipe={**SHORT, "epochs": 1, "warmup_epochs": 0, "tune": tune}
    )
    names = initial(run)
    expected = {name for name in names if re.fullmatch(pattern, name)} | {"head.weight", "head.bias"}
    assert changed(run, progress) == expected
    updates = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
    assert updates < sum(p.numel() for p in run.model.parameters())


@pytest.mark.parametrize(("tune", "ema"), [("lora", 0.5), ("bias", None)])
def test_fine_tuning_resumes_exactly(trained, tune, ema):
    recipe = {**SHORT, "tune": tune, "ema": ema}
    whole, _ = trained("whole", **TRANSFORMER, recipe=recipe)
    stopped, _ = trained("stopped", stop_after=2, **TRANSFORMER, recipe=recipe)
    assert whole.history == stopped.history
    assert same_weights(whole.best_weights, stopped.best_weights)


def test_a_finished_run_with_low_rank_updates_is_taken_up_as_it_is(trained):
    recipe = {**SHORT, "tune": "lora"}
    first, _ = trained("lora", **TRANSFORMER, recipe=recipe)
    again, run = trained("lora", **TRANSFORMER, recipe=recipe)
    assert same_weights(first.best_weights, again.best_weights)
    run.model.load_state_dict(again.best_weights)  # as calibration does


@pytest.mark.parametrize("architecture", ["timm/test_vit", "torchvision/vit_b_16"])
def test_low_rank_updates_are_merged_into_the_weights_of_query_and_value(architecture, monkeypatch):
    def small(name, weights, image_size):
        return VisionTransformer(image_size, 16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=8)

    monkeypatch.setattr(from_torchvision.models, "get_model", small)
    torch.manual_seed(0)
    model = build_model(architecture, num_classes=3, image_size=32).eval()
    plain = build_model(architecture, num_classes=3, image_size=32).eval()
    for module in (model, plain):
        nn.init.normal_(module.head.weight)
    plain.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    freeze(model, "lora", 2)
    torch.testing.assert_close(model(images), plain(images), msg="at first the updates are zero")
    loss = model(images).square().sum()
    loss.backward()
    with torch.no_grad():
        for weight in model.backbone.parameters():
            if weight.requires_grad:
                weight += torch.randn_like(weight)
    merged = merged_weights(model)
    tuned = [name for name in merged if not torch.equal(merged[name], plain.state_dict()[name])]
    assert tuned and all(name.endswith(("qkv.weight", "in_proj_weight")) for name in tuned)
    for name in tuned:
        update = merged[name] - plain.state_dict()[name]
        of_query, of_key, of_value = update.chunk(3)
        assert not of_key.any()
        ranks = [int(torch.linalg.matrix_rank(part, rtol=1e-4)) for part in (of_query, of_value)]
        assert ranks == [2, 2]
    plain.load_state_dict(merged)
    torch.testing.assert_close(plain(images), model(images))
    merge(model)
    assert same_weights(model.state_dict(), merged) and model.state_dict().keys() == merged.keys()
    torch.testing.assert_close(plain(images), model(images))


def test_statistics_of_batch_norms_stay_where_the_backbone_is_frozen(trained):
    recipe = {"epochs": 1, "warmup_epochs": 0, "select": "last"}
    for tune, expected in (("norm", r"backbone\..*norm\d?\.(weight|bias)"), ("head", "none")):
        progress, run = trained(tune, recipe={**recipe, "tune": tune})
        weights = {name for name in changed(run, progress) if name.startswith("backbone")}
        assert weights == {name for name in initial(run) if re.fullmatch(expected, name)}
    _, run = trained("all", recipe=recipe)
    assert any(name.endswith("running_mean") for name in changed(run, run.progress))


@pytest.mark.parametrize(
    ("architecture", "tune", "rank", "message"),
    [
        ("resnet8", "lora", 4, "tune: lora needs attention layers .* CifarResNet has none"),
        ("timm/test_vit", "lora", 1000, "lora_rank is 1000; allowed: 1 to "),
        ("timm/test_vit", "lore", 4, "tune is 'lore'; choose one of all, lora"),
    ],
)
def test_a_backbone_without_what_is_to_be_tuned_is_refused(architecture, tune, rank, message):
    model = build_model(architecture, num_classes=3, image_size=32)
    with pytest.raises(ValueError, match=message):
        freeze(model, tune, rank)
