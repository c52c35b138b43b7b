"""Schedules against PyTorch's own, and the published protocol's."""

import math
from itertools import pairwise

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch.nn import functional as F

from longtail.models import build_model
from longtail.models.classifier import WithoutMemory
from longtail.training.optimization import SharpnessAware, build_optimizer
from longtail.training.recipe import Recipe


def factors(**changes) -> list[float]:
    recipe = Recipe(learning_rate=1, **changes)
    return [recipe.learning_rate_in(epoch) for epoch in range(recipe.epochs)]


def pytorch(make, epochs: int) -> list[float]:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (factors(), lambda o: torch.optim.lr_scheduler.StepLR(o, 30, 0.1)),
        (
            factors(schedule="multistep", epochs=200, gamma=0.01),
            lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [160, 180], 0.01),
        ),
        (factors(schedule="cosine"), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 90)),
    ],
)
def test_schedules_are_pytorchs(ours, theirs):
    assert ours == pytest.approx(pytorch(theirs, len(ours)), rel=1e-9, abs=1e-12)


def test_warm_up_rises_linearly_and_the_cosine_follows_it():
    rates = factors(schedule="cosine", epochs=15, warmup_epochs=5)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5] == 1.0
    assert rates[10] == pytest.approx((1 + math.cos(math.pi / 2)) / 2)


