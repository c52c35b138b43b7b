"""Losses against reference implementations and against the laws they obey."""

import json
import math
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from longtail.losses import build_loss
from longtail.losses.declarations import declarations
from longtail.losses.weights import effective_number, inverse_frequency

LOSSES = [name for name, own in declarations().items() if not own.needs]
LONG_TAIL = torch.tensor([450, 96, 20, 4, 1])
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def batch(classes: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and labels of two images per class."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2 * classes, classes, generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.arange(2 * classes) % classes


def value_and_gradient(loss: torch.nn.Module, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, labels)
    return value.detach(), torch.autograd.grad(value, logits)[0]


# Golden values of public reference implementations -------------------------------------------------------------


@cache
def golden_cases() -> list[dict]:
    return json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())["cases"]


GOLDEN = [
    pytest.param(case, entry, id=f"{case['id']}-{entry['reference']}")
    for case in golden_cases()
    for entry in case["losses"]
]


def golden_batch(case: dict) -> tuple[Tensor, Tensor, Tensor]:
    counts, labels = torch.tensor(case["class_counts"]), torch.tensor(case["labels"])
    zeros = torch.zeros(len(labels), len(counts), dtype=torch.float64)
    return counts, torch.tensor(case["logits"], dtype=torch.float64) if "logits" in case else zeros, labels


def assert_golden(loss: torch.nn.Module, case: dict, entry: dict) -> None:
    _, logits, labels = golden_batch(case)
    if "uniform" in case and entry["loss"] == "equalization":
        loss.draw_uniform = lambda logits: torch.tensor(case["uniform"], dtype=torch.float64)
    value, gradient = value_and_gradient(loss, logits, labels)
    torch.testing.assert_close(value.item(), entry["value"], **EXACT)
    if "grad" in entry:
        torch.testing.assert_close(gradient, torch.tensor(entry["grad"], dtype=torch.float64), **EXACT)


@pytest.mark.parametrize(("case", "entry"), GOLDEN)
def test_agrees_with_the_reference_implementation(case, entry):
    counts, _, _ = golden_batch(case)
    loss = build_loss(entry["loss"], counts, **entry["params"])
    if "deferred_beta" in entry:
        loss.set_class_weight(effective_number(counts, beta=entry["deferred_beta"]))
    assert_golden(loss, case, entry)


METHODS = json.loads((Path(__file__).parents[1] / "golden" / "methods.json").read_text())


@pytest.mark.parametrize("case", METHODS["cases"], ids=lambda case: f"{case['reference']}, {case['params']}")
def test_methods_agree_with_the_reference_implementation(case):
    loss = build_loss(case["loss"], torch.tensor(case["class_counts"]), **case["params"])
    loss.draw_noise = lambda logits: torch.tensor(case["noise"], dtype=torch.float64)
    inputs = [torch.tensor(METHODS["logits"][case["logits"]], dtype=torch.float64).requires_grad_()]
    if "features" in case:
        inputs.append(torch.tensor(case["features"], dtype=torch.float64).requires_grad_())
    value = loss(inputs[0], torch.tensor(case["labels"]), features=inputs[-1] if len(inputs) > 1 else None)
    assert value.item() == pytest.approx(case["value"], rel=1e-10)
    for gradient, name in zip(torch.autograd.grad(value, inputs), ("grad", "grad_features"), strict=False):
        expected = torch.tensor(case[name], dtype=torch.float64)
        assert (gradient - expected).abs().max() < 1e-10 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("weighted_softmax", "weighted_softmax/inverse_freq_sumC/weighted_mean"),
        ("focal", "focal/softmax/gamma=2"),
        ("class_balanced", "class_balanced/softmax_ce/beta=0.9999/weighted_mean"),
        ("logit_adjusted", "logit_adjusted/tau=1"),
        ("ldam", "ldam/s=30/max_m=0.5"),
        ("equalization", "equalization_softmax/lambda=0.005/gamma=0.9"),
    ],
)
def test_defaults_are_the_published_ones(name, reference):
    case = golden_cases()[0]
    entry = next(entry for entry in case["losses"] if entry["reference"] == reference)
    assert_golden(build_loss(name, torch.tensor(case["class_counts"])), case, entry)


