"""A configuration for a collection and a machine, each choice with its reason in the numbers that were seen.

A rule stands where its choice is made, with its source. Where practice is divided, it is the one of the configurations
that this project ships, of which the documents show what they gave.
"""

import math
import re
import shlex
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from longtail.experiment.cost import assumed_speed
from longtail.files.text import printable

if TYPE_CHECKING:
    from longtail.data.collection.overview import Overview

TINY = 64
"""Pictures whose shorter side has so many pixels or fewer are too small for a network made for photographs: after its
five halvings, two by two fields are left."""
SIZES = (224, 192, 160, 128, 96)
"""The sizes in pixels that MobileNetV2 was published for (Sandler et al., 2018)."""
LEARNING_RATES = {"mobilenetv2": 1e-3, "resnet50": 3e-4}
"""The rates of config/modern.yaml, with AdamW at batches of RATE_BATCH."""
RATE_BATCH = 128
FINE_TUNING_STEPS = 500
"""The least steps of fine-tuning: the shortest schedule of BiT-HyperRule, for fewer than 20,000 images (Kolesnikov et
al., Big Transfer, ECCV 2020)."""
MOST_EPOCHS = 60
"""The most epochs of fine-tuning: few images that are seen more often are only learnt by heart."""
STEPS_FROM_RANDOM = 2000
"""The least steps from random weights. The 600 of config/own-images.yaml leave weighted softmax unfitted; the long-tail
papers take 17,000 (Cao et al., 2019: 200 epochs of 85 steps)."""
PATIENCE_OF_PEOPLE = {"cpu": 8 * 3600, "cuda": 4 * 3600}
"""Seconds that a first experiment may take: a night of a CPU, half a day of a GPU."""
SEEDS_WITHIN = 2 * 3600
"""Three seeds are proposed where they take no longer, in seconds."""
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
"""Mean and standard deviation that torchvision's weights were trained with."""
WIDTH = 110


class Machine(NamedTuple):
    """What trains: its cores, its memory in GB, and its GPUs with the memory of one, in GB."""

    cores: int
    memory: float
    gpus: int = 0
    gpu_memory: float = 0.0

    @property
    def device_type(self) -> str:
        return "cuda" if self.gpus else "cpu"


class Choice(NamedTuple):
    """A setting, as the keys above it and its own, its value, and why."""

    keys: tuple[str, ...]
    value: Any
    why: str


class Plan(NamedTuple):
    """What is trained, and what that costs: the part of the choices that depend on one another."""

    architecture: str
    size: int
    epochs: int
    batch: int
    losses: tuple[str, ...]
    seconds: float | None
    """How long all losses train with one seed; None, not known."""


def proposal(
    seen: "Overview", machine: Machine, plan: Plan, own: dict[str, Any], results: str, weights: str
) -> list[Choice]:
    """All choices, in the order of the file.

    Args:
        plan: of `planned`.
        own: the settings of `data.image_folder` that the user gave, such as its path.
        results: the folder of the results.
        weights: a sentence on where the pretrained weights come from.
    """
    tiny = is_tiny(seen)
    return [
        *_grid(seen, plan),
        *_model(plan, tiny, seen, machine, weights),
        *_data(seen, own, tiny),
        *_training(seen, plan, tiny),
        *_job(seen, plan, machine),
        Choice(("paths", "results"), results, "Everything that is made."),
    ]


def is_tiny(seen: "Overview") -> bool:
    """Whether the pictures are too small for a network that was made for photographs."""
    return _median_side(seen) <= TINY


