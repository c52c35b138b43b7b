"""What would run, and what it would cost: `python -m longtail.plan`, with the options of `snakemake`.

The jobs are those of Snakemake's own dry run. The hours of training come from images per second: measured ones
where this results folder holds a run of the same architecture and image size, else assumed ones, which are named.
"""

import json
import logging
import os
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from longtail.config.load import Config, load_config
from longtail.data.split.imbalance import longtailed_counts
from longtail.experiment.jobs import Experiment, RunId
from longtail.files.sealed_json import unseal
from longtail.machine.cores import gpu_count, train_threads

ROOT = Path(__file__).resolve().parents[1]
CLASSES = {"cifar100": 100, "digits": 10}
"""Of the sources that are the same everywhere."""

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
}
"""Of one image's forward pass, at an image size (torchvision's and timm's tables; He et al., 2016)."""
SUSTAINED = {"cuda": 30e12, "cpu": 50e9}
"""Assumed floating-point operations per second of training, of one data-centre GPU and of a few CPU cores."""
MOST_IMAGES = 2500
"""Assumed images per second that a small model reaches at most, as it waits for memory and not for arithmetic."""


class Speed(NamedTuple):
    """How fast a model trains, and how that is known."""

    images_per_second: float
    source: str


class Work(NamedTuple):
    """The training that is left to one model at one image size."""

    runs: int
    images: int
    seconds: float | None
    longest: float = 0.0
    """Seconds of the longest of the runs, which no number of GPUs shortens."""