@pytest.mark.parametrize(
    "case", [case for case in golden_cases() if "class_weights" in case], ids=lambda case: case["id"]
)
def test_class_weights_and_margins_agree_with_the_reference(case):
    counts, expected = torch.tensor(case["class_counts"]), case["class_weights"]
    found = {
        "inverse_freq_sumC": inverse_frequency(counts),
        "cb_beta_0.9": effective_number(counts, beta=0.9),
        "cb_beta_0.9999": effective_number(counts, beta=0.9999),
        "ldam_margins": build_loss("ldam", counts).margin,
    }
    for name, weights in found.items():
        torch.testing.assert_close(weights, torch.tensor(expected[name], dtype=torch.float64), **EXACT)


def test_label_smoothing_is_cross_entropy_with_a_share_for_all_classes():
    logits, labels = batch(5)
    soft = 0.9 * F.one_hot(labels, 5).double() + 0.1 / 5
    value = build_loss("softmax", LONG_TAIL, smoothing=0.1)(logits, labels)
    torch.testing.assert_close(value, F.cross_entropy(logits, soft), **EXACT)


def test_label_aware_smoothing_by_hand():
    loss = build_loss("label_aware_smoothing", torch.tensor([101, 51, 1]), smooth_head=0.4, smooth_tail=0.1)
    probabilities = torch.tensor([[0.5, 0.3, 0.2]] * 3, dtype=torch.float64)
    # Half-way between rarest and most frequent: sin(45°) of the way from 0.1 to 0.4.
    middle = 0.1 + 0.3 * math.sqrt(0.5)
    spread = -(math.log(0.5) + math.log(0.3) + math.log(0.2)) / 3
    expected = [
        0.6 * -math.log(0.5) + 0.4 * spread,
        (1 - middle) * -math.log(0.3) + middle * spread,
        0.9 * -math.log(0.2) + 0.1 * spread,
    ]
    assert loss(probabilities.log(), torch.tensor([0, 1, 2])).item() == pytest.approx(
        sum(expected) / 3, rel=1e-12
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_sigmoid_focal_is_that_of_torchvision_summed_over_the_classes(gamma):
    logits, labels = batch(len(LONG_TAIL))
    targets = F.one_hot(labels, len(LONG_TAIL)).double()
    reference = partial(sigmoid_focal_loss, targets=targets, alpha=-1, gamma=gamma, reduction="sum")
    expected = value_and_gradient(lambda logits, labels: reference(logits) / len(labels), logits, labels)
    found = value_and_gradient(build_loss("sigmoid_focal", LONG_TAIL, gamma=gamma), logits, labels)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_sigmoid_focal_by_hand():
    loss = build_loss("sigmoid_focal", torch.tensor([5, 1]))
    logits = torch.tensor([[math.log(3), -math.log(4)]], dtype=torch.float64)  # p = 3/4 and 1/5
    expected = 0.25**2 * -math.log(0.75) + 0.2**2 * -math.log(0.8)
    assert loss(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-12)


# Laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("weighted_softmax", {"power": 1.0}),
        ("weighted_softmax", {"power": 0.5, "reduction": "batch_mean"}),
        ("class_balanced", {"beta": 0.9999}),
        ("class_balanced", {"beta": 0.9, "reduction": "batch_mean"}),
        ("balanced_softmax", {}),
        ("logit_adjusted", {"tau": 1.0}),
        ("logit_adjusted", {"tau": 2.0}),
        ("equalization", {"gamma": 1.0}),
        ("cdt", {"gamma": 0.4}),
        ("vs", {"gamma": 0.3, "tau": 1.2}),
        ("gcl", {"s": 1.0}),
    ],
)
@given(classes=st.integers(2, 20), images=st.integers(1, 5000), seed=st.integers(0, 99))
@settings(max_examples=5)
def test_equals_softmax_on_balanced_counts(name, params, classes, images, seed):
    logits, labels = batch(classes, seed=seed)
    loss = build_loss(name, torch.full((classes,), images), **params)
    torch.testing.assert_close(loss(logits, labels), F.cross_entropy(logits, labels), **EXACT)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("softmax", {}),
        ("focal", {"gamma": 0.0}),
        ("weighted_softmax", {"power": 0.0}),
        ("class_balanced", {"beta": 0.0}),
        ("class_balanced", {"beta": 0.0, "reduction": "batch_mean"}),
        ("logit_adjusted", {"tau": 0.0}),
        ("equalization", {"gamma": 0.0}),
        ("equalization", {"lam": 0.0}),
        ("cdt", {"gamma": 0.0}),
        ("vs", {"gamma": 0.0, "tau": 0.0}),
        ("gcl", {"s": 1.0, "noise": 0.0}),
        ("label_aware_smoothing", {"smooth_head": 0.0, "smooth_tail": 0.0}),
    ],
)
def test_equals_softmax_when_its_parameter_turns_it_off(name, params):
    logits, labels = batch(len(LONG_TAIL))
    loss = build_loss(name, LONG_TAIL, **params)
    torch.testing.assert_close(loss(logits, labels), F.cross_entropy(logits, labels), **EXACT)


