"""Models of several experts: the networks of the references, files of them, and weights for test images."""

import json
from pathlib import Path

import pytest
import torch

from longtail.models import build_model
from longtail.models.classifier import WithoutMemory
from longtail.models.experts import Experts
from longtail.models.heads import ExpertHeads
from longtail.models.variants.aggregation import EPOCHS, LEAST, agreement, learnt_weights
from longtail.models.weights import write_weights

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "experts.json").read_text())


def tensors(module):
    """The numbers of all layers, in the order of the network."""
    layers = [each for each in module.modules() if not list(each.children())]
    return [each for layer in layers for each in layer.state_dict().values() if each.is_floating_point()]


def waves(count, frequency, start=0):
    return torch.arange(count, dtype=torch.float64).mul(frequency).add(start).sin()


@torch.no_grad()
def filled(model):
    """The model with the weights that the reference had."""
    parts = [model.backbone.shared, *model.backbone.own, *model.head.heads]
    for place, each in enumerate(tensor for part in parts for tensor in tensors(part)):
        wave = waves(each.numel(), 0.7, place).view(each.shape)
        each.copy_(wave * (2 / each[0].numel()) ** 0.5 if each.ndim > 1 else 1 + wave / 4)
    return model.eval()


@pytest.mark.parametrize("case", GOLDEN["forward"], ids=lambda case: case["model"])
def test_the_networks_are_those_of_the_reference(case):
    size, expected = case["image_size"], torch.tensor(case["logits"], dtype=torch.float64)
    options = {"head": "cosine", "experts": 3, "narrow_experts": True}
    model = filled(build_model(case["model"], num_classes=10, image_size=size, **options).double())
    images = waves(2 * 3 * size * size, 0.013).view(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(30 * model(images), expected, rtol=1e-9, atol=1e-9)
        each = model.classify_each(model.backbone(images))
    assert each.shape == (2, 3, 10)
    torch.testing.assert_close(30 * each.mean(dim=1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", GOLDEN["sizes"], ids=lambda case: case["model"])
def test_they_have_as_many_weights(case):
    options = {"head": "cosine", "experts": 3, "narrow_experts": case["narrow"]}
    with WithoutMemory():
        model = build_model(case["model"], num_classes=100, image_size=224, **options)
    assert sum(each.numel() for each in model.parameters()) == case["weights"]


def test_experts_start_from_the_same_pretrained_stages_and_with_heads_of_their_own(tmp_path):
    plain = build_model("resnet10", num_classes=4, image_size=32)
    write_weights(tmp_path / "weights.safetensors", plain.backbone.state_dict(), {"model": "resnet10"})
    model = build_model(
        "resnet10", num_classes=4, image_size=32, experts=2, weights=tmp_path / "weights.safetensors"
    )
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        first, second = model.eval().backbone(images).chunk(2, dim=1)
        torch.testing.assert_close(first, plain.eval().backbone(images))
        assert torch.equal(first, second)
        one, other = model(images), model.classify_each(model.backbone(images))
    assert not torch.equal(other[:, 0], other[:, 1])
    torch.testing.assert_close(one, other.mean(dim=1))


@pytest.mark.parametrize("name", ["mobilenetv2", "timm/test_vit"])
def test_a_network_without_such_stages_is_refused(name):
    with pytest.raises(ValueError, match=r"cannot be divided among experts; .*ResNets and ResNeXts"):
        build_model(name, num_classes=4, image_size=32, experts=2)


@pytest.mark.parametrize("case", GOLDEN["aggregation"], ids=["10 classes", "20 classes"])
def test_the_weights_are_learnt_as_in_the_reference(case):
    first, second = (torch.tensor(case[name], dtype=torch.float64) for name in ("view0", "view1"))
    start = torch.full((3,), 1 / 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(-agreement(start.softmax(dim=0), first, second), start)
    torch.testing.assert_close(
        gradient, torch.tensor(case["grad_w_at_start"], dtype=torch.float64), rtol=1e-9, atol=1e-12
    )
    for steps, after in enumerate(case["after_each_step"], start=1):
        found = learnt_weights([[(first, second)] * steps], 3)
        torch.testing.assert_close(
            found, torch.tensor(after["softmax"], dtype=torch.float64), rtol=1e-9, atol=1e-9
        )
    head = ExpertHeads([torch.nn.Identity()] * 3)
    assert head.double().combined(first).argmax(dim=1).tolist() == case["uniform_prediction_view0"]


def test_the_stable_expert_wins_and_learning_ends_before_another_is_lost():
    random, taken = torch.Generator().manual_seed(0), []
    known = 10 * torch.eye(5)[torch.arange(10) % 5]

    def epoch(number):
        taken.append(number)
        for _ in range(100):
            noise = 10 * torch.randn(2, 10, 2, 5, generator=random)
            yield tuple(torch.cat([known[:, None], each], dim=1) for each in noise)

    weights = learnt_weights(map(epoch, range(50)), 3)
    assert weights.argmax() == 0 and weights.sum().item() == pytest.approx(1)
    assert weights.min() < LEAST and len(taken) < 50
    assert EPOCHS == 5


def test_the_features_of_the_experts_lie_side_by_side():
    own = [torch.nn.Flatten(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))]
    images = torch.randn(4, 3, 1, 1)
    features = Experts(torch.nn.Identity(), own)(images)
    assert features.shape == (4, 5) and torch.equal(features[:, :3], images.flatten(1))
