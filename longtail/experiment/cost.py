"""The cost of training: how many images the runs see, and how fast a model trains.

The speed is measured where the results folder holds a finished run of the same architecture and image size on the same
kind of device. Otherwise it is assumed.
"""

import json
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from longtail.config.load import Config
from longtail.config.methods import CustomLoss
from longtail.data.split.sets import (
    CUTS,
    SPLIT,
    TRAIN_SETS,
    frequency_groups,
    in_set,
    longtailed_counts,
    with_groups,
)
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.record import read_record
from longtail.experiment.runs import RECORD, Run, found_in
from longtail.files.regular import read_bytes
from longtail.files.text import printable
from longtail.losses.declarations import declaration, own_declaration

MULTIPLY_ADDS = {
    "mobilenetv2": (0.30e9, 224),
    "resnet50": (4.09e9, 224),
    "resnetv2_50": (4.11e9, 224),
    "vit_b16": (17.56e9, 224),
    "vit_b16_in1k": (17.56e9, 224),
    "convnext_base": (15.36e9, 224),
    "resnet8": (12.2e6, 32),
    "resnet20": (40.6e6, 32),
    "resnet32": (68.9e6, 32),
    "resnet32x4": (1.096e9, 32),
    "resnet44": (97.2e6, 32),
    "resnet56": (125.5e6, 32),
    "resnet110": (252.9e6, 32),
    "resnet10": (0.89e9, 224),
    "resnext50": (4.23e9, 224),
}
"""Multiply-adds of one image's forward pass, and the image size that they hold for.

Sources: the tables of torchvision and timm; He et al., 2016.
"""
SUSTAINED = 30e12
"""Floating-point operations per second that training is assumed to reach on a data-centre GPU."""
MOST_IMAGES = 2500
"""The most images per second that any model is assumed to reach there: a small one waits for memory, not for
arithmetic."""
OF_ONE_CORE = {
    "mobilenetv2": 5.9,
    "resnet50": 2.1,
    "resnetv2_50": 2.1,
    "vit_b16": 0.85,
    "vit_b16_in1k": 0.85,
    "convnext_base": 0.62,
    "resnet8": 292,
    "resnet20": 124,
    "resnet32": 80,
    "resnet32x4": 6.8,
    "resnet44": 71,
    "resnet56": 56,
    "resnet110": 30,
    "resnet10": 14,
    "resnext50": 1.9,
}
"""Images of the size above that one core trains in a second. The arithmetic does not tell it: MobileNetV2 reaches a
third of the operations of a ResNet.

Measured on one core of an Intel Xeon at 2.8 GHz with AVX-512, in float32: the median of three or four steps of AdamW
with batches of 4 to 128, in seconds of the processor, so that other work on the machine counts little.
"""


JOB_SECONDS = 2.0
"""Seconds that a job takes beside epochs and predictions, most of which goes into its start.

The 86 jobs of the demo took 1.6 minutes of two cores, of which half a minute of one core went into epochs.
"""


class Speed(NamedTuple):
    """How fast a model trains, and how that is known."""

    images_per_second: float
    source: str


class Work(NamedTuple):
    """The training that is still to be done for one model at one image size."""

    runs: int
    images: int
    seconds: float | None
    longest: float = 0.0
    """Seconds of the longest run, which no number of GPUs shortens."""


def images_of(config: Config) -> dict[str, int] | None:
    """Images of each training set, and of the validation set `val`; None where nothing tells them.

    The table of sets in the results counts the images of a collection. Until it is made, the files are counted, and the
    settings say which share of them is trained on.
    """
    data = config.data
    source = data.facts
    if source.images and not source.natural:
        balanced = source.classes * data.train_per_class
        # An original test set validates, even where it also tests. Without one, the images that are left over validate.
        left = source.images - balanced - source.classes * (data.test_per_class or 0)
        return {
            "balanced": balanced,
            "longtailed": sum(data.training_counts()),
            "val": source.test_images or left,
        }
    path = Path(config.paths.results, "data/sets.parquet")
    if not path.is_file():
        return _expected(config) if source.has_images else None
    sets = SPLIT.read(path, ["subset", "longtailed"])
    train = sets[sets["subset"] == "train"]
    return {
        "balanced": len(train),
        "longtailed": int(train["longtailed"].sum()),
        "val": int((sets["subset"] == "val").sum()),
    }