class DryRun(logging.Filter):
    """Takes note of the jobs that a dry run reports, and lets through its warnings and errors only."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[tuple[str, dict[str, str]]] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "rule_name") and hasattr(record, "wildcards"):
            self.jobs.append((record.rule_name, dict(record.wildcards or {})))
        return record.levelno >= logging.WARNING


def dry_run(words: list[str]) -> tuple[list[tuple[str, dict[str, str]]], Config, Any]:
    """The jobs that `snakemake WORDS` would run, each a rule with its wildcards; the configuration; the options.

    Raises:
        SystemExit: Snakemake cannot plan; it has said why.
    """
    from snakemake.cli import args_to_api, parse_args, parse_config
    from snakemake.common.configfile import load_configfile
    from snakemake.logging import logger
    from snakemake.settings.types import ConfigSettings
    from snakemake.utils import update_config

    parser, args = parse_args([*words, "--dry-run"])
    noted = DryRun()
    logger.addFilter(noted)
    try:
        if not args_to_api(args, parser):
            raise SystemExit(1)
    finally:
        logger.removeFilter(noted)
    # As Snakemake puts it together: the file that the Snakefile names, then --configfile, then --config.
    config: dict[str, Any] = {}
    if not args.replace_workflow_config:
        update_config(config, load_configfile("config/config.yaml"))
    given = ConfigSettings(config=parse_config(args.config), configfiles=args.configfile or ())
    update_config(config, given.overwrite_config)
    return [job for job in noted.jobs if job[0] != "all"], load_config(config), args


def stages() -> dict[str, str]:
    """The stage of every rule, in the order of the workflow: the rule file that the Snakefile includes it by."""
    found: dict[str, str] = {}
    for name in _included(ROOT / "Snakefile"):
        waiting = [ROOT / name]
        while waiting:
            path = waiting.pop()
            text = path.read_text(encoding="utf-8")
            rules = re.findall(r"^ *rule (\w+):$", text, re.M)
            if re.search(
                r"^ *rule:$", text, re.M
            ):  # the rules of a loop have their names from strings of the file
                rules += re.findall(r'"(\w+)"', text)
            for rule in rules:
                found.setdefault(rule, Path(name).stem)
            waiting += [path.parent / included for included in _included(path)]
    return found


def _included(path: Path) -> list[str]:
    return re.findall(r'^ *include: "(.+)"$', path.read_text(encoding="utf-8"), re.M)


def images_of(config: Config, folder: Path = Path()) -> dict[str, int] | None:
    """Images of an epoch of each training set, and of the validation set `val`; None where nothing tells it yet."""
    data = config.data
    if data.source in CLASSES:
        classes = CLASSES[data.source]
        balanced = classes * data.train_per_class
        return {
            "balanced": balanced,
            "longtailed": sum(longtailed_counts(data.train_per_class, classes, data.imbalance_factor)),
            # CIFAR-100's own test images validate; of the digits, whatever training and test leave.
            "val": 10_000 if data.source == "cifar100" else 1797 - balanced - classes * data.test_per_class,
        }
    path = folder / config.paths.results / "data/split.parquet"
    if not path.is_file():
        return None
    from longtail.files.parquet import read_parquet

    split = read_parquet(path, ["subset", "longtailed"])
    train = split[split["subset"] == "train"]
    return {
        "balanced": len(train),
        "longtailed": int(train["longtailed"].sum()),
        "val": int((split["subset"] == "val").sum()),
    }


def measured_speeds(runs: Path, device_type: str) -> dict[tuple[str, int], Speed]:
    """Median images per second of the finished runs on that kind of device, by architecture and image size.

    Raises:
        ValueError: a record is not one that training wrote; names it.
    """
    found = defaultdict(list)
    for path in sorted(runs.glob("*/*/*/seed*/run.json")):
        record = unseal(path.read_bytes(), path)
        try:
            if record["device_type"] != device_type:
                continue
            kind = record["settings"]["architecture"], record["settings"]["recipe"]["image_size"]
            speeds = [epoch["train_images_per_second"] for epoch in record["epochs"]]
            found[kind].append((statistics.median(speeds), record["device"]))
        except (KeyError, TypeError, statistics.StatisticsError) as error:
            raise ValueError(f"{path} is no record of a run ({error!r}); delete it and plan again") from None
    speeds = {}
    for kind, each in found.items():
        devices = ", ".join(sorted({device for _, device in each}))
        source = f"measured: {len(each)} run{'s' if len(each) > 1 else ''} on {devices}"
        speeds[kind] = Speed(statistics.median(speed for speed, _ in each), source)
    return speeds


def assumed_speed(architecture: str, image_size: int, device_type: str) -> Speed | None:
    """Images per second from arithmetic alone; None for a model whose multiply-adds are not listed.

    An image costs as many multiply-adds as it has pixels, and training three times a forward pass.
    """
    if architecture not in MULTIPLY_ADDS:
        return None
    operations, size = MULTIPLY_ADDS[architecture]
    operations *= 2 * 3 * (image_size / size) ** 2
    return Speed(min(SUSTAINED[device_type] / operations, MOST_IMAGES), "assumed")


def epochs_done(experiment: Experiment, run: RunId, folder: Path = Path()) -> int:
    """Epochs that an unfinished run has behind it, by the note beside its state."""
    try:
        return json.loads((folder / experiment.work_folder(run) / "progress.json").read_text())["epoch"]
    except FileNotFoundError:
        return 0


def training(
    runs: Iterable[RunId],
    experiment: Experiment,
    images: dict[str, int] | None,
    speeds: dict[tuple[str, int], Speed],
    folder: Path = Path(),
) -> dict[tuple[str, str, int], Work]:
    """What is left to train, by name, architecture and image size.

    An epoch is its training images, and its validation images at a third of the cost.
    """
    works: dict[tuple[str, str, int], Work] = {}
    for run in runs:
        recipe = experiment.config.recipe(run.model, run.loss)
        architecture = experiment.config.model(run.model).architecture
        epochs = recipe.epochs - epochs_done(experiment, run, folder)
        kind = run.model, architecture, recipe.image_size
        before = works.get(kind, Work(0, 0, 0.0))
        trained = epochs * images[run.train_set] if images else 0
        speed = speeds.get(kind[1:])
        if images and speed and before.seconds is not None:
            own = (trained + epochs * images["val"] / 3) / speed.images_per_second
            seconds, longest = before.seconds + own, max(before.longest, own)
        else:
            seconds, longest = None, 0.0
        works[kind] = Work(before.runs + 1, before.images + trained, seconds, longest)
    return works


def page(words: list[str]) -> str:
    """The whole plan as text."""
    jobs, config, args = dry_run(words)
    experiment, folder = Experiment(config), Path(args.directory or ".")
    wanted = {(w["train_set"], w["model"], w["loss"], int(w["seed"])) for rule, w in jobs if rule == "train"}
    runs = [run for run in experiment.runs if run in wanted]
    lines = [
        f"{len(jobs)} jobs would run, {len(runs)} of them training (the grid has {len(experiment.runs)} runs).",
        *_by_stage(Counter(rule for rule, _ in jobs)),
    ]
    if not runs:
        return "\n".join([*lines, "", "Nothing to train: no GPU hours."])
    on_cluster = args.executor not in (None, "local")
    gpus = getattr((args.resources or {}).get("gpu"), "value", None) or gpu_count() * config.job.jobs_per_gpu
    device_type = "cuda" if on_cluster or gpus else "cpu"
    if on_cluster:
        at_a_time = args.jobs or 1
    else:
        at_a_time = gpus or max(1, (args.cores or 1) // train_threads(config.job.threads, args.cores or 1))
    speeds = {}
    for run in runs:
        kind = config.model(run.model).architecture, config.recipe(run.model, run.loss).image_size
        if assumed := assumed_speed(*kind, device_type):
            speeds[kind] = assumed
    speeds |= measured_speeds(folder / config.paths.results / "runs", device_type)
    works = training(runs, experiment, images_of(config, folder), speeds, folder)
    lines += ["", *_table(works, speeds), "", _total(works, device_type, min(at_a_time, len(runs)))]
    if done := sum(epochs_done(experiment, run, folder) for run in runs):
        lines.append(
            f"Unfinished runs go on where they are: {done} epochs that they have behind them are not counted."
        )
    return "\n".join([*lines, *_notes(works, speeds, device_type)])


def _by_stage(counts: Counter[str]) -> list[str]:
    by_stage = defaultdict(list)
    for rule, stage in stages().items():
        if counts[rule]:
            by_stage[stage].append(f"{rule} {counts[rule]}")
    return [f"  {stage:12}{', '.join(rules)}" for stage, rules in by_stage.items()]


def _table(works: dict[tuple[str, str, int], Work], speeds: dict[tuple[str, int], Speed]) -> list[str]:
    lines = [f"  {'training':18}{'pixels':>6}{'runs':>7}{'images':>14}{'images/s':>11}{'time':>13}"]
    for (name, architecture, size), work in works.items():
        speed = speeds.get((architecture, size))
        images = f"{work.images:,}" if work.images else "not known"
        rate = _rate(speed.images_per_second) if speed else "not known"
        hours = "not known" if work.seconds is None else _duration(work.seconds)
        source = f"  {speed.source}" if speed else ""
        lines.append(f"  {name:18}{size:>6}{work.runs:>7}{images:>14}{rate:>11}{hours:>13}{source}")
    return lines


def _total(works: dict[tuple[str, str, int], Work], device_type: str, at_a_time: int) -> str:
    known = [work.seconds for work in works.values() if work.seconds is not None]
    what = "one GPU" if device_type == "cuda" else "this CPU"
    without = "" if len(known) == len(works) else ", without what is not known"
    text = f"Training takes {_duration(sum(known))} of {what}{without}"
    if at_a_time == 1:
        return f"{text}."
    beside = max(sum(known) / at_a_time, *(work.longest for work in works.values()))
    return f"{text}; {_duration(beside)} with {at_a_time} jobs at a time."


def _notes(
    works: dict[tuple[str, str, int], Work], speeds: dict[tuple[str, int], Speed], device_type: str
) -> list[str]:
    kinds = [kind[1:] for kind in works]
    lines = []
    if any(kind in speeds and speeds[kind].source == "assumed" for kind in kinds):
        device = "a data-centre GPU" if device_type == "cuda" else "a few CPU cores"
        lines += [
            f"Assumed: {SUSTAINED[device_type] / 1e12:g} TFLOP/s of {device}, and at most {MOST_IMAGES:,} images/s.",
            "One finished run of a model, of however few epochs, replaces that by a measurement.",
        ]
    if any(kind not in speeds for kind in kinds):
        lines.append("Not known: how fast a model trains that has no finished run and is not a listed one.")
    if device_type == "cpu":
        lines.append(
            "No GPU is here. For a plan with GPUs add --resources gpu=4, or --workflow-profile profiles/slurm."
        )
    return lines


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:,.0f}" if images_per_second >= 10 else f"{images_per_second:.1f}"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def main() -> None:
    words = sys.argv[1:]
    if words in (["-h"], ["--help"]):
        print(__doc__.strip())
        print(
            "\n  python -m longtail.plan --configfile config/demo.yaml --config 'seeds=[1,2]' --resources gpu=4"
        )
        return
    try:
        print(page(words), flush=True)
    except ValueError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # `| head` has read enough; Python would try again, and complain, at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