def planned(seen: "Overview", machine: Machine) -> Plan:
    """Model, size, epochs and batch that fit the pictures and the time that a first experiment may take."""
    train = sum(seen.counts.values())
    losses = _losses(seen.imbalance)
    side = _median_side(seen)
    if is_tiny(seen):
        # He et al. (2016, section 4.2) made these networks for 32 x 32; the long-tail papers take the deepest.
        architecture = "resnet32" if machine.gpus else "resnet8" if train < 5000 else "resnet20"
        batch = 32 if train < 2000 else 128
        epochs = min(max(math.ceil(STEPS_FROM_RANDOM / math.ceil(train / batch)), 30), 200)
        return _costed(seen, machine, Plan(architecture, max(8, side), epochs, batch, losses, None))
    architecture = "resnet50" if machine.gpu_memory >= 8 else "mobilenetv2"
    batch = 32 if train < 2000 else 64 if train < 20_000 or not machine.gpus else 128
    epochs = min(max(math.ceil(FINE_TUNING_STEPS / math.ceil(train / batch)), 20), MOST_EPOCHS)
    sizes = [size for size in SIZES if size <= side] or [SIZES[-1]]
    plans = [
        _costed(seen, machine, Plan(architecture, size, epochs, batch, losses, None))
        for size in ([sizes[0]] if machine.gpus else sizes)
    ]
    patience = PATIENCE_OF_PEOPLE[machine.device_type]
    return next(
        (
            one
            for one in plans
            if (one.seconds or 0) <= patience and _megabytes(seen, one, machine) <= 800 * machine.memory
        ),
        plans[-1],
    )


def _megabytes(seen: "Overview", plan: Plan, machine: Machine) -> int:
    """The memory of the host that a training is estimated to take, in MB.

    What a step on the CPU keeps of an image is about 80 MB at 224 x 224 in MobileNetV2, and a few MB in the small
    networks. PyTorch itself takes about 1 GB, and images are held twice while they are read.
    """
    held = 4 if is_tiny(seen) else 80
    step = 0 if machine.gpus else held * (plan.size / 224) ** 2 * plan.batch
    images = 2 * seen.images * 3 * plan.size**2 / 1e6
    return 1000 * math.ceil((2000 + step + images) / 1000)


def _losses(imbalance: float) -> tuple[str, ...]:
    if imbalance < 2:
        return ("softmax",)
    # At 450 to 4 images, cRT was among the best of seven (docs/methods.md); at less imbalance two losses tell enough.
    return ("softmax", "balanced_softmax", "crt") if imbalance >= 50 else ("softmax", "balanced_softmax")


def _costed(seen: "Overview", machine: Machine, plan: Plan) -> Plan:
    """The plan with the seconds of one seed of all losses, as `longtail plan` assumes without a run."""
    speed = assumed_speed(plan.architecture, plan.size, machine.device_type, machine.cores)
    if speed is None:
        return plan
    images = plan.epochs * (sum(seen.counts.values()) + seen.validated / 3)
    return plan._replace(seconds=len(plan.losses) * images / speed.images_per_second)


def _grid(seen: "Overview", plan: Plan) -> list[Choice]:
    smallest, largest = min(seen.counts.values()), max(seen.counts.values())
    range_of = (
        f"the classes have {smallest:,} to {largest:,} training images, {seen.imbalance:.1f} times as many"
    )
    total = 3 * (plan.seconds or math.inf)
    several = total <= SEEDS_WITHIN
    why_seeds = (
        "Three training runs of each, so that differences between losses are told from chance."
        if several
        else "One training run of each, since more would take long. Differences then speak of these networks alone; "
        "[1, 2, 3] would say what further runs give."
    )
    why_losses = {
        1: f"There is little to correct: {range_of}.",
        2: f"The plain loss, and balanced softmax (Ren et al., 2020), which corrects the class counts: {range_of}.",
        3: "The plain loss, balanced softmax (Ren et al., 2020), which corrects the class counts, and a classifier "
        f"that is trained anew on a frozen backbone (cRT; Kang et al., 2020): {range_of}.",
    }[len(plan.losses)]
    choices = [
        Choice(("seeds",), [1, 2, 3] if several else [1], why_seeds),
        Choice(
            ("grid", "train_sets"),
            ["longtailed"],
            "Your images as they are. `balanced` would add a training set with as many of each class as the smallest "
            f"has, {smallest:,}.",
        ),
        Choice(("grid", "models"), [plan.architecture], ""),
        Choice(("grid", "losses"), list(plan.losses), why_losses),
    ]
    if len(plan.losses) > 1:
        choices.append(
            Choice(
                ("variants", "softmax+la"),
                {},
                "The model of softmax with its logits adjusted afterwards (Menon et al., 2021): costs no training.",
            )
        )
    return choices


