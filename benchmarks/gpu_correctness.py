"""What `gpu_day.py correctness` checks: every path of the device beside the CPU, and beside its own repetition.

Each check returns `passed` and the numbers that decide it. A check that cannot be made on this device says so under
`skipped`, and has not passed.
"""

import io
import math
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import torch

from longtail.batches.feed import FLIPS, Feed
from longtail.batches.policies import POLICIES, Policy
from longtail.data.tensors.files import LabelledImages, save_tensors
from longtail.data.tensors.loading import load_sets
from longtail.inference.logits import predict
from longtail.inference.variants import vary
from longtail.losses import build_loss, known_losses
from longtail.losses.declarations import declaration
from longtail.machine.devices import claim_devices
from longtail.machine.numerics import set_numerics
from longtail.machine.randomness import generator
from longtail.models.file import load_model, save_model
from longtail.training.checkpoint import StateFolder
from longtail.training.failures import explained
from longtail.training.outputs import model_card
from longtail.training.ranks import Ranks, joined
from longtail.training.recipe import Recipe
from longtail.training.run import Stopped, Trainer
from longtail.training.settings import RunSettings

Check = Callable[[], Mapping[str, Any]]
CLASSES, PIXELS = 10, 16
CPU = torch.device("cpu")

PLAIN: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "image_size": PIXELS,
    "learning_rate": 1e-4,
    "optimizer": "sgd",
    "schedule": "constant",
    "precision": "fp32",
    "eval_batch_size": 64,
    "calibrate": False,
}
"""A recipe whose runs last a second. At this rate a rounding of the first weights moves no loss by more than 1e-6; at
0.01 it moves LDAM's by up to 5e-3 (measured on a CPU), and nothing could be told from it."""
TOLERANCE = 2e-5
"""How far the losses of a run may lie from the CPU's, relatively."""
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "adamw, cosine": {"optimizer": "adamw", "schedule": "cosine"},
    "deferred re-weighting": {"drw": {"start": 0.5, "beta": 0.99}},
    "class-balanced sampler": {"sampler": "class_balanced"},
    "progressive sampler": {"sampler": "progressive"},
    "mixup": {"mixup": {}},
    "remix": {"mixup": {"remix": {"kappa": 2.0}}},
    "moving average": {"ema": 0.9},
    "micro-batches": {"micro_batch": 8},
    "TrivialAugment": {"augment": "trivial"},
    "RandAugment": {"augment": "rand"},
    "CutMix, AutoAugment with Cutout, clipped gradients": {
        "mixup": {"kind": "cutmix"},
        "augment": "autoaugment",
        "cutout": 4,
        "clip": 0.1,
    },
    "manifold mixup, Nesterov": {"mixup": {"kind": "manifold"}, "nesterov": True},
    "sharpness-aware (SAM)": {"sam": {}},
    "flips of a square": {"flips": "d4"},
    "selected by macro F1, with patience": {"select": "macro_f1", "patience": 1},
    "temperature, and a threshold for the unknown": {"calibrate": True, "false_rejection": 0.05},
}
SHAPES = {f"label_aware_smoothing, {shape}": {"shape": shape} for shape in ("linear", "convex", "exp")}
"""The parameters of a loss that compute another formula."""
STAGES: dict[str, dict[str, Any]] = {
    "cRT": {"sampler": "class_balanced", "retrain": "new"},
    "LWS": {"sampler": "class_balanced", "retrain": "scale"},
    "MiSLAS": {
        "sampler": "class_balanced",
        "retrain": "keep_and_scale",
        "classifier_rate": 0.2,
        "shift_norms": True,
        "loss": "label_aware_smoothing",
    },
    "weight balancing": {
        "max_norm": {},
        "weight_decay": 0.1,
        "retrain": "keep",
        "loss": "class_balanced_binary",
    },
    "distillation": {"distill": {"temperature": 1.5, "weight": 1.0}},
}
"""What follows a first stage, or a teacher: settings of the recipe and of the run."""
DRAWS = ("draw_uniform", "draw_noise")
"""The methods by which a loss draws numbers of its own."""
LOOSE = {"tf32": 0.02, "bf16": 0.05, "fp16": 0.05}
"""How far the losses of a coarser precision may lie from fp32's, relatively."""