def test_logit_adjusted_with_tau_1_is_balanced_softmax():
    logits, labels = batch(len(LONG_TAIL))
    adjusted, balanced = build_loss("logit_adjusted", LONG_TAIL), build_loss("balanced_softmax", LONG_TAIL)
    torch.testing.assert_close(adjusted(logits, labels), balanced(logits, labels), **EXACT)


@pytest.mark.parametrize(
    ("name", "params", "special"),
    [
        ("logit_adjusted", {"tau": 1.2}, ("vs", {"gamma": 0.0, "tau": 1.2})),
        ("cdt", {"gamma": 0.3}, ("vs", {"gamma": 0.3, "tau": 0.0})),
        ("sigmoid_focal", {"gamma": 1.5}, ("cb_focal", {"beta": 0.0, "gamma": 1.5})),
    ],
)
def test_a_method_holds_another_as_a_special_case(name, params, special):
    logits, labels = batch(len(LONG_TAIL))
    other, special_params = special
    expected = value_and_gradient(build_loss(name, LONG_TAIL, **params), logits, labels)
    found = value_and_gradient(build_loss(other, LONG_TAIL, **special_params), logits, labels)
    torch.testing.assert_close(found, expected, **EXACT)


def test_lade_without_its_regulariser_is_balanced_softmax():
    logits, labels = batch(len(LONG_TAIL))
    found = build_loss("lade", LONG_TAIL, alpha=0.0)(logits, labels)
    # Its priors are 1e-9 larger.
    torch.testing.assert_close(
        found, build_loss("balanced_softmax", LONG_TAIL)(logits, labels), rtol=1e-6, atol=0
    )


def test_the_regulariser_of_lade_by_hand():
    counts, labels = torch.tensor([3, 1]), torch.tensor([0, 0, 1])
    logits = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 4.0]], dtype=torch.float64)

    def bound(own: list[float], column: list[float], prior: float) -> float:
        overall = math.log(sum(math.exp(z) / prior / 2 for z in column) / 3)
        return sum(own) / len(own) - overall - 0.5 * overall**2

    regulariser = -(0.75 * bound([1, 3], [1, 3, 0], 0.75) + 0.25 * bound([4], [2, -1, 4], 0.25))
    value = build_loss("lade", counts, alpha=2.0, lam=0.5)(logits, labels)
    plain = build_loss("lade", counts, alpha=0.0)(logits, labels)
    assert (value - plain).item() == pytest.approx(2 * regulariser, rel=1e-7)


