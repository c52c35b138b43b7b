"""Changed classifiers: the published formulas, and the program that writes them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import run_program
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from torch import nn
from torch.nn import functional as F

from longtail.data.tensors.files import load_tensors
from longtail.inference.logits import logits_of
from longtail.inference.variants import best_of, vary
from longtail.losses import build_loss
from longtail.models.card import check_run
from longtail.models.file import load_model, save_model
from longtail.models.variants import adjust, known_variants, ncm

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "losses.json").read_text())["cases"]
COUNTS = torch.tensor([9, 4, 1, 0])


def head(weight, bias=None) -> nn.Linear:
    weight = torch.tensor(weight)
    linear = nn.Linear(weight.shape[1], len(weight))
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(torch.zeros(len(weight)) if bias is None else torch.tensor(bias))
    return linear


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_post_hoc_adjustment_undoes_what_the_logit_adjusted_loss_adds(tau):
    # The published loss of raw logits is softmax cross-entropy of the adjusted ones, so the loss of a classifier
    # whose biases were adjusted is that of the classifier as it was.
    case = next(case for case in GOLDEN if "logits" in case and len(case["class_counts"]) == 10)
    counts, labels = torch.tensor(case["class_counts"]), torch.tensor(case["labels"])
    logits = torch.tensor(case["logits"], dtype=torch.float64)
    linear = head(torch.eye(10).tolist()).double()
    adjust("la", linear, counts, tau=tau)
    value = build_loss("logit_adjusted", counts, tau=tau)(linear(logits), labels)
    assert value.item() == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-9)


def test_post_hoc_adjustment_moves_predictions_to_rarer_classes_only_and_knows_the_scale():
    linear = head([[1.0], [1.0]])
    adjust("la", linear, torch.tensor([90, 10]), tau=1.0, logit_scale=10.0)
    difference = linear.bias[1] - linear.bias[0]
    assert 10 * difference.item() == pytest.approx(2.1972246, abs=1e-5)  # ln 9
    balanced = head([[1.0], [1.0]])
    adjust("la", balanced, torch.tensor([5, 5]), tau=1.0)
    assert balanced.bias[0] == balanced.bias[1]


@pytest.mark.parametrize(
    ("tau", "expected"),
    [(0.0, [[3.0, 4.0], [0.0, 2.0]]), (1.0, [[0.6, 0.8], [0.0, 1.0]]), (2.0, [[0.12, 0.16], [0.0, 0.5]])],
)
def test_tau_normalisation_by_hand(tau, expected):
    linear = head([[3.0, 4.0], [0.0, 2.0]], bias=[5.0, 7.0])
    adjust("taunorm", linear, torch.tensor([9, 1]), tau=tau)
    torch.testing.assert_close(linear.weight.detach(), torch.tensor(expected))
    assert linear.bias.tolist() == [0, 0]


def test_only_a_linear_classifier_is_adjusted():
    with pytest.raises(ValueError, match="only a linear one"):
        adjust("la", nn.Identity(), COUNTS, tau=1.0)


def test_the_script_writes_a_model_with_adjusted_logits(base, tmp_path):
    out = tmp_path / "adjusted.safetensors"
    calibrated, facts = load_model(base)
    start = tmp_path / "calibrated.safetensors"
    save_model(start, calibrated.state_dict(), replace(facts, temperature=1.5, known_from=2.0))
    run_program("adjust", model=start, settings={"adjust": "la", "tau": 2}, output=out)
    (first, card), (second, changed) = load_model(base), load_model(out)
    assert changed.variant == {"adjust": "la", "tau": 2.0}
    assert (changed.temperature, changed.known_from) == (None, None), "both were fitted to other logits"
    prior = torch.tensor(card.class_counts) / sum(card.class_counts)
    images = torch.rand(4, 3, 8, 8)
    torch.testing.assert_close(second(images), first(images) - 2 * prior.log())


@pytest.mark.parametrize("name", ["la", "taunorm"])
def test_temperature_and_threshold_are_those_of_the_changed_logits(name, base, digits, tmp_path):
    out, start = tmp_path / "adjusted.safetensors", tmp_path / "start.safetensors"
    model, facts = load_model(base)
    save_model(start, model.state_dict(), replace(facts, recipe={**facts.recipe, "false_rejection": 0.1}))
    settings = {"adjust": name, "tau": 1.5}
    run_program("adjust", **{"val-tensors": digits / "val.pth"}, model=start, settings=settings, output=out)
    changed, card = load_model(out)

    val = load_tensors(digits / "val.pth")
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (card.mean, card.std))
    with torch.no_grad():
        logits = changed.eval()((val.images / 255 - mean) / std).double().numpy()

    def cross_entropy(temperature: float) -> float:
        scaled = logits / temperature
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(scaled)), val.labels]).mean())

    best = minimize_scalar(cross_entropy, bounds=(0.01, 100), method="bounded", options={"xatol": 1e-8}).x
    assert card.temperature == pytest.approx(best, rel=1e-4)
    scores = np.sort(logsumexp(logits / card.temperature, axis=1))
    assert len(scores) == 100 and card.known_from == pytest.approx(scores[9], rel=1e-6)


@pytest.mark.parametrize("name", known_variants())
def test_each_method_names_its_paper(name):
    text = (ROOT / f"longtail/models/variants/{name}.py").read_text()
    assert re.search(r"Source: .*20\d\d", text)


TRAINED = json.loads((ROOT / "tests" / "golden" / "training.json").read_text())


@pytest.mark.parametrize("of", ["un", "l2n", "cl2n"])
@pytest.mark.parametrize("case", TRAINED["ncm"]["cases"], ids=["all classes", "an absent class"])
def test_nearest_means_agree_with_the_reference(case, of):
    # The reference drops an absent class and counts on; there, ours has a logit of the class that is never the largest.
    golden, present = case["types"][f"{of}_l2"], case["present_classes"]
    features, query = (torch.tensor(case[name], dtype=torch.float64) for name in ("features", "query"))
    head = ncm.head(features, torch.tensor(case["labels"]), len(case["counts"]), of=of, distance="euclidean")
    found, expected = head(query), torch.tensor(golden["logits"], dtype=torch.float64)
    if of == "un":  # a linear classifier lacks the same number in every logit of an image
        expected = expected + query.square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(found[:, present], expected, rtol=1e-9, atol=1e-9)
    assert torch.tensor(present)[torch.tensor(golden["prediction"])].equal(found.argmax(dim=1))
    assert found.isfinite().all()


def test_nearest_means_by_cosine_are_those_of_the_angles():
    draws = torch.Generator().manual_seed(1)
    features, query = (torch.randn(30, 4, generator=draws, dtype=torch.float64) for _ in range(2))
    labels = torch.arange(30) % 3
    for of in ("un", "l2n"):
        known = F.normalize(features, dim=1) if of == "l2n" else features
        means = torch.stack([known[labels == each].mean(dim=0) for each in range(3)])
        expected = F.cosine_similarity(query[:, None], means[None], dim=2)
        found = ncm.head(features, labels, 3, of=of, distance="cosine")(query)
        torch.testing.assert_close(found, 2 * expected - 2)


@pytest.mark.parametrize("case", TRAINED["tau_sweep"]["cases"], ids=["first", "third"])
def test_the_strength_is_chosen_as_the_reference_prints_it(case):
    features, weight = (torch.tensor(case[name], dtype=torch.float64) for name in ("val_features", "W"))
    heads = []
    for row in case["sweep"]:
        linear = head(weight.tolist(), bias=[1.0] * len(weight)).double()
        linear.weight.data.copy_(weight)
        adjust("taunorm", linear, torch.tensor(case["counts"]), tau=row["tau"])
        heads.append(linear)
        _, score = best_of([linear], features, torch.tensor(case["val_labels"]), "mean_class_acc")
        assert score == pytest.approx(row["all"], abs=1e-12)
    best, score = best_of(heads, features, torch.tensor(case["val_labels"]), "mean_class_acc")
    assert case["sweep"][best]["tau"] == case["best_tau_values"][0]
    assert score == pytest.approx(case["best_accuracy"], abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"adjust": "la", "tau": "validation", "taus": [0.0, 0.5, 1.0], "score": "acc1"}, "val"),
        ({"adjust": "ncm", "features": "cl2n", "distance": "euclidean"}, "train"),
        ({"adjust": "ncm", "features": "un", "distance": "euclidean"}, "train"),
    ],
    ids=lambda value: value if isinstance(value, str) else "_".join(map(str, value.values())),
)
def test_the_script_computes_with_images_where_a_variant_needs_them(base, digits, tmp_path, settings, part):
    out, tensors = tmp_path / "varied.safetensors", digits / f"{part}.pth"
    run_program("adjust", model=base, settings=settings, tensors=tensors, output=out)
    (first, card), (second, changed) = load_model(base), load_model(out)
    images = load_tensors(tensors)
    chosen = {name: changed.variant[name] for name in changed.variant if name not in settings}
    assert {**changed.variant} == settings | chosen
    features = logits_of(second.backbone, images.images, changed, torch.device("cpu"))
    with torch.no_grad():
        found = second.head(features).argmax(dim=1)
    if part == "val":
        logits = logits_of(first, images.images, card, torch.device("cpu"))
        prior = torch.tensor(card.class_counts).clamp(min=1).double().log()
        right = [
            ((logits - tau * prior).argmax(1) == images.labels).double().mean() for tau in settings["taus"]
        ]
        assert chosen["chosen_tau"] == settings["taus"][int(torch.stack(right).argmax())]
        assert chosen["validation_score"] == pytest.approx(max(right).item())
    else:
        means = torch.stack([features[images.labels == each].mean(dim=0) for each in range(10)])
        near = torch.cdist(features, means).argmin(dim=1)
        assert (near == found).float().mean() > (0.99 if settings["features"] == "un" else 0.5)
    again = tmp_path / "again.safetensors"
    run_program("adjust", model=base, settings=settings, tensors=tensors, output=again)
    assert out.read_bytes() == again.read_bytes()
    check_run(changed, {"variant": settings}, out)
    check_run(changed, {}, out)  # as predict.py without its run's settings
    with pytest.raises(ValueError, match="model of another run: variant is"):
        check_run(changed, {"variant": settings | {next(reversed(settings)): "other"}}, out)


def test_a_variant_that_needs_images_says_so(base):
    model, card = load_model(base)
    with pytest.raises(ValueError, match="ncm with class means needs images"):
        vary(model, card, {"adjust": "ncm"}, None, torch.device("cpu"))