def checks(device: torch.device, *, toy: bool) -> dict[str, Check]:
    """All checks by name, the cheap ones first; with `toy` one of each kind, on smaller images."""
    losses: dict[str, dict[str, Any]] = {name: {} for name in known_losses()} | SHAPES
    policies, recipes = [None, *POLICIES], RECIPES
    models = ["resnet32", "mobilenetv2", "resnet50", "vit_b16", "convnext_base"]
    small: dict[str, Any] = {"image_size": PIXELS // 2} if toy else {}
    short = {**small, "epochs": 1} if toy else {}
    if toy:
        losses, policies, models = {"ldam": {}, "bcl": {}, "sade": {}}, [None], ["resnet8"]
        recipes = {"plain": short}
    found: dict[str, Check] = {
        f"loss {name}": partial(same_loss, name.partition(",")[0], parameters, device)
        for name, parameters in losses.items()
    }
    found |= {
        f"feed, {policy or 'crops and flips'}": partial(same_feed, policy, device) for policy in policies
    }
    found |= {f"feed, flips {flips}": partial(same_feed, None, device, flips) for flips in FLIPS[1:]}
    found["a device is claimed"] = partial(claimed, device)
    found |= {f"run, {name}": partial(same_run, device, changes) for name, changes in recipes.items()}
    if not toy:
        found |= {f"run under {name}": partial(same_run, device, {}, loss=name) for name in known_losses()}
    found |= {
        f"run in {precision}": partial(
            same_run, device, {"precision": precision, **short}, tolerance=tolerance
        )
        for precision, tolerance in LOOSE.items()
        if device.type == "cuda" or precision == "bf16"
    }
    found["resumed within an epoch"] = partial(resumed, device, {"mixup": {}, "ema": 0.9, **small})
    if not toy:
        found["resumed in bf16"] = partial(resumed, device, {"precision": "bf16"})
        found["resumed with weights of the loss"] = partial(resumed, device, {}, loss="bcl")
    found["images left in their file"] = partial(left_in_file, device, short)
    found["prediction"] = partial(prediction, device, short)
    stages = STAGES if not toy else {"MiSLAS": STAGES["MiSLAS"]}
    found |= {
        f"second stage, {name}": partial(second_stage, device, short, own) for name, own in stages.items()
    }
    found |= {
        f"variant, {name}": partial(same_variant, device, short, name) for name in ("ncm", "aggregation")
    }
    found["out of memory is explained"] = partial(out_of_memory, device)
    found["one rank in a process group"] = partial(one_rank, device, short)
    found |= {f"repeated, {model}": partial(repeated, device, model, toy) for model in models}
    found["CUDA graphs"] = partial(compiled, device, {"cuda_graphs": True})
    found["compiled"] = partial(compiled, device, {"compile": True})
    return found


def near(ours: float, theirs: float) -> float:
    """The relative difference."""
    return abs(ours - theirs) / max(abs(theirs), 1e-12)


def skipped(why: str) -> dict[str, Any]:
    return {"passed": False, "skipped": why}


# --- losses and feed ------------------------------------------------------------------------------------------


def same_loss(name: str, parameters: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Value and gradient of a loss in float64 and float32, on the device and on the CPU."""
    counts = torch.tensor([500 // 2**c + 1 for c in range(CLASSES)])
    draws = generator(0, "logits")
    logits = 4 * torch.randn(64, CLASSES, dtype=torch.float64, generator=draws)
    labels = torch.randint(CLASSES, (64,), generator=draws)
    uniform = torch.rand(64, CLASSES, dtype=torch.float64, generator=draws)
    features = torch.rand(64, 16, dtype=torch.float64, generator=draws)
    factors = torch.tensor([1.0, 0.9, 1.1], dtype=torch.float64)
    directions = torch.rand(CLASSES, 16, dtype=torch.float64, generator=draws)
    differences = {}
    for dtype in (torch.float64, torch.float32):
        found = []
        for place in (CPU, device):
            loss = build_loss(name, counts, **parameters).to(place)
            for draw in DRAWS:  # the devices draw different numbers from one seed
                if hasattr(loss, draw):
                    setattr(loss, draw, lambda logits, place=place: uniform.to(place, logits.dtype))
            torch.manual_seed(0)
            loss.attach(16)
            for part in loss.children():  # the weights of the loss, which are drawn on the CPU
                part.to(place, dtype)
            at = logits.to(place, dtype).requires_grad_()
            shares = factors.to(place, dtype)[
                : loss.default_experts if "experts" in loss.needs else len(loss.views)
            ]
            inputs = features.to(place, dtype)
            several = at[:, None] * shares[:, None]  # of experts or views that are alike, as real ones are
            beside = {
                "features": inputs,
                "experts": several,
                "view_features": inputs[:, None] ** shares[:, None],
                "view_logits": several,
                "classifier": directions.to(place, dtype),
            }
            own = {name: beside[name] for name in loss.needs}
            value = loss(at, labels.to(place), **own)
            found.append((value.detach().cpu().double(), torch.autograd.grad(value, at)[0].cpu().double()))
        (value, gradient), (ours, our_gradient) = found
        scale = gradient.abs().max()
        differences[str(dtype)[6:]] = max(
            near(float(ours), float(value)), float((our_gradient - gradient).abs().max() / scale)
        )
    return {"passed": differences["float64"] < 1e-12 and differences["float32"] < 1e-5, **differences}


def same_feed(policy: str | None, device: torch.device, flips: str = "horizontal") -> dict[str, Any]:
    """An epoch of augmented batches, pixel by pixel."""
    data = images(100, 32)
    batches = []
    for place in (CPU, device):
        # Another size than the stored one, so that the resize is a product and no copy.
        feed = Feed(
            data.images.to(place),
            data.labels,
            size=40,
            padding=4,
            flip=True,
            flips=flips,
            policy=Policy(policy, size=40) if policy else None,
            mean=Recipe().mean,
            std=Recipe().std,
            batch_size=32,
            device=place,
            channels_last=True,
        )
        batches.append([batch.cpu().clone() for batch, _ in feed.epoch(generator(0, "order"))])
    differences = torch.cat([(a - b).abs().flatten() for a, b in zip(*batches, strict=True)])
    # Under a policy pixels are rounded to whole numbers, so one that lies between two may differ by one.
    step = 1 / (255 * min(Recipe().std))
    share = float((differences > 1e-5).double().mean())
    passed = share == 0 if policy is None else share < 1e-3 and float(differences.max()) < 40 * step
    return {"passed": passed, "largest": float(differences.max()), "share_above_1e-5": share}


def claimed(device: torch.device) -> dict[str, Any]:
    """The device that a job gets, and that the next job would have to wait."""
    told = io.StringIO()
    with redirect_stdout(told), claim_devices(1) as (own,):
        text = told.getvalue().strip()
    return {"passed": own.type == device.type, "told": text}


# --- runs ------------------------------------------------------------------------------------------------------


def images(count: int, pixels: int = PIXELS, seed: int = 0) -> LabelledImages:
    """Random images whose classes differ in brightness, and in number."""
    draws = generator(seed, "images")
    labels = (torch.rand(count, generator=draws) ** 2 * CLASSES).long()
    pixel = torch.randint(0, 256, (count, 3, pixels, pixels), generator=draws)
    return LabelledImages(
        images=((pixel + 25 * labels.view(-1, 1, 1, 1)) // 2).to(torch.uint8),
        labels=labels,
        image_ids=torch.arange(count),
        class_names=[str(c) for c in range(CLASSES)],
    )


def trainer(
    device: torch.device,
    work: str | Path,
    changes: Mapping[str, Any],
    *,
    loss: str = "softmax",
    model: str = "resnet8",
    sets: tuple[LabelledImages, LabelledImages] | None = None,
    **options: Any,
) -> Trainer:
    recipe = {**PLAIN, **{name: value for name, value in changes.items() if name in Recipe.model_fields}}
    run = {name: value for name, value in changes.items() if name not in Recipe.model_fields}
    loss = run.pop("loss", loss)
    declared = declaration(loss)
    settings = RunSettings(
        architecture=model,
        head=declared.default_head,
        loss=loss,
        loss_parameters={},
        recipe=Recipe.model_validate(recipe),
        seed=1,
        **{"experts": declared.default_experts, **run},
    )
    sets = sets or (images(100), images(50, seed=1))
    return Trainer(settings, *sets, device=device, states=StateFolder(work), **options)


def trained(device: torch.device, changes: Mapping[str, Any], **options: Any) -> Trainer:
    """A finished small run."""
    with tempfile.TemporaryDirectory() as work:
        run = trainer(device, work, changes, **options)
        run.train()
    return run


def losses_of(run: Trainer) -> list[float]:
    return [row[name] for row in run.progress.history for name in ("train_loss", "val_loss")]


def same_weights(one: Trainer, other: Trainer) -> bool:
    weights, others = one.progress.best_weights, other.progress.best_weights
    return all(torch.equal(weights[name], others[name]) for name in weights)


def same_run(
    device: torch.device, changes: Mapping[str, Any], *, loss: str = "softmax", tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """The losses of every epoch on the device and, in fp32, on the CPU; and the device's bytes, twice."""
    once, twice = (trained(device, changes, loss=loss) for _ in range(2))
    theirs = losses_of(trained(CPU, {**changes, "precision": "fp32"}, loss=loss))
    if any(hasattr(once.loss, draw) for draw in DRAWS):  # on the device, whose generator is not the CPU's
        tolerance = 0.05
    difference = max(map(near, losses_of(once), theirs))
    repeats = same_weights(once, twice)
    return {
        "passed": difference < tolerance and repeats,
        "difference": difference,
        "same_bytes_again": repeats,
    }


def repeated(device: torch.device, model: str, toy: bool) -> dict[str, Any]:
    """Whether a model of the thesis trains deterministically in the precision that a device takes by itself."""
    size = PIXELS // 2 if toy else 224 if model == "vit_b16" else 64
    changes = {"epochs": 1, "image_size": size, "batch_size": 16, "precision": "auto", "optimizer": "adam"}
    sets = images(32, 32), images(16, 32, seed=1)
    once, twice = (trained(device, changes, model=model, sets=sets) for _ in range(2))
    return {"passed": same_weights(once, twice), "precision": once.precision, "losses": losses_of(once)}


class StopAfter:
    """A request to stop that comes after so many steps."""

    def __init__(self, steps: int):
        self.left, self.signal = steps, None

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0


def resumed(device: torch.device, changes: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """A run that is stopped after every two steps, beside one that is not."""
    whole, stops = trained(device, changes, **options), 0
    with tempfile.TemporaryDirectory() as work:
        while True:
            run = trainer(device, work, changes, stop=StopAfter(2), **options)
            try:
                with redirect_stdout(io.StringIO()):
                    run.train()
                break
            except Stopped:
                stops += 1
    return {"passed": stops > 1 and same_weights(run, whole), "stops": stops}


def left_in_file(device: torch.device, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A run whose images stay in their files, beside one whose images are on the device."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        paths = [Path(folder, f"{name}.pth") for name in ("train", "val")]
        for path, data in zip(paths, (images(100), images(50, seed=1)), strict=True):
            save_tensors(data, path)
        runs = []
        for place in ("device", "file"):
            sets, resident = load_sets(paths, device, place)
            runs.append(trained(device, changes, sets=tuple(sets), resident=resident))
    return {"passed": same_weights(*runs)}


def saved(device: torch.device, changes: Mapping[str, Any], folder: str, **options: Any) -> Path:
    """The model file of a small run."""
    run, path = trained(device, changes, **options), Path(folder, "model.safetensors")
    save_model(path, run.progress.best_weights, model_card(run, [str(c) for c in range(CLASSES)]))
    return path


def prediction(device: torch.device, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The logits of a model that was trained on the device, there and on the CPU."""
    test = images(50, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path, found = saved(device, changes, folder), []
        for place in (CPU, device):
            model, card = load_model(path, place)
            found.append(predict(model, test, card, place))
    difference = float((found[0] - found[1]).abs().max())
    return {"passed": difference < 1e-4, "difference": difference}


def second_stage(device: torch.device, changes: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A run that starts from a model or learns from it, on the device and on the CPU; and its bytes, twice.

    Both runs have the `changes`, the second one has its `own` beside them.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = str(saved(device, changes, folder))
        first = {"start" if "retrain" in own else "teacher": path}
        once, twice, theirs = (trained(place, {**changes, **own}, **first) for place in (device, device, CPU))
    difference = max(map(near, losses_of(once), losses_of(theirs)))
    repeats = same_weights(once, twice)
    return {
        "passed": difference < TOLERANCE and repeats,
        "difference": difference,
        "same_bytes_again": repeats,
    }


def same_variant(device: torch.device, changes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The logits of a model whose classifier was changed by what its images show, on the device and on the CPU."""
    test, settings = images(50, seed=1), {"adjust": name}
    if name == "ncm":
        settings |= {"features": "cl2n", "distance": "euclidean"}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = saved(device, changes, folder, loss="sade" if name == "aggregation" else "softmax")
        for place in (CPU, device):
            model, card = load_model(path)
            vary(model, card, settings, images(100), place)
            found.append(predict(model.to(place), test, card, place))
    difference = float((found[0] - found[1]).abs().max())
    return {"passed": difference < 1e-4, "difference": difference}


def out_of_memory(device: torch.device) -> dict[str, Any]:
    """What is said where the GPU's memory does not suffice, and that a run of fitting size works after it."""
    if device.type != "cuda":
        return skipped("the CPU's memory is not limited here")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 2**30 / total), device)
    changes = {"epochs": 1, "image_size": 224, "batch_size": 128}
    told = ""
    try:
        with explained(Recipe.model_validate({**PLAIN, **changes}), device):
            trained(device, changes, model="resnet50")
    except ValueError as error:
        told = str(error)
    finally:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    after = trained(device, {})
    return {"passed": "out of memory" in told and all(map(math.isfinite, losses_of(after))), "told": told}


def one_rank(device: torch.device, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A run in a process group of one, which exchanges through NCCL (on the CPU, gloo), beside a run without."""
    alone = trained(device, changes)
    with (
        tempfile.TemporaryDirectory() as folder,
        joined(0, [device], str(Path(folder, "rendezvous"))) as ranks,
    ):
        value = torch.ones((), device=device)
        torch.distributed.all_reduce(value)
        backend = torch.distributed.get_backend()
        grouped = trained(device, changes, ranks=Ranks(ranks.rank, ranks.count))
    return {"passed": same_weights(alone, grouped) and float(value) == 1.0, "backend": backend}


def compiled(device: torch.device, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The losses of a compiled run beside those of an eager one."""
    if device.type != "cuda":
        return skipped("graphs and the compiler are for the GPU")
    eager, ours = trained(device, {}), trained(device, changes)
    again = trained(device, changes)
    difference = max(map(near, losses_of(ours), losses_of(eager)))
    set_numerics("fp32", deterministic=True)
    return {
        "passed": difference < TOLERANCE,
        "difference": difference,
        "same_bytes_as_eager": same_weights(ours, eager),
        "same_bytes_again": same_weights(ours, again),
    }