def _model(plan: Plan, tiny: bool, seen: "Overview", machine: Machine, weights: str) -> list[Choice]:
    side = _median_side(seen)
    if tiny:
        why = (
            f"The pictures are small (half of {len(seen.sizes)} have a shorter side of at most {side} pixels), so "
            "a small network is trained from random weights (He et al., 2016, section 4.2); such sizes have no others."
        )
        return [Choice(("models", plan.architecture, "pretrained"), False, why)]
    where = (
        f"a GPU with {machine.gpu_memory:.0f} GB" if machine.gpus else f"{machine.cores} CPU cores and no GPU"
    )
    why = (
        f"Photographs (half of {len(seen.sizes)} have a shorter side of at least {side} pixels), so the training "
        f"starts from ImageNet weights; {plan.architecture} suits {where}. {weights}"
    )
    return [Choice(("models", plan.architecture, "pretrained"), True, why)]


def _data(seen: "Overview", own: dict[str, Any], tiny: bool) -> list[Choice]:
    folder = ("data", "image_folder")
    choices = [Choice(("data", "source"), "image_folder", "")]
    choices.append(
        Choice(
            (*folder, "path"),
            own["path"],
            _told_images(seen),
        )
    )
    choices += [Choice((*folder, name), value, "") for name, value in own.items() if name != "path"]
    if seen.group_column:
        among = (
            f" Other columns that may be groups: {', '.join(seen.other_columns)}."
            if seen.other_columns
            else ""
        )
        why = f"Images with one value ({seen.groups:,} values) stay on one side of the split.{among}"
        choices.append(Choice((*folder, "group_column"), seen.group_column, why))
        shares = ""
    else:
        shares = _no_groups(seen)
    choices += _shape(seen, tiny)
    if seen.given:
        shares += " The collection brings its own split, which is kept."
    if seen.small:
        some = ", ".join(seen.small[:5]) + (", …" if len(seen.small) > 5 else "")
        why = (
            f"{len(seen.small)} of {len(seen.counts)} classes cannot be tested, as they have too few images ({some}); "
            "they are trained on. `merge` makes one class of them, and data.classes.min_images leaves them out."
        )
        choices.append(Choice((*folder, "small_classes"), "train_only", f"{shares} {why}".strip()))
        shares = ""
    cut = f"Groups of classes in tables and figures; {seen.cut}, since {seen.reason}."
    choices.append(Choice(("data", "groups"), seen.cut, f"{shares} {cut}".strip()))
    if seen.limits:
        choices.append(Choice(("data", "group_limits"), list(seen.limits), ""))
    return choices


def _told_images(seen: "Overview") -> str:
    """How many images there are, and what cannot be used of what was seen."""
    wrong = [
        *([f"{seen.left_out:,} more files are left out"] if seen.left_out else []),
        *(
            [f"{seen.unreadable:,} of {seen.looked_at:,} that were looked at cannot be read"]
            if seen.unreadable
            else []
        ),
    ]
    told = f" But {' and '.join(wrong)}: `longtail check` names them." if wrong else ""
    return f"{seen.images:,} images of {len(seen.counts):,} classes by their names.{told}"


def _no_groups(seen: "Overview") -> str:
    if seen.other_columns:
        return (
            f"No groups: the columns {', '.join(seen.other_columns)} leave too few to divide the classes by. If images "
            "of one value are alike, accuracies will be too high."
        )
    nested = (
        f" {seen.nested:,} images lie in folders below their class, which may be such groups."
        if seen.nested
        else ""
    )
    return (
        f"No groups were found.{nested} If several pictures show one individual, night or trap, list them in a csv "
        "with a column `group`, or accuracies will be too high (docs/own-images.md)."
    )


