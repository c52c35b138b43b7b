"""Conformance checks, to run on your own loss (`check_loss`) or method (`check_method`) before training with it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError, gradcheck

from longtail.losses.base import Loss, no_scalar
from longtail.machine.randomness import set_seed

if TYPE_CHECKING:
    from longtail.inference.trial import Trial

BuildLoss = Callable[[Tensor], nn.Module]

# A long tail with one class below a share of 0.5 % and one single image, and an image of every class.
CLASS_COUNTS = (2000, 300, 40, 6, 2, 1)
LABELS = (0, 1, 2, 3, 4, 5, 0, 0)
# Losses that draw random numbers are compared by their means over this many draws.
DRAWS = 128
FEATURES = 4


def check_loss(loss: BuildLoss, *, device: str | torch.device | None = None) -> None:
    """Raise an AssertionError unless a loss has the properties that training relies on.

    A loss that passes can still be a bad loss: this finds faults of the implementation. It checks, in this order:

    1. scalar: it is an `nn.Module`, and gives one floating point value that depends on the logits;
    2. mean: a batch that holds every image twice has the same value, so it is no sum over the images. A loss with
       several views of an image compares images with each other, and so is not checked for this;
    3. finite: value and gradient are finite for logits of ±10,000;
    4. gradient: in float64 the gradient is the derivative of the value, so nothing is detached or rounded;
    5. equivariance: renaming the classes, counts included, changes nothing but the names;
    6. absent classes: value and gradient are finite when classes have no training images;
    7. device: the CPU and the accelerator agree, with the loss moved by `.to(device)`.

    A loss may draw random numbers from torch's default generator. Then means over many draws are compared.

    Args:
        loss: what gives the loss when it is called with class counts (int64, shape (C,)): its class, or with
            parameters `functools.partial(MyLoss, gamma=2.0)`.
        device: what to compare the CPU with, by default the accelerator that torch finds. Where there is none, the
            last check is left out.

    Raises:
        AssertionError: names the loss, the property and what was found.
    """
    device = torch.device(device) if device is not None else torch.accelerator.current_accelerator(True)
    checks: dict[str, Callable[[BuildLoss], None]] = {
        "scalar": _check_scalar,
        "mean": _check_mean,
        "finite": _check_finite,
        "gradient": _check_gradient,
        "equivariance": _check_equivariance,
        "absent classes": _check_absent_classes,
    }
    if device is not None:
        checks["device"] = lambda loss: _check_device(loss, device)
    name = getattr(loss, "__name__", repr(loss))
    seeded = [device] if device is not None and device.type == "cuda" else []
    for title, check in checks.items():
        try:
            with torch.random.fork_rng(seeded), torch.enable_grad():
                check(partial(_attached, loss))
        except AssertionError as error:
            raise AssertionError(f"{name} fails the check {title!r}: {error}") from None
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            raise AssertionError(f"{name} fails the check {title!r}: it raises {found}") from error


def _batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Class counts, logits (N, C) and labels of a small batch."""
    shape = (len(LABELS), len(CLASS_COUNTS))
    logits = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.tensor(CLASS_COUNTS), logits.to(dtype), torch.tensor(LABELS)


def _attached(loss: BuildLoss, counts: Tensor) -> nn.Module:
    """The loss for these counts, with the same weights of its own each time, if it has any."""
    module = loss(counts)
    if isinstance(module, Loss):
        with torch.random.fork_rng([]):
            set_seed(0, torch.device("cpu"))
            module.attach(FEATURES)
    return module


