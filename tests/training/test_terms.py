"""What a step adds to the loss: distillation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from small_runs import same_weights, save_run
from torch.nn import functional as F

from longtail.batches.mixup import Targets
from longtail.data.tensors.files import load_tensors
from longtail.models.card import digest_of
from longtail.models.file import load_model, save_model
from longtail.training.outputs import model_card, run_record
from longtail.training.terms import distillation

PLAIN = {"loss": "softmax", "loss_parameters": {}}
DISTILL = {"temperature": 2.0, "weight": 1.0}


@pytest.fixture
def logits():
    draw = torch.Generator().manual_seed(0)
    return 3 * torch.randn(2, 6, 5, generator=draw, dtype=torch.float64)


def test_the_divergence_is_that_of_scipy(logits):
    ours, theirs = logits
    softened = [np.exp(one.numpy() / 1.5) for one in (theirs, ours)]
    expected = 1.5**2 * entropy(*softened, axis=1).sum()
    assert distillation(ours, theirs, temperature=1.5).item() == pytest.approx(expected, rel=1e-12)
    assert distillation(ours, ours, temperature=1.5).item() == pytest.approx(0, abs=1e-12)


def test_at_high_temperatures_the_gradient_is_the_difference_of_the_centred_logits(logits):
    """Hinton et al., 2015, equation 4."""
    ours, theirs = logits.unbind()
    ours = ours.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(distillation(ours, theirs, temperature=1e4), ours)
    centred = (ours - ours.mean(1, keepdim=True)) - (theirs - theirs.mean(1, keepdim=True))
    torch.testing.assert_close(gradient, centred.detach() / 5, rtol=1e-3, atol=1e-3)


def test_in_half_precision_it_is_computed_in_float32(logits):
    half = logits.to(torch.bfloat16)
    value = distillation(*half, temperature=2.0)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, distillation(*half.float(), temperature=2.0))


@pytest.mark.parametrize("mixup", [None, {"kind": "manifold"}], ids=["plain", "manifold"])
def test_a_student_learns_from_its_teacher_and_resumes_to_the_same_bytes(trained, base, mixup):
    settings = {**PLAIN, "distill": DISTILL, "recipe": {"epochs": 2, "warmup_epochs": 0, "mixup": mixup}}
    before = base.read_bytes()
    whole, run = trained("whole", teacher=base, **settings)
    stopped, _ = trained("stopped", teacher=base, stop_after=2, **settings)
    plain, _ = trained("plain", **{**settings, "distill": None})
    assert all(math.isfinite(row["train_loss"]) for row in whole.history)
    assert stopped.history == whole.history and same_weights(stopped.best_weights, whole.best_weights)
    assert not same_weights(plain.best_weights, whole.best_weights)
    assert base.read_bytes() == before
    (term,) = run.terms
    teacher, _ = load_model(base)
    assert same_weights(teacher.state_dict(), term.teacher.model.state_dict()), "nothing in the teacher moves"


def test_the_teacher_sees_the_batch_in_evaluation_mode_and_as_it_is_mixed(trained, base):
    settings = {
        **PLAIN,
        "distill": {"temperature": 2.0, "weight": 3.0},
        "recipe": {"epochs": 1, "warmup_epochs": 0},
    }
    _, run = trained("run", teacher=base, **settings)
    teacher, _ = load_model(base)
    draw = torch.Generator().manual_seed(1)
    images, ours = torch.randn(6, 3, 8, 8, generator=draw), torch.randn(6, 10, generator=draw)
    labels, partners, blend = torch.arange(6), torch.arange(6).flip(0), torch.full((6,), 0.3)
    (term,) = run.terms
    with torch.no_grad():
        mixed = 0.3 * teacher.backbone(images) + 0.7 * teacher.backbone(images.flip(0))
        for targets, theirs in (
            (Targets(labels), teacher(images)),
            (Targets(labels, labels.flip(0), blend, partners, blend), teacher.head(mixed)),
        ):
            soft = [(one / 2).softmax(1) for one in (theirs, ours)]
            expected = 3.0 * 4 * (soft[0] * (soft[0].log() - soft[1].log())).sum()
            torch.testing.assert_close(term(images, targets, ours), expected, rtol=1e-4, atol=1e-4)


def test_a_heavy_weight_makes_the_student_agree_with_its_teacher(trained, base, digits):
    recipe = {"epochs": 4, "batch_size": 32, "warmup_epochs": 0, "learning_rate": 0.01}
    images = load_tensors(digits / "train.pth").images.float().div(255).sub(0.3).div(0.4)
    teacher, _ = load_model(base)
    wanted = teacher(images).detach().log_softmax(1)
    apart = []
    for weight in (0.1, 30.0):
        distill = {"temperature": 2.0, "weight": weight}
        _, run = trained(f"weight {weight}", teacher=base, distill=distill, recipe=recipe, **PLAIN)
        found = run.model.eval()(images).detach().log_softmax(1)
        apart.append(F.kl_div(found, wanted, reduction="batchmean", log_target=True).item())
    assert apart[1] < 0.5 * apart[0]


def test_parts_of_a_batch_add_up(trained, base):
    """With norms that keep their statistics, since those of parts differ."""
    settings = {**PLAIN, "distill": DISTILL, "start": base, "retrain": "new", "teacher": base}
    recipe = {"epochs": 1, "warmup_epochs": 0}
    whole, _ = trained("whole", recipe=recipe, **settings)
    parts, _ = trained("parts", recipe={**recipe, "micro_batch": 8}, **settings)
    assert whole.history[0]["train_loss"] == pytest.approx(parts.history[0]["train_loss"], rel=1e-5)


def test_the_scale_of_cosine_logits_counts_on_both_sides(trained, digits, tmp_path):
    ldam = {"loss": "ldam", "loss_parameters": {"max_m": 0.5, "s": 20.0}, "head": "cosine"}
    recipe = {"epochs": 1, "warmup_epochs": 0}
    _, first = trained("teacher", recipe=recipe, **ldam)
    path = save_run(first, digits, tmp_path / "ldam.safetensors")
    _, run = trained("student", recipe=recipe, distill=DISTILL, teacher=path, **ldam)
    (term,) = run.terms
    assert term.scales == (20.0, 20.0)
    card = model_card(run, [str(label) for label in range(10)], teacher=str(path))
    teacher = {"architecture": "resnet8", "loss": "ldam", "seed": 1, "model": digest_of(path)}
    assert card.distilled_from == {**teacher, **DISTILL}
    assert run_record(run, {}, card)["distilled_from"] == card.distilled_from


def test_a_record_names_the_changed_classifier_of_its_teacher(trained, base, tmp_path):
    model, card = load_model(base)
    path, plain = tmp_path / "taunorm.safetensors", {**PLAIN, "recipe": {"epochs": 1, "warmup_epochs": 0}}
    save_model(path, model.state_dict(), replace(card, variant={"adjust": "taunorm", "tau": 1.0}))
    _, run = trained("student of a variant", teacher=path, distill=DISTILL, **plain)
    names = [str(label) for label in range(10)]
    found = model_card(run, names, teacher=str(path)).distilled_from
    assert (found["adjust"], found["model"]) == ("taunorm", digest_of(path))
    assert found["model"] != digest_of(base)
    _, untaught = trained("untaught", **plain)
    card = model_card(untaught, names)
    assert card.distilled_from is None and "distilled_from" not in run_record(untaught, {}, card)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distill": DISTILL}, "distillation .distill. needs the model file of its teacher"),
        ({"teacher": True}, "is given to learn from, but the settings lack distill"),
        (
            {
                "teacher": True,
                "distill": DISTILL,
                "recipe": {"epochs": 1, "warmup_epochs": 0, "image_size": 16},
            },
            "cannot teach: it was trained with image_size 8, and this run has 16; use the same train.image_size",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(trained, base, changes, message):
    changes = {**changes, "teacher": base} if changes.get("teacher") else changes
    with pytest.raises(ValueError, match=message):
        trained("refused", **{**PLAIN, **changes})


def test_a_teacher_of_other_classes_is_refused(trained, base, digits, tmp_path, monkeypatch):
    names = [f"digit {label}" for label in range(10)]
    card = type(load_model(base)[1])
    monkeypatch.setattr(
        "longtail.training.terms.load_model",
        lambda *given: (load_model(*given)[0], card(**{**vars(load_model(*given)[1]), "class_names": names})),
    )
    with pytest.raises(
        ValueError, match=r"cannot teach: it was trained on other classes .10: digit 0, digit 1"
    ):
        trained("refused", teacher=base, distill=DISTILL, **PLAIN)