def _expected(config: Config) -> dict[str, int]:
    """Images of each set of a collection that is not divided yet, about: nothing was decoded or left out so far."""
    data, source = config.data, config.data.facts
    if source.images_rule == "listed_images":
        listed = Experiment(config).listed
        by_class = Counter(
            label for label, subset in zip(listed.labels, listed.subsets, strict=True) if subset == "train"
        )
        return {
            "balanced": min(by_class.values(), default=0) * len(by_class),
            "longtailed": by_class.total(),
            "val": listed.subsets.count("val" if data.lists.val else "test"),
        }
    if not source.collection:
        drawn = source.classes * (data.test_per_class or 0)
        left = source.images - drawn * (1 if source.test_images else 2)
        # Nothing tells the smallest class yet; no balanced set has more than all images.
        return {"balanced": left, "longtailed": left, "val": source.test_images or drawn}
    folder, entries = config.data.image_folder, Experiment(config).listing.entries
    train = [entry.class_name for entry in entries if entry.subset in ("", "train")]
    given = any(entry.subset for entry in entries)
    share = 1.0 if given else 1 - folder.test_fraction - folder.val_fraction
    of_classes = Counter(train).values()
    return {
        "balanced": int(share * min(of_classes, default=0)) * len(of_classes),
        "longtailed": int(share * len(train)),
        "val": sum(entry.subset == "val" for entry in entries)
        if given
        else int(folder.val_fraction * len(train)),
    }


def images_to_test(config: Config) -> dict[str, int] | None:
    """Images of each test set; None while no file tells them."""
    data = config.data
    source = data.facts
    path = Path(config.paths.results, "data/sets.parquet")
    names = CUTS[data.groups]
    if source.images and not source.natural:
        each = data.test_per_class or source.test_images // source.classes
        factor = data.imbalance_factor if data.test_imbalance_factor is None else data.test_imbalance_factor
        counts = longtailed_counts(each, source.classes, factor, data.imbalance)
        found = {"balanced": each * source.classes, "longtailed": sum(counts), **dict.fromkeys(names, 0)}
        groups = frequency_groups(data.training_counts(), data.groups, data.group_limits)
        for group, count in zip(groups, counts, strict=True):
            found[group] += count
        return found
    if not path.is_file():
        return None
    split = with_groups(SPLIT.read(path, ["label", "subset", "longtailed"]), data.groups, data.group_limits)
    test = split[split["subset"] == "test"]
    return {name: int(in_set(test, name).sum()) for name in (*TRAIN_SETS, *names)}


def measured_speeds(runs: Path, device_type: str) -> dict[tuple[str, int], Speed]:
    """Median images per second of the finished runs, by architecture and image size.

    Args:
        runs: the folder of all runs.
        device_type: "cuda" or "cpu"; runs on another kind of device are left out. A record that training did not
            write is named on standard error and left out too.
    """
    found: dict[tuple[str, int], list[tuple[float, str]]] = defaultdict(list)
    for path in found_in(runs, f"/{RECORD}"):
        try:
            record = read_record(path)
        except (OSError, ValueError) as error:
            _pass_over(path, str(error).removeprefix(f"{path} "))
            continue
        if record.device_type == device_type and record.settings:
            kind = record.settings.architecture, record.settings.recipe.image_size
            speed = record.images_per_second * views_of(record.settings.loss)
            found[kind].append((speed, record.device))
    speeds: dict[tuple[str, int], Speed] = {}
    for kind, each in found.items():
        devices = ", ".join(sorted({device for _, device in each}))
        source = f"measured: {len(each)} run{'s' if len(each) > 1 else ''} on {devices}"
        speeds[kind] = Speed(statistics.median(speed for speed, _ in each), source)
    return speeds


def assumed_speed(architecture: str, image_size: int, device_type: str, cores: int = 1) -> Speed | None:
    """Images per second without a run to measure; None for a model whose multiply-adds are not listed.

    An image costs as much as it has pixels, and training three times a forward pass. Each core of a CPU is assumed to
    add what one alone reaches, which is the most that it can.
    """
    if architecture not in MULTIPLY_ADDS:
        return None
    operations, size = MULTIPLY_ADDS[architecture]
    pixels = (image_size / size) ** 2
    if device_type == "cpu":
        return Speed(cores * OF_ONE_CORE[architecture] / pixels, "assumed")
    return Speed(min(SUSTAINED / (2 * 3 * operations * pixels), MOST_IMAGES), "assumed")