def _shape(seen: "Overview", tiny: bool) -> list[Choice]:
    """How pictures become squares: what changes the proportions of all alike harms little, else they are kept."""
    ratios = sorted(width / height for width, height in seen.sizes)
    low, high = ratios[len(ratios) // 20], ratios[-1 - len(ratios) // 20]
    longest = max(high, 1 / low)
    keys = ("data", "image_folder", "resize")
    if high / low <= 1.1 and longest <= 1.5:
        why = f"All pictures have nearly the same proportions ({low:.2f} to {high:.2f} wide for 1 high)."
        return [Choice(keys, "stretch", why)]
    why = (
        f"The proportions differ ({low:.2f} to {high:.2f} wide for 1 high), so a border keeps them; `crop` would cut "
        "to the square in the middle."
    )
    return [Choice(keys, "pad", why), Choice((*keys[:-1], "pad_with"), "reflect", "")]


def _training(seen: "Overview", plan: Plan, tiny: bool) -> list[Choice]:
    train = sum(seen.counts.values())
    steps = plan.epochs * math.ceil(train / plan.batch)
    letters = all(re.fullmatch(r"(\w+[ _-])?\w", name) for name in seen.counts)
    names = {name.casefold() for name in seen.counts}
    sides = sorted(name for name in names if "left" in name and name.replace("left", "right") in names)
    flips = (
        "The classes are named like letters or digits, and a mirrored one is another, or none."
        if letters
        else f"Classes are named by their side, such as {sides[0]!r}, which the mirror makes the other."
        if sides
        else "Left and right may be exchanged. With `flips: both` top and bottom too, for pictures from above; `d4` "
        "adds quarter turns, for pictures that have no up, such as micrographs. `flip: false` is for what is "
        "another thing in the mirror."
    )
    side = _median_side(seen)
    if tiny:
        size = f"As half of the pictures are: a shorter side of {side} pixels."
        epochs = f"{steps:,} steps in all; networks from random weights need some thousands (Cao et al., 2019: 17,000)."
        rate: float = 0.003
        why_rate = "Of Adam for these small networks, as in config/own-images.yaml."
        mean, std = ([round(value, 3) for value in one] for one in (seen.mean, seen.std))
        std = [max(value, 0.05) for value in std]
        why_mean = f"Measured on {len(seen.sizes)} pictures."
    else:
        size = f"Of the sizes that such networks are made for, {', '.join(map(str, reversed(SIZES)))}, the largest "
        size += (
            "that the pictures have."
            if plan.size == max(one for one in SIZES if one <= max(side, SIZES[-1]))
            else f"that the memory holds, with all trainings of a seed in {PATIENCE_OF_PEOPLE['cpu'] // 3600} hours."
        )
        epochs = f"{steps:,} steps in all; config/modern.yaml takes 20 epochs, and Kolesnikov et al. (2020) at least "
        epochs += f"{FINE_TUNING_STEPS} steps" + (
            ", which so few images do not allow." if steps < FINE_TUNING_STEPS else "."
        )
        # Malladi et al., On the SDEs and Scaling Rules for Adaptive Gradient Algorithms, NeurIPS 2022: Adam's rate goes
        # with the square root of the batch.
        exact = LEARNING_RATES[plan.architecture] * math.sqrt(plan.batch / RATE_BATCH)
        rate = float(f"{exact:.1g}")
        why_rate = (
            f"{LEARNING_RATES[plan.architecture]:g} at batches of {RATE_BATCH} (config/modern.yaml), and by the square "
            "root of the batch elsewhere (Malladi et al., 2022)."
        )
        mean, std = IMAGENET
        why_mean = "ImageNet's, which the weights were trained with."
    augment = (
        "TrivialAugment (Müller and Hutter, 2021) has nothing to tune; null where colours tell classes apart."
    )
    choices = [
        ("image_size", plan.size, size),
        ("epochs", plan.epochs, epochs),
        (
            "batch_size",
            plan.batch,
            f"{train:,} training images make {math.ceil(train / plan.batch):,} steps an epoch.",
        ),
        ("optimizer", "adam" if tiny else "adamw", ""),
        ("learning_rate", rate, why_rate),
        ("weight_decay", 1e-4 if tiny else 0.05, ""),
        ("schedule", "cosine", "The rate falls to 0 in half a cosine (Loshchilov and Hutter, 2017)."),
        ("warmup_epochs", 0 if tiny else max(1, plan.epochs // 10), ""),
        # He et al. (2016) shift images of 32 pixels by up to 4. Photographs are shifted by half as much of their side.
        ("padding", max(1, plan.size // (8 if tiny else 16)), "Random shifts of so many pixels."),
        ("flip", not letters and not sides, flips),
        *([] if tiny else [("augment", "trivial", augment)]),
        ("mean", mean, why_mean),
        ("std", std, ""),
    ]
    share = seen.most_validated / max(1, seen.validated)
    if seen.imbalance >= 2:
        select, why = (
            "mean_class_acc",
            f"The epoch that is kept is best by the mean over the classes: by top-1 accuracy the largest class, with "
            f"{share:.0%} of the {seen.validated:,} validation images, would choose it.",
        )
    else:
        select, why = (
            "best",
            "The epoch that is kept has the best accuracy; the classes are of nearly equal size.",
        )
    if seen.validated < 3 * len(seen.counts):
        why += (
            f" {seen.validated:,} validation images of {len(seen.counts):,} classes are few; "
            "data.image_folder.val_fraction takes more."
        )
    choices.append(("select", select, why))
    return [Choice(("train", name), value, why) for name, value, why in choices]


def _job(seen: "Overview", plan: Plan, machine: Machine) -> list[Choice]:
    here = f"The machine has {machine.memory:.0f} GB."
    threads = []
    if not machine.gpus:
        why = f"All {machine.cores} cores for one training at a time; another number changes last digits of results."
        threads = [Choice(("job", "threads"), machine.cores, why)]
    longest = (plan.seconds or 3600) / len(plan.losses)
    return [
        *threads,
        Choice(
            ("job", "memory_mb"),
            _megabytes(seen, plan, machine),
            f"Estimated, for clusters and their limits. {here}",
        ),
        Choice(
            ("job", "minutes"),
            max(10, 10 * math.ceil(3 * longest / 600)),
            "Three times the estimate, for clusters; a training that is cut off goes on where it was.",
        ),
    ]


def _median_side(seen: "Overview") -> int:
    return int(statistics.median(min(size) for size in seen.sizes))


def written(choices: Sequence[Choice], header: Sequence[str] = ()) -> str:
    """The choices as YAML, each after its reason; settings without one belong to that above them.

    Args:
        header: lines of the comment at the top.
    """
    lines = [f"# {line}".rstrip() for line in header]
    before: tuple[str, ...] = ()
    for keys, value, why in choices:
        shared = next(
            (place for place, pair in enumerate(zip(before, keys, strict=False)) if pair[0] != pair[1]),
            min(len(before), len(keys)),
        )
        for depth in range(shared, len(keys) - 1):
            lines.append(f"{'  ' * depth}{_scalar(keys[depth])}:")
        indent = "  " * (len(keys) - 1)
        if why:
            lines += textwrap.wrap(
                printable(why),
                WIDTH,
                initial_indent=f"{indent}# ",
                subsequent_indent=f"{indent}# ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        lines.append(f"{indent}{_scalar(keys[-1])}: {_scalar(value)}")
        before = keys[:-1]
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def header(file: Path, source: str, cost: str) -> list[str]:
    """The comment at the top: what it is, what it costs, and what to do next."""
    return [
        *(["yaml-language-server: $schema=schema.json"] if file.with_name("schema.json").is_file() else []),
        *textwrap.wrap(
            f"A first experiment on {printable(source)}, as `longtail init` proposes it. Every setting may be changed; "
            "all that there are: config/schema.json and docs/own-images.md.",
            WIDTH,
            break_on_hyphens=False,
        ),
        "",
        *(f"  {line}" for line in next_steps(file)),
        "",
        *textwrap.wrap(f"Cost: {cost}", WIDTH),
    ]


def next_steps(file: Path) -> list[str]:
    """The three commands that come after the configuration."""
    named = f"--configfile {shlex.quote(str(file))}"
    return [f"longtail check {named}", f"longtail plan {named}", f"snakemake {named}"]