def _value(loss: nn.Module, logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of a batch, with what else it needs. Features follow from the place of an image in the repeated batch,
    and experts differ from their mean, the logits, by multiples of a fraction of these, as views do from the first. A
    class's weights are its logits of the first images, so that they are renamed with the classes."""
    beside = {}
    needs, views = getattr(loss, "needs", ()), len(getattr(loss, "views", ()))
    if "features" in needs or "view_features" in needs:
        place = torch.arange(len(labels), device=logits.device, dtype=logits.dtype) % len(LABELS)
        features = place[:, None] + torch.arange(FEATURES, device=logits.device, dtype=logits.dtype)
    if "features" in needs:
        beside["features"] = features.sin()
    if "view_features" in needs:
        beside["view_features"] = torch.stack([(features + view).sin() for view in range(views)], dim=1)
    if "view_logits" in needs:
        beside["view_logits"] = torch.stack([(1 + view / 10) * logits for view in range(views)], dim=1)
    if "classifier" in needs:
        beside["classifier"] = logits[:FEATURES].T
    if (
        views
    ):  # weights of its own compute in the precision of the logits, while tables of a loss may be of another
        for part in loss.children():
            part.to(logits.dtype)
    if "experts" in needs:
        beside["experts"] = torch.stack([0.9 * logits, logits, 1.1 * logits], dim=1)
    return loss(logits, labels, **beside)


def _value_and_gradient(
    loss: nn.Module, logits: Tensor, labels: Tensor, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, shape (), and its gradient, shape (N, C), for one seed of what the loss may draw."""
    set_seed(seed, logits.device)
    logits = logits.detach().clone().requires_grad_()
    value = _value(loss, logits, labels)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def _check_scalar(loss: BuildLoss) -> None:
    counts, logits, labels = _batch()
    module = loss(counts)
    if not isinstance(module, nn.Module):
        raise AssertionError(f"it gives a {type(module).__name__}, not a torch.nn.Module")
    value = _value(module, logits.requires_grad_(), labels)
    if found := no_scalar(value):
        raise AssertionError(f"forward must return a floating point scalar tensor; it returns {found}")
    if not value.requires_grad or not _value_and_gradient(module, logits, labels)[1].any():
        raise AssertionError("its value does not depend on the logits, so nothing would be learnt")


def _check_mean(loss: BuildLoss) -> None:
    counts, logits, labels = _batch(torch.float64)
    if len(getattr(loss(counts), "views", ())) > 1:
        return
    values = []
    for times in (1, 2):
        batch = logits.repeat(times, 1), labels.repeat(times)
        values.append(_outcomes(loss(counts), *batch)[0])
    first, second = values
    sigma = (first.var(0, correction=0) / len(first) + second.var(0, correction=0) / len(second)).sqrt()
    if not (first.mean(0) - second.mean(0)).abs() <= 1e-6 * (1 + first.mean(0).abs()) + 6 * sigma:
        raise AssertionError(
            "it must return the mean over the batch, but with every image twice its value goes from "
            f"{first.mean():.4g} to {second.mean():.4g}"
        )


def _check_finite(loss: BuildLoss) -> None:
    counts, logits, _ = _batch()
    module, labels = loss(counts), torch.arange(len(counts))
    at_label = torch.eye(len(counts), dtype=torch.bool)
    extremes = {
        "1e4 at the label and -1e4 elsewhere": torch.where(at_label, 1e4, -1e4),
        "-1e4 at the label and 1e4 elsewhere": torch.where(at_label, -1e4, 1e4),
        "1e4 everywhere": torch.full((len(counts), len(counts)), 1e4),
        "-1e4 everywhere": torch.full((len(counts), len(counts)), -1e4),
        "1e4 or -1e4 at random": 1e4 * logits[: len(counts)].sign(),
    }
    for description, extreme in extremes.items():
        _require_finite(module, extreme, labels, f"logits of {description}")


def _check_gradient(loss: BuildLoss) -> None:
    counts, logits, labels = _batch(torch.float64)
    module = loss(counts)

    def value(logits: Tensor) -> Tensor:
        set_seed(0, logits.device)
        return _value(module, logits, labels)

    try:
        gradcheck(value, logits.requires_grad_())
    except GradcheckError as error:
        raise AssertionError(
            "in float64 its gradient is not the derivative of its value, as when a factor is detached or a step "
            f"is computed in float32. {error}"
        ) from None


def _check_equivariance(loss: BuildLoss) -> None:
    counts, logits, labels = _batch(torch.float64)
    expected = _outcomes(loss(counts), logits, labels)
    for seed in range(3):
        order = torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed))
        values, gradients = _outcomes(loss(counts[order]), logits[:, order], order.argsort()[labels])
        gradients = gradients[:, :, order.argsort()]
        _require_equal(expected, (values, gradients), 1e-8, f"with the classes in the order {order.tolist()}")


def _check_absent_classes(loss: BuildLoss) -> None:
    counts, logits, labels = _batch()
    absent = torch.tensor([1, len(counts) - 1])
    counts[absent] = 0
    module = loss(counts)
    of_counts = f"class counts {counts.tolist()}"
    present = ~torch.isin(labels, absent)
    _require_finite(module, logits[present], labels[present], of_counts)
    _require_finite(
        module, logits, labels, f"{of_counts} and images of the absent classes, as in a test set,"
    )


def _check_device(loss: BuildLoss, device: torch.device) -> None:
    counts, logits, labels = _batch()
    expected = _outcomes(loss(counts), logits, labels)
    module = loss(counts).to(device)
    _require_equal(expected, _outcomes(module, logits.to(device), labels.to(device)), 1e-4, f"on {device}")


def _require_finite(module: nn.Module, logits: Tensor, labels: Tensor, situation: str) -> None:
    value, gradient = _value_and_gradient(module, logits, labels)
    if not value.isfinite():
        raise AssertionError(f"with {situation} its value is {value.item()}")
    if not gradient.isfinite().all():
        image, label = (~gradient.isfinite()).nonzero()[0].tolist()
        raise AssertionError(
            f"with {situation} its gradient is {gradient[image, label].item()} for class {label} at an image of "
            f"class {labels[image].item()}"
        )


def _outcomes(module: nn.Module, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Values (D,) and gradients (D, N, C) in float64 on the CPU, over D draws, or one if it draws nothing."""
    outcomes = [_value_and_gradient(module, logits, labels, seed) for seed in range(8)]
    if all(torch.equal(gradient, outcomes[0][1]) for _, gradient in outcomes):
        outcomes = outcomes[:1]
    else:
        outcomes += [_value_and_gradient(module, logits, labels, seed) for seed in range(8, DRAWS)]
    values, gradients = (torch.stack(parts).cpu().double() for parts in zip(*outcomes, strict=True))
    return values, gradients


def _require_equal(
    expected: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor], tolerance: float, situation: str
) -> None:
    """Means over the draws must agree to the tolerance and six standard errors, zero for what is not random."""
    for what, first, second in zip(("value", "gradient"), expected, found, strict=True):
        variance = first.var(0, correction=0) / len(first) + second.var(0, correction=0) / len(second)
        allowed = tolerance * (1 + first.mean(0).abs()) + 6 * variance.sqrt()
        difference = (first.mean(0) - second.mean(0)).abs()
        if not (difference <= allowed).all():
            raise AssertionError(f"{situation} its {what} differs by up to {difference.max().item():.3g}")


# --- methods ---------------------------------------------------------------------------------------------------------

LEAST = 0.2
"""An accuracy on ten classes, equally many images of each, that guessing does not reach on 400 images."""
MISSPELT = "smoothness"
"""A setting that nothing has."""
STEPS = 7
"""Steps after which a run is stopped each time. An epoch has eleven, so a run of a single epoch is stopped as well."""


def check_method(
    name: str, configuration: Mapping[str, Any] | None = None, *, device: str | torch.device | None = None
) -> None:
    """Raise an AssertionError unless a method behaves as a run of the workflow has to.

    A method is whatever a configuration can say under one name of `grid.losses` or `variants`: a loss of your own, a
    sampler, an augmentation or a change after the step that you added to a checkout, or settings that nobody has
    combined yet. It is trained on scikit-learn's digits, 60 to 6 training images a class, for four epochs unless it
    says otherwise, after the runs that it starts from or learns from. This takes seconds. The checks, in this order:

    1. settings: the configuration takes it, and refuses a setting that is misspelt, by its name;
    2. finite: losses, weights and logits are finite;
    3. learns: it beats chance on test images, equally many of every class;
    4. no read-back: no training step waits for a number from the device, as `.item()` and `if tensor:` do;
    5. deterministic: the same seed gives the same bytes again;
    6. resumes: a run that is stopped every few steps and goes on from its file ends with the same bytes, so all that
       changes on the way is in its state.

    A variant is not trained, so the fourth and the sixth are left out. A method that passes can still be a bad method.

    Args:
        name: of the method, a loss or a variant.
        configuration: what defines it, as a file of `config/` has it: `losses`, `variants`, `models`, `train`, and
            `grid.models`, of which the first is taken (by default resnet8). All else is the check's own.
        device: where it is trained, by default the accelerator that torch finds, or else the CPU.

    Raises:
        AssertionError: names the method, the property and what was found.
    """
    from longtail.inference.trial import Trial  # all that trains, which check_loss does without

    found = torch.device(device or torch.accelerator.current_accelerator(True) or "cpu")
    with tempfile.TemporaryDirectory() as folder, _numerics_as_they_were():
        trial = Trial(name, configuration or {}, found, Path(folder))
        try:
            title = "settings"
            _check_settings(trial)
            title = "finite"
            weights, logits = trial.outcome()
            _check_finite_outcome(weights, logits)
            title = "learns"
            _check_learns(trial, logits)
            if not trial.is_variant:
                title = "no read-back"
                _check_no_read_back(trial)
            # A variant is only made again. Where both runs end with the same bytes, each is deterministic.
            title = "deterministic" if trial.is_variant else "resumes"
            again, _ = trial.outcome(stop_after=STEPS)
            if _differing(weights, again):
                title = "deterministic"
                _require_same(
                    weights, trial.outcome()[0], "the same seed gives other weights the second time"
                )
                title = "resumes"
                _require_same(
                    weights,
                    again,
                    f"a run that is stopped every {STEPS} steps and goes on ends with other weights, so something that "
                    "changes on the way is no buffer of the loss and no function of the seed, the epoch and the step",
                )
        except AssertionError as error:
            raise AssertionError(f"{name} fails the check {title!r}: {error}") from None
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise AssertionError(f"{name} fails the check {title!r}: it raises {told}") from error


@contextmanager
def _numerics_as_they_were() -> Iterator[None]:
    """Training sets how PyTorch computes and draws; leave both as they were."""
    deterministic = torch.get_deterministic_debug_mode()
    precision = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision  # type: ignore[attr-defined]
    benchmark = torch.backends.cudnn.benchmark
    try:
        with torch.random.fork_rng(), torch.enable_grad():
            yield
    finally:
        torch.set_deterministic_debug_mode(deterministic)
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = precision  # type: ignore[attr-defined]


def _check_settings(trial: "Trial") -> None:
    from longtail.config.load import ConfigError, load_config
    from longtail.config.methods import Custom
    from longtail.losses import build_loss

    try:
        config = trial.experiment.config
    except ConfigError as error:
        raise AssertionError(str(error)) from None
    entry = config.loss(trial.name)
    try:
        if isinstance(entry, Custom) and not trial.is_variant:
            build_loss(
                entry.loss.model_dump(), torch.tensor(CLASS_COUNTS), **{**entry.parameters, MISSPELT: 1.0}
            )
        else:
            load_config(trial.settings(**{MISSPELT: 1.0}))
    except (ValueError, TypeError) as error:
        if MISSPELT not in str(error):
            raise AssertionError(f"it refuses the setting {MISSPELT!r} without naming it: {error}") from None
        return
    raise AssertionError(
        f"it takes the setting {MISSPELT!r}, which nothing has, so a misspelt one would be ignored; name the "
        "parameters of __init__ one by one"
    )


def _check_finite_outcome(weights: Mapping[str, Tensor], logits: Tensor) -> None:
    broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if broken:
        raise AssertionError(f"after training, these weights are not finite: {', '.join(broken[:3])}")
    if not logits.isfinite().all():
        raise AssertionError("the logits of test images are not finite")


def _check_learns(trial: "Trial", logits: Tensor) -> None:
    accuracy = (logits.argmax(1) == trial.sets[1].labels).double().mean().item()
    if accuracy <= LEAST:
        raise AssertionError(
            f"its top-1 accuracy on ten classes is {accuracy:.1%}, and guessing has 10 %; it learns nothing, or "
            "needs another learning rate or more epochs, which `train` of the configuration says"
        )


def _check_no_read_back(trial: "Trial") -> None:
    if found := list(trial.read_backs.found):
        raise AssertionError(f"a training step waits for the device: {'; '.join(found[:3])}")


def _require_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor], otherwise: str) -> None:
    if other := _differing(first, second):
        raise AssertionError(f"{otherwise} ({other[0]} and {len(other) - 1} more)")


def _differing(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    return [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
