"""Losses that compare views of an image, beside what the authors' code computes."""

import json
from pathlib import Path

import pytest
import torch

from longtail.losses import build_loss
from longtail.losses.bcl import balanced_contrastive

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/contrastive.json").read_text())


def leaf(case, name):
    return torch.tensor(case[name], dtype=torch.float64, requires_grad=True)


def assert_gradients(case, leaves):
    for name, tensor in leaves.items():
        expected = torch.tensor(case[f"grad_{name}"], dtype=torch.float64)
        torch.testing.assert_close(tensor.grad, expected, rtol=1e-9, atol=1e-12)


def test_balanced_contrastive_learning_is_that_of_the_authors():
    case = GOLDEN["bcl"]
    leaves = {name: leaf(case, name) for name in ("logits", "features", "centers")}
    logits, features, centers = leaves.values()
    labels, hyper = torch.tensor(case["labels"]), case["hyper"]
    loss = build_loss("bcl", torch.tensor(case["counts"]), **hyper)
    loss.projection = loss.prototypes = lambda own: own
    views = torch.cat([torch.zeros_like(features[:, :1]), features], dim=1)
    value = loss(logits, labels, view_features=views, classifier=centers)
    assert value.item() == pytest.approx(case["loss"], rel=1e-12)
    # The recorded gradients are those of the vectors after they were brought to length one.
    (gradient,) = torch.autograd.grad(value, logits)
    contrast = balanced_contrastive(features, centers, labels, hyper["temperature"]).mean()
    (hyper["beta"] * contrast).backward()
    logits.grad = gradient
    assert_gradients(case, leaves)


def test_global_and_local_mixture_consistency_is_that_of_the_authors():
    case = GOLDEN["glmc"]
    hyper, fixed = case["hyper"], [torch.tensor(case[name], dtype=torch.float64) for name in ("z1", "z2")]
    loss = build_loss(
        "glmc",
        torch.tensor(case["counts"]),
        label_weighting=hyper["label_weighting"],
        contrast_weight=float(hyper["contrast_weight"]),
    )
    loss.begin_epoch(hyper["epoch"], hyper["epochs"])
    names = ("output_1", "output_2", "output_cb_1", "output_cb_2", "p1", "p2")
    leaves = {name: leaf(case, name) for name in names}
    first, second, predicted = (
        torch.stack([leaves[one], leaves[other]], dim=1)
        for one, other in zip(names[::2], names[1::2], strict=True)
    )
    loss.first_classifier = lambda features: first
    loss.projection = lambda features: torch.stack(fixed, dim=1)
    loss.prediction = lambda features: predicted
    share = torch.full((len(case["labels"]),), case["lambda"], dtype=torch.float64)
    value = sum(
        loss.total(second[:, 0], torch.tensor(case[labels]), part, view_features=first, view_logits=second)
        for labels, part in (("labels", share), ("labels_resampled", 1 - share))
    ) / len(share)
    value.backward()
    assert value.item() == pytest.approx(case["loss"], rel=1e-12)
    assert_gradients(case, leaves)


def test_without_views_a_loss_scores_logits_and_in_training_asks_for_them():
    counts, labels = torch.tensor([10, 2]), torch.tensor([0, 1])
    for name in ("bcl", "glmc"):
        loss = build_loss(name, counts)
        with pytest.raises(ValueError, match=r"is computed from view_features besides logits"):
            loss(torch.zeros(2, 2), labels)
        assert loss.eval()(torch.zeros(2, 2), labels).isfinite()