def test_the_published_protocol_of_cao_2019():
    # SGD 0.1; 5 warm-up epochs; x 0.01 after 160 and x 0.0001 after 180 of 200.
    settings = {"schedule": "multistep", "epochs": 200, "gamma": 0.01, "warmup_epochs": 5}
    rates = [0.1 * factor for factor in factors(**settings)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[159] == pytest.approx(0.1)
    assert rates[160] == pytest.approx(1e-3)
    assert rates[180] == pytest.approx(1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_fused_optimisers_step_like_the_plain_ones(name):
    plain = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    extra = {"momentum": 0.9} if name == "sgd" else {}
    optimizers = (
        build_optimizer(ours, name, learning_rate=0.1, weight_decay=0.01, momentum=0.9),
        plain(theirs.parameters(), lr=0.1, weight_decay=0.01, fused=False, **extra),
    )
    for _ in range(5):
        batch = torch.randn(8, 4)
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_parameters_that_are_not_trained_are_left_out():
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    optimizer = build_optimizer(model, "sgd", learning_rate=0.1, weight_decay=0, momentum=0)
    assert [p is model.weight for p in optimizer.param_groups[0]["params"]] == [True]


def test_unknown_names_are_refused_with_what_is_allowed():
    with pytest.raises(ValueError, match="is not known; allowed: "):
        build_optimizer(torch.nn.Linear(1, 1), "adm", learning_rate=1, weight_decay=0, momentum=0)
    with pytest.raises(ValueError, match="Input should be 'step', 'multistep', 'cosine' or 'constant'"):
        factors(schedule="stp")


def test_layers_learn_at_decaying_rates_and_vectors_do_not_decay():
    model = build_model("timm/test_vit", num_classes=10, image_size=32)
    settings = {"learning_rate": 1.0, "weight_decay": 0.1, "momentum": 0.9}
    optimizer = build_optimizer(model, "adamw", layer_decay=0.5, **settings)
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(group_of) == len(list(model.parameters()))
    rates = {name: group_of[id(p)]["lr_scale"] for name, p in model.named_parameters()}
    assert rates["head.weight"] == 1.0
    blocks = [rates[f"backbone.blocks.{i}.mlp.fc1.weight"] for i in range(len(model.backbone.blocks))]
    assert blocks[-1] == 0.5
    assert [later / earlier for earlier, later in pairwise(blocks)] == [2.0] * (len(blocks) - 1)
    assert rates["backbone.patch_embed.proj.weight"] <= blocks[0] / 2
    for name, parameter in model.named_parameters():
        decays = parameter.ndim > 1 and not name.endswith(("pos_embed", "cls_token", "reg_token"))
        assert group_of[id(parameter)]["weight_decay"] == (0.1 if decays else 0.0), name
    small = build_model("resnet8", num_classes=10, image_size=32)
    with pytest.raises(ValueError, match="layer_decay needs to know the layers of CifarResNet"):
        build_optimizer(small, "adamw", layer_decay=0.5, **settings)


@pytest.mark.parametrize(
    ("name", "last_block"),
    [
        ("vit_tiny_patch16_224", "blocks.11.mlp.fc2.weight"),
        ("deit_tiny_distilled_patch16_224", "blocks.11.mlp.fc2.weight"),
        ("swin_tiny_patch4_window7_224", "layers.3.blocks.1.mlp.fc2.weight"),
        ("resnet18", "layer4.1.conv2.weight"),
        ("convnext_atto", "stages.3.blocks.1.mlp.fc2.weight"),
        ("beit_base_patch16_224", "blocks.11.mlp.fc2.weight"),
    ],
)
def test_layers_learn_at_the_rates_that_timm_gives_the_whole_model(name, last_block):
    with WithoutMemory():  # only names and shapes matter
        whole = timm.create_model(name, num_classes=10)
        ours = build_model(f"timm/{name}", num_classes=10, image_size=224)
    skipped = whole.no_weight_decay() if hasattr(whole, "no_weight_decay") else ()
    groups = param_groups_layer_decay(whole, 0.05, no_weight_decay_list=skipped, layer_decay=0.75)
    expected = settings_of(groups, whole)
    optimizer = build_optimizer(
        ours, "adamw", learning_rate=1.0, weight_decay=0.05, momentum=0.9, layer_decay=0.75
    )
    found = settings_of(optimizer.param_groups, ours)
    assert found[f"backbone.{last_block}"] == (0.75, 0.05)
    assert (found.pop("head.weight"), found.pop("head.bias")) == ((1.0, 0.05), (1.0, 0.0))
    assert found == {
        f"backbone.{key}": value
        for key, value in expected.items()
        if key in dict(ours.backbone.named_parameters())
    }


def settings_of(groups: list[dict], model: torch.nn.Module) -> dict[str, tuple[float, float]]:
    """The factor of the rate and the weight decay of each parameter, by its name."""
    found = {id(p): (group["lr_scale"], group["weight_decay"]) for group in groups for p in group["params"]}
    return {name: found[id(p)] for name, p in model.named_parameters()}


def sharpness_aware(loss, weights, *, steps, rho, **settings):
    optimizer = SharpnessAware(torch.optim.SGD(weights, **settings), rho=rho)
    for _ in range(steps * optimizer.passes):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def test_a_sharpness_aware_step_on_a_parabola():
    """The gradient of half of w^2 is w, so that after the move by rho it is w + rho."""
    weight = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    sharpness_aware(lambda: weight.square().sum() / 2, [weight], steps=1, rho=0.5, lr=0.1)
    assert weight.item() == pytest.approx(3 - 0.1 * 3.5, rel=1e-11)


def test_sharpness_aware_steps_are_those_of_another_program():
    """SAM of pytorch_optimizer 4.1.0, run once; it takes the norm in float32."""
    images = torch.tensor([[1.0, 2.0, -1.0], [0.5, -1.0, 2.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    start = [[0.2, -0.4, 0.1], [0.3, 0.5, -0.2]], [0.1, -0.1]
    weight, bias = (torch.tensor(own, dtype=torch.float64, requires_grad=True) for own in start)

    def loss():
        return F.cross_entropy(F.linear(images, weight, bias), torch.tensor([0, 1, 1]))

    sgd = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    sharpness_aware(loss, [weight, bias], steps=3, rho=0.5, **sgd)
    expected = [
        [0.288652808997961, 0.04513243817020941, -0.5024657257133012],
        [0.20854459050203908, 0.05430704172979062, 0.4030262458133012],
    ]
    torch.testing.assert_close(
        weight.detach(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-8
    )
    assert bias.tolist() == pytest.approx([0.021737090811344173, -0.02173709081134415], abs=1e-8)


def test_what_is_left_out_by_fp16_is_no_pass_of_two():
    with pytest.raises(ValueError, match="sam with precision: fp16, which leaves steps out"):
        Recipe(sam={}, precision="fp16")


def test_parameters_learn_at_their_share_of_the_rate_and_of_their_layer():
    model = build_model("timm/test_vit", num_classes=10, image_size=32)
    slow = list(model.head.parameters())
    common = {"learning_rate": 1.0, "weight_decay": 0.0, "momentum": 0.0, "rates": dict.fromkeys(slow, 0.2)}
    for layer_decay in (None, 0.5):
        optimizer = build_optimizer(model, "sgd", layer_decay=layer_decay, **common)
        scales = {
            own: group.get("lr_scale", 1.0) for group in optimizer.param_groups for own in group["params"]
        }
        assert scales.keys() == set(model.parameters())
        assert {scales[own] for own in slow} == {0.2}
        assert (min(scales.values()) < 0.2) == (layer_decay is not None)
