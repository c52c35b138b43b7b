"""RIDE and SADE: values and gradients of their references, and what follows from their definitions."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from longtail.losses import build_loss
from longtail.losses.weights import effective_number
from longtail.testing import check_loss

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "experts.json").read_text())
COUNTS = torch.tensor([500, 100, 20, 20])


def value_and_gradient(loss, case):
    """Those of the logits of a case, which the reference has scaled already."""
    logits = torch.tensor(case["logits"], dtype=torch.float64, requires_grad=True)
    experts = logits / loss.logit_scale
    value = loss(experts.mean(dim=1), torch.tensor(case["labels"]), experts=experts)
    return value.item(), torch.autograd.grad(value, logits)[0]


def batch(images=7):
    random = torch.Generator().manual_seed(images)
    experts = torch.rand(images, 3, 4, generator=random, dtype=torch.float64) * 2 - 1
    return experts, torch.randint(4, (images,), generator=random)


@pytest.mark.parametrize(("epoch", "when"), [(159, "before"), (160, "after")])
@pytest.mark.parametrize("case", GOLDEN["ride"], ids=["exponential", "step"])
def test_ride_agrees_with_the_reference_before_and_after_it_weighs_classes(case, epoch, when):
    loss = build_loss("ride", torch.tensor(case["counts"]))
    loss.begin_epoch(epoch, 200)
    value, gradient = value_and_gradient(loss, case)
    assert value == pytest.approx(case[f"loss_{when}"], rel=1e-12)
    expected = torch.tensor(case[f"grad_logits_{when}"], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", GOLDEN["sade"], ids=["all counts differ", "some are equal"])
def test_sade_agrees_with_the_reference(case):
    loss = build_loss("sade", torch.tensor(case["counts"]), tau=float(case["hyper"]["tau"]))
    value, gradient = value_and_gradient(loss, case)
    stable = "_stable_sort" if "loss_stable_sort" in case else ""
    assert value == pytest.approx(case[f"loss{stable}"], rel=1e-12)
    expected = torch.tensor(case[f"grad_logits{stable}"], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_ride_with_one_kind_of_expert_is_ldam_for_each():
    """Equal experts have no distance, whatever it counts."""
    (experts, labels), ride = batch(), build_loss("ride", COUNTS, diversity=3.0)
    ride.begin_epoch(0, 10)
    same = experts[:, :1].expand(-1, 3, -1)
    expected = 3 * build_loss("ldam", COUNTS)(same[:, 0], labels)
    torch.testing.assert_close(ride(same[:, 0], labels, experts=same), expected)
    apart = build_loss("ride", COUNTS, diversity=0.0)
    apart.begin_epoch(0, 10)
    given = experts.mean(dim=1), labels
    assert ride(*given, experts=experts) < apart(*given, experts=experts), "distance lowers the loss"


def test_the_distance_counts_alike_for_images_of_all_classes():
    """Class weights are for the cross-entropy alone, whichever way they are averaged."""
    experts, labels = batch()
    given = experts.mean(dim=1), labels
    values = {}
    for diversity in (0.0, 1.0):
        loss = build_loss("ride", COUNTS, diversity=diversity, spread=0.0)
        loss.begin_epoch(9, 10)
        assert torch.equal(loss.class_weight, effective_number(COUNTS))
        values[diversity] = [loss(*given, experts=experts)]
        loss.begin_epoch(0, 10)
        values[diversity].append(loss(*given, experts=experts))
    late, early = (with_it - without for with_it, without in zip(values[1.0], values[0.0], strict=True))
    torch.testing.assert_close(late, early)


def test_the_third_expert_of_sade_learns_the_reverse_of_the_training_distribution():
    """Without images to tell them apart, each expert's best logits are the logarithms of what it expects."""
    loss = build_loss("sade", COUNTS, tau=1.0)
    labels = torch.arange(4).repeat_interleave(COUNTS)
    experts = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([experts], max_iter=100, line_search_fn="strong_wolfe")

    def step():
        optimizer.zero_grad()
        every = experts.expand(len(labels), 3, 4)
        value = loss(every.mean(dim=1), labels, experts=every)
        value.backward()
        return value

    optimizer.step(step)
    found = (loss.logit_scale * experts.detach()).softmax(dim=1)
    forward = COUNTS.double() / COUNTS.sum()
    reverse = torch.tensor([20, 20, 100, 500]).double() / COUNTS.sum()
    uniform = torch.full_like(forward, 0.25)
    # The two rarest classes have equally many images, so either may take the share of the most frequent one.
    torch.testing.assert_close(found[:2], torch.stack([forward, uniform]), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[2].sort().values, reverse.sort().values, rtol=1e-3, atol=1e-4)
    assert found[2].argmax() in (2, 3) and found[2, 0] < 0.05


@pytest.mark.parametrize("name", ["ride", "sade"])
def test_logits_alone_are_scored_by_their_cross_entropy_and_not_trained_on(name):
    (experts, labels), loss = batch(), build_loss(name, COUNTS)
    logits = experts.mean(dim=1)
    with pytest.raises(
        ValueError, match=r"is computed from experts besides logits; give experts=\.\.\., the logits"
    ):
        loss(logits, labels)
    with pytest.raises(
        ValueError, match=r"experts have shape \(7, 3, 3\) .* needs \(N, E, C\) and \(N,\), with 4 classes"
    ):
        loss(logits, labels, experts=experts[:, :, :3])
    each = F.cross_entropy(30 * logits, labels, reduction="none")
    weight = loss.class_weight[labels]
    torch.testing.assert_close(loss.eval()(logits, labels), (weight * each).sum() / weight.sum())


def test_sade_refuses_other_numbers_of_experts():
    experts, labels = batch()
    with pytest.raises(ValueError, match="SADE has 3 experts; found the logits of 2"):
        build_loss("sade", COUNTS)(experts.mean(dim=1), labels, experts=experts[:, :2])


def test_sade_passes_the_check_of_losses():
    from longtail.losses.sade import SADE

    check_loss(SADE)