def test_a_class_without_images_is_left_out_of_vector_scaling_but_for_its_own():
    logits, labels = batch(4)
    loss = build_loss("vs", torch.tensor([300, 0, 40, 5]), gamma=0.3, tau=1.2)
    value, gradient = value_and_gradient(loss, logits[labels != 1], labels[labels != 1])
    present = build_loss("vs", torch.tensor([300, 40, 5]), gamma=0.3, tau=1.2)
    renumbered = torch.tensor([0, -1, 1, 2])[labels[labels != 1]]
    torch.testing.assert_close(value, present(logits[labels != 1][:, [0, 2, 3]], renumbered), **EXACT)
    assert gradient[:, 1].eq(0).all()
    assert loss(logits, labels).isfinite()


def test_class_balanced_weights_tend_to_inverse_frequency():
    weights = effective_number(LONG_TAIL, beta=1 - 1e-12)
    torch.testing.assert_close(weights, inverse_frequency(LONG_TAIL), rtol=1e-8, atol=0)


def test_label_aware_smoothing_with_one_strength_is_label_smoothing():
    logits, labels = batch(len(LONG_TAIL))
    loss = build_loss("label_aware_smoothing", LONG_TAIL, smooth_head=0.2, smooth_tail=0.2)
    expected = F.cross_entropy(logits, labels, label_smoothing=0.2)
    torch.testing.assert_close(loss(logits, labels), expected, **EXACT)


def test_logit_scale_turns_ldam_logits_into_its_probabilities():
    logits, labels = batch(len(LONG_TAIL))
    loss = build_loss("ldam", LONG_TAIL, max_m=0.0, s=20.0)
    expected = F.cross_entropy(loss.logit_scale * logits, labels)
    torch.testing.assert_close(loss(logits, labels), expected, **EXACT)
    assert build_loss("softmax", LONG_TAIL).logit_scale == 1.0


def test_one_image_has_the_plain_loss_under_weighted_mean_only():
    logits, labels = batch(len(LONG_TAIL))
    logits, labels = logits[3:4], labels[3:4]
    plain = F.cross_entropy(logits, labels)
    torch.testing.assert_close(build_loss("class_balanced", LONG_TAIL)(logits, labels), plain, **EXACT)
    batch_mean = build_loss("class_balanced", LONG_TAIL, reduction="batch_mean")
    weight = effective_number(LONG_TAIL)[labels].sum()
    torch.testing.assert_close(batch_mean(logits, labels), weight * plain, **EXACT)


@pytest.mark.parametrize(
    ("name", "params"), [("softmax", {}), ("class_balanced", {"reduction": "batch_mean"}), ("ldam", {})]
)
def test_parts_of_a_batch_add_up_to_its_loss(name, params):
    logits, labels = batch(len(LONG_TAIL))
    loss = build_loss(name, LONG_TAIL, **params)
    loss.set_class_weight(inverse_frequency(LONG_TAIL))
    total = loss.total(logits[:3], labels[:3]) + loss.total(logits[3:], labels[3:])
    torch.testing.assert_close(total / loss.normalizer(labels), loss(logits, labels), **EXACT)