def known_speeds(
    runs: Iterable[Run], config: Config, records: Path, device_type: str, cores: int = 1
) -> dict[tuple[str, int], Speed]:
    """How fast the models of these runs train, by architecture and image size: as measured, else as assumed.

    Args:
        records: the folder of all runs.
        cores: those that a training on a CPU has.
    """
    speeds = {}
    for run in runs:
        kind = config.model(run.model).architecture, config.recipe(run.model, run.loss).image_size
        if assumed := assumed_speed(*kind, device_type, cores):
            speeds[kind] = assumed
    return speeds | measured_speeds(records, device_type)


def prediction_seconds(
    config: Config, model: str, images: dict[str, int], speeds: dict[tuple[str, int], Speed]
) -> float | None:
    """Seconds of the forward passes of one run of a model over all test images; None: its speed is not known.

    Args:
        images: of `images_to_test`.
        speeds: of training, by architecture and image size; a forward pass costs a third of that.
    """
    kind = config.model(model).architecture, config.recipe(model, config.grid.losses[0]).image_size
    speed = speeds.get(kind)
    crops = {"ten": 10, "five": 5}.get(str(config.predict.crops), 1)
    return max(images.values()) * crops / (3 * speed.images_per_second) if speed else None


def views_of(loss: object) -> int:
    """How many views of each image a training with this loss sees; `loss` as an entry or `RunSettings` has it."""
    if isinstance(loss, CustomLoss):
        loss = loss.model_dump()
    own = isinstance(loss, Mapping) and own_declaration(loss["path"], loss["name"])
    facts = own or declaration(str(loss))
    return len(facts.views) if facts else 1


def epochs_done(keys: Keys, run: Run) -> int:
    """The epochs that an unfinished run has finished, from the note beside its state; 0 without a readable note."""
    note = Path(keys.state_folder(run), "progress.json")
    try:
        epoch = json.loads(read_bytes(note))["epoch"]
        if type(epoch) is int and 0 <= epoch <= keys.jobs.config.recipe(run.model, run.loss).epochs:
            return epoch
        reason = f"says epoch {epoch!r:.60}"
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = f"cannot be read ({error!r})"
    _pass_over(note, f"{reason}, so {run} counts from its first epoch")
    return 0


@cache
def _pass_over(path: Path, reason: str) -> None:
    """Say once that a file does not count."""
    print(printable(f"passed over: {path} {reason}"), file=sys.stderr)


def training(
    runs: Iterable[Run],
    keys: Keys,
    images: dict[str, int] | None,
    speeds: dict[tuple[str, int], Speed],
    anew: Collection[Run] = (),
) -> dict[tuple[str, str, int], Work]:
    """The training that is left, by model, architecture and image size.

    An epoch costs all views of its training images, and a third of that for each validation image.

    Args:
        images: of `images_of`. With None, seconds are unknown and images are 0.
        speeds: by architecture and image size. Without that of a model, its seconds are unknown.
        anew: the runs that are forced, and so begin at their first epoch.
    """
    works: dict[tuple[str, str, int], Work] = {}
    config = keys.jobs.config
    for run in runs:
        recipe = config.recipe(run.model, run.loss)
        architecture = config.model(run.model).architecture
        epochs = recipe.epochs - (0 if run in anew else epochs_done(keys, run))
        kind = run.model, architecture, recipe.image_size
        before = works.get(kind, Work(0, 0, 0.0))
        trained = epochs * images[run.train_set] if images else 0
        speed = speeds.get(kind[1:])
        if images and speed and before.seconds is not None:
            validations = sum(map(recipe.validates, range(recipe.epochs - epochs, recipe.epochs)))
            views = views_of(config.loss(run.loss).loss)
            own = (views * trained + validations * images["val"] / 3) / speed.images_per_second
            seconds, longest = before.seconds + own, max(before.longest, own)
        else:
            seconds, longest = None, 0.0
        works[kind] = Work(before.runs + 1, before.images + trained, seconds, longest)
    return works