@pytest.mark.parametrize("name", LOSSES)
@given(
    counts=st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 99),
    shift=st.floats(-100, 100),
)
@settings(max_examples=8)
def test_renaming_classes_and_shifting_logits_change_nothing(name, counts, order, seed, shift):
    counts = torch.tensor(counts)
    logits, labels = batch(len(counts), seed=seed)
    permutation = torch.tensor(order.sample(range(len(counts)), len(counts)))
    loss, renamed = build_loss(name, counts), build_loss(name, counts[permutation])
    uniform = torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed))
    loss.draw_uniform = loss.draw_noise = lambda logits: uniform
    renamed.draw_uniform = renamed.draw_noise = lambda logits: uniform[:, permutation]
    value, gradient = value_and_gradient(loss, logits, labels)
    # The logits of the others mean something each, so they cannot be shifted together.
    of_softmax = name not in ("sigmoid_focal", "cb_focal", "cdt", "vs", "lade")
    other, other_gradient = value_and_gradient(
        renamed, logits[:, permutation] + shift * of_softmax, permutation.argsort()[labels]
    )
    torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(other_gradient, gradient[:, permutation], rtol=1e-9, atol=1e-9)
    if of_softmax:
        zeros = torch.zeros(len(labels), dtype=torch.float64)
        torch.testing.assert_close(gradient.sum(1), zeros, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", sorted({*LOSSES} - {"equalization", "label_aware_smoothing", "lade", "vs"}))
def test_a_class_without_images_counts_as_one_with_a_single_image(name):
    absent, single = torch.tensor([300, 0, 40, 0]), torch.tensor([300, 1, 40, 1])
    logits, labels = batch(4)
    found = []
    for counts in (absent, single):
        torch.manual_seed(0)
        found.append(value_and_gradient(build_loss(name, counts), logits, labels))
    torch.testing.assert_close(*found, **EXACT)


# Equalization draws random numbers ------------------------------------------------------------------------------


def test_equalization_repeats_with_the_seed_of_its_generator_and_not_between_batches():
    logits, labels = batch(len(LONG_TAIL))
    loss = build_loss("equalization", LONG_TAIL, gamma=0.5, lam=0.1)

    def values(seed: int) -> list[float]:
        loss.generator = torch.Generator().manual_seed(seed)
        return [loss(logits, labels).item() for _ in range(5)]

    assert values(seed=1) == values(seed=1)
    assert values(seed=1) != values(seed=2)
    assert len(set(values(seed=1))) > 1


def test_equalization_leaves_out_what_its_draw_says():
    loss = build_loss("equalization", torch.tensor([990, 6, 4]), lam=0.005, gamma=0.9)
    loss.draw_uniform = lambda logits: torch.tensor([[0.0, 0.0, 0.89], [0.0, 0.0, 0.91], [0.0, 0.0, 0.0]])
    logits = torch.tensor([[2.0, 1.0, 3.0]] * 3, dtype=torch.float64)
    total = math.exp(1) + math.exp(2)
    # Class 2 is rare: left out below 0.9, kept above, and always kept where it is the label.
    expected = [math.log(total) - 2, math.log(total + math.exp(3)) - 2, math.log(total + math.exp(3)) - 3]
    value = loss(logits, torch.tensor([0, 0, 2])).item()
    assert value == pytest.approx(sum(expected) / 3, rel=1e-12)


# Numbers and devices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_raised_to_float32(name, dtype):
    logits, labels = batch(len(LONG_TAIL), dtype)
    loss = build_loss(name, LONG_TAIL)
    loss.draw_uniform = loss.draw_noise = lambda logits: torch.zeros(logits.shape)
    value, gradient = value_and_gradient(loss, logits, labels)
    assert (value.dtype, gradient.dtype) == (torch.float32, dtype)
    assert value == loss(logits.float(), labels)


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_leaves_the_loss_in_float32(name):
    logits, labels = batch(len(LONG_TAIL), torch.float32)
    loss = build_loss(name, LONG_TAIL)
    loss.draw_uniform = loss.draw_noise = lambda logits: torch.zeros(logits.shape)
    expected = loss(logits, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)


@pytest.mark.parametrize("name", LOSSES)
def test_runs_where_nothing_can_be_read_back(name):
    # The meta device has shapes and no data: a table left behind, a value read or a shape from data would raise.
    logits, labels = batch(len(LONG_TAIL), torch.float32)
    loss = build_loss(name, LONG_TAIL).to("meta")
    value, gradient = value_and_gradient(loss, logits.to("meta"), labels.to("meta"))
    assert value.is_meta
    assert gradient.is_meta


def test_all_compile_to_one_graph():
    logits, labels = batch(len(LONG_TAIL), torch.float32)
    modules = [build_loss(name, LONG_TAIL) for name in LOSSES]

    def values() -> Tensor:
        return torch.stack([loss(logits, labels) for loss in modules])

    torch.manual_seed(0)
    expected = values()
    torch.compiler.reset()
    torch.manual_seed(0)
    assert torch.equal(torch.compile(values, backend="eager", fullgraph=True)(), expected)


def test_new_class_weights_reach_a_compiled_loss():
    logits, labels = batch(len(LONG_TAIL))
    loss = build_loss("softmax", LONG_TAIL)
    torch.compiler.reset()
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    compiled(logits, labels)
    storage = loss.class_weight.data_ptr()
    loss.set_class_weight(effective_number(LONG_TAIL))
    expected = F.cross_entropy(logits, labels, weight=effective_number(LONG_TAIL))
    torch.testing.assert_close(compiled(logits, labels), expected, **EXACT)
    assert loss.class_weight.data_ptr() == storage, "a captured CUDA graph would keep the old weights"


def test_does_not_follow_later_changes_of_the_counts():
    counts = LONG_TAIL.clone()
    loss = build_loss("weighted_softmax", counts)
    counts.zero_()
    assert torch.equal(loss.class_counts, LONG_TAIL)


# The influence-balanced loss, which needs features --------------------------------------------------------------


def test_influence_by_hand():
    counts = torch.tensor([3, 1])
    loss = build_loss("influence_balanced", counts, alpha=10.0)
    logits = torch.tensor(
        [[math.log(3), 0.0], [0.0, 0.0]], dtype=torch.float64
    )  # probabilities 3/4 and 1/4; 1/2
    features = torch.tensor([[1.0, -1.0], [0.5, 0.0]], dtype=torch.float64)
    # Class weights 1/n, scaled to sum to 2: 0.5 and 1.5. The L1 distances are 2 * 1/4 and 2 * 1/2, the norms 2 and 1/2.
    first = 0.5 * -math.log(0.75) * 10 / (0.5 * 2 + 0.001)
    second = 1.5 * -math.log(0.5) * 10 / (1.0 * 0.5 + 0.001)
    value = loss(logits, torch.tensor([0, 1]), features=features)
    assert value.item() == pytest.approx((first + second) / 2, rel=1e-12)


def test_influence_is_counted_from_half_of_a_training_on():
    loss = build_loss("influence_balanced", LONG_TAIL)
    logits, labels = batch(5)
    features = torch.ones(len(labels), 3, dtype=torch.float64)
    counted = loss(logits, labels, features=features)
    cross_entropy = F.cross_entropy(logits, labels)
    for epoch, expected in ((0, cross_entropy), (99, cross_entropy), (100, counted), (199, counted)):
        loss.begin_epoch(epoch, 200)
        torch.testing.assert_close(loss(logits, labels, features=features), expected, **EXACT)


def test_influence_needs_features_in_training_and_none_to_score_logits():
    loss = build_loss("influence_balanced", LONG_TAIL)
    logits, labels = batch(5)
    with pytest.raises(ValueError, match=r"InfluenceBalanced is computed from features .* give features="):
        loss(logits, labels)
    with pytest.raises(ValueError, match=r"features have shape \(1, 3\) and labels \(\d+,\)"):
        loss(logits, labels, features=torch.ones(1, 3))
    weighted = build_loss("weighted_softmax", LONG_TAIL).class_weight[labels]
    expected = (weighted * F.cross_entropy(logits, labels, reduction="none")).mean()
    torch.testing.assert_close(loss.eval()(logits, labels), expected, **EXACT)
