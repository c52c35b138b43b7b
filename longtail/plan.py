"""Show what would run, why, and what it would cost: `longtail plan`, with the options of `snakemake`.

The jobs are those of Snakemake's own dry run. The hours of training come from images per second: measured ones
where this results folder holds a run of the same architecture and image size, else assumed ones, which are named.
Other jobs take what such jobs took here, else an assumed time.
"""

import contextlib
import logging
import os
import re
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from longtail.config.load import Config, load_files
from longtail.data.sources.table import known_sources
from longtail.experiment.changes import collection_changes
from longtail.experiment.cost import (
    JOB_SECONDS,
    MOST_IMAGES,
    SUSTAINED,
    Speed,
    Work,
    epochs_done,
    images_of,
    images_to_test,
    known_speeds,
    prediction_seconds,
    training,
)
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.proof import Proofs
from longtail.experiment.reasons import NEW, Reasons
from longtail.experiment.runs import PATTERN, Run
from longtail.files.text import without_middle
from longtail.machine.cores import gpu_count, train_threads
from longtail.machine.terminal import heard
from longtail.report.labels import label

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 80
"""Letters of a line at most."""
MOST_NAMES = 4
"""Runs that are named for one reason."""


class Job(NamedTuple):
    """A job that would run."""

    rule: str
    wildcards: dict[str, str]
    input: list[str]
    output: list[str]
    reason: str = ""
    """Why it would run, as Snakemake says it."""


class DryRun(logging.Filter):
    """Notes the jobs that a dry run reports, and lets only its warnings and errors through."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "rule_name") and hasattr(record, "wildcards"):
            before, made = (list(map(str, getattr(record, name, None) or ())) for name in ("input", "output"))
            reason = getattr(record, "reason", None) or ""
            self.jobs.append(Job(record.rule_name, dict(record.wildcards or {}), before, made, reason))
        return record.levelno >= logging.WARNING


def dry_run(words: list[str]) -> tuple[list[Job], Config, Any]:
    """The jobs that `snakemake WORDS` would run; the configuration; the options.

    Raises:
        SystemExit: Snakemake cannot plan; it has said why.
    """
    from snakemake.cli import args_to_api, parse_args, parse_config
    from snakemake.logging import logger

    parser, args = parse_args(["--dry-run", *words])
    noted = DryRun()
    logger.addFilter(noted)
    try:
        if not args_to_api(args, parser):
            raise SystemExit(1)
    finally:
        logger.removeFilter(noted)
    # As in Snakemake, later settings win: the file that the Snakefile names, then --configfile, then --config.
    files = [Path(file).absolute() for file in args.configfile or ()]
    with contextlib.chdir(args.directory or "."):
        default = Path("config/config.yaml")
        if default.is_file() and not args.replace_workflow_config:
            files.insert(0, default)
        config = load_files(files, parse_config(args.config))
    return [job for job in noted.jobs if job.rule != "all"], config, args


def forced(jobs: list[Job], args: Any) -> list[Job]:
    """The jobs that a command forces, by themselves or by a job before them."""
    words = {*(args.forcerun or ()), *(args.targets or () if args.force else ())}
    files = {os.path.normpath(word) for word in words}
    found: dict[int, Job] = {}
    made: set[str] = set()
    before = -1
    while before < len(found):
        before = len(found)
        for number, job in enumerate(jobs):
            named = job.rule in words or not files.isdisjoint(map(os.path.normpath, job.output))
            if args.forceall or named or not made.isdisjoint(job.input):
                found[number] = job
                made.update(job.output)
    return list(found.values())


def stages() -> dict[str, str]:
    """The stage of every rule, in the order of the workflow: the rule file that the Snakefile includes it by."""
    found: dict[str, str] = {}
    for name in _included(ROOT / "Snakefile"):
        waiting = [ROOT / name]
        while waiting:
            path = waiting.pop()
            text = path.read_text(encoding="utf-8")
            rules = re.findall(r"^ *rule (\w+):$", text, re.M)
            # The rules of a loop have no name there, but take it from the strings of their file.
            if re.search(r"^ *rule:$", text, re.M):
                rules += re.findall(r'"(\w+)"', text)
            for rule in rules:
                found.setdefault(rule, Path(name).stem)
            waiting += [path.parent / included for included in _included(path)]
    return found


def _included(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    # The rules of the source of images are included by what the source says.
    sources = {source.rules for source in known_sources().values()} if "source.rules" in text else ()
    return [*re.findall(r'^ *include: "(.+)"$', text, re.M), *sorted(sources)]


def page(words: list[str]) -> str:
    """The whole plan as text."""
    jobs, config, args = dry_run(words)
    with contextlib.chdir(args.directory or "."):  # where the relative paths of the configuration start
        return _page(jobs, config, args)


def _page(jobs: list[Job], config: Config, args: Any) -> str:
    experiment = Experiment(config)
    keys = Keys(experiment)
    runs, anew = (
        [run for run in experiment.trained_runs if str(run) in wanted]
        for wanted in (_trained(jobs), _trained(forced(jobs, args)))
    )
    lines = [
        f"{len(jobs)} job{'' if len(jobs) == 1 else 's'} would run, {len(runs)} of them training "
        f"(the grid has {_runs(len(experiment.runs))})."
    ]
    if wrong := list(_refused_models(runs, config)):
        raise ValueError("\n".join(wrong))
    device_type, at_a_time, cores = _device(args, config)
    results = Path(config.paths.results)
    speeds = known_speeds(experiment.trained_runs, config, results / "runs", device_type, cores)
    works = training(runs, keys, images_of(config), speeds, anew=anew)
    reasons = Reasons(results)
    seconds = _seconds(jobs, works, reasons.seconds(), _predicting(config, speeds))
    if jobs:
        lines += ["", *_by_stage(jobs, seconds)]
    if why := _why(jobs, keys, reasons):
        lines += ["", *why]
    if changes := collection_changes(experiment):
        again = _runs(len(runs)) if runs else "No run"
        known = [work.seconds for work in works.values() if work.seconds is not None]
        hours = f", {_duration(sum(known))} of training" if known else ""
        lines += ["", *_wrapped(f"{changes} {again} would be trained again{hours}.")]
    if works:
        lines += [
            "",
            *_table(works, speeds),
            "",
            *_wrapped(_total(works, device_type, min(at_a_time, len(runs)))),
        ]
    else:
        lines += ["", "Nothing to train: no GPU hours."]
    if jobs:
        lines += _wrapped(_all(jobs, works, seconds, at_a_time, args))
    if done := sum(epochs_done(keys, run) for run in runs if run not in anew):
        lines += _wrapped(
            f"Unfinished runs go on where they are: {done} epochs that they have behind them are not counted."
        )
    notes = _notes(works, speeds, device_type, cores, bool(seconds.assumed))
    power = [part for line in (_power(config) if works else []) for part in _folded(line)]
    return "\n".join([*lines, *notes, *power])


def _refused_models(runs: list[Run], config: Config) -> Iterator[str]:
    """What the libraries say against models that would be trained; nothing where PyTorch is not installed here.

    The configuration is checked for what is known without them, which is all of the models with names of our own.
    """
    asked = {
        (run.model, config.model(run.model).architecture, recipe.image_size, recipe.tune): recipe
        for run in runs
        for recipe in (config.recipe(run.model, run.loss),)
        if "/" in config.model(run.model).architecture
    }
    if not asked or not find_spec("torch"):
        return
    from longtail.training.model import check_model  # imports PyTorch, which takes seconds

    for (name, architecture, _, _), recipe in asked.items():
        try:
            check_model(architecture, recipe)
        except ValueError as error:
            yield f"models.{name}: {error}"


def _trained(jobs: list[Job]) -> set[str]:
    """The names of the runs that these jobs train."""
    return {PATTERN.format_map(job.wildcards) for job in jobs if job.rule == "train"}


def _device(args: Any, config: Config) -> tuple[str, int, int]:
    """The kind of device that training would run on, cuda or cpu, how many jobs would train at a time, and the cores of
    each."""
    cores = args.cores or 1
    threads = train_threads(config.job.threads, cores)
    if args.executor not in (None, "local"):  # a cluster
        return "cuda", args.jobs or 1, threads
    gpus = getattr((args.resources or {}).get("gpu"), "value", None) or gpu_count() * config.job.jobs_per_gpu
    return ("cuda", gpus, threads) if gpus else ("cpu", max(1, cores // threads), threads)


class Seconds(NamedTuple):
    """How long jobs take, one after the other."""

    by_rule: dict[str, float | None]
    """The seconds of one job; None: not known."""
    assumed: set[str]
    """The rules whose time was not measured here."""


def _seconds(
    jobs: list[Job],
    works: dict[tuple[str, str, int], Work],
    measured: dict[str, float],
    predicting: float | None,
) -> Seconds:
    """The seconds of a job of each rule.

    Args:
        measured: those of finished jobs.
        predicting: seconds that the prediction of one run takes beside its start, on average; None: not known.
    """
    rules = {job.rule for job in jobs}
    stage_of = stages()
    for rule in (rules & stage_of.keys()) - measured.keys():
        # Jobs of one stage are alike, as all draw, or all write tables; but not training, and what goes with it.
        alike = [own for other, own in measured.items() if stage_of.get(other) == stage_of[rule] != "train"]
        if alike:
            measured = {**measured, rule: median(alike)}
    known: dict[str, float | None] = {rule: measured.get(rule, JOB_SECONDS) for rule in rules}
    if works:
        each = [work.seconds for work in works.values()]
        runs = sum(work.runs for work in works.values())
        known["train"] = None if None in each else sum(filter(None, each)) / runs + JOB_SECONDS
    if "predict" in rules - measured.keys():
        known["predict"] = None if predicting is None else JOB_SECONDS + predicting
    return Seconds(known, rules - measured.keys() - {"train"})


def _predicting(config: Config, speeds: dict[tuple[str, int], Speed]) -> float | None:
    """Seconds of one run's prediction, on average over the models; None: not known."""
    images = images_to_test(config)
    found = [
        prediction_seconds(config, model, images, speeds) if images else None for model in config.grid.models
    ]
    return None if None in found else sum(filter(None, found)) / len(found)


def _by_stage(jobs: list[Job], seconds: Seconds) -> list[str]:
    """The jobs of each stage, and their time one after the other."""
    counts = Counter(job.rule for job in jobs)
    by_stage: dict[str, list[str]] = defaultdict(list)
    for rule, stage in stages().items():
        if counts[rule]:
            by_stage[stage].append(rule)
    lines = [f"  {'stage':16}{'jobs':>6}{'time':>13}  rules"]
    for stage, rules in by_stage.items():
        each = [seconds.by_rule[rule] for rule in rules]
        time = "not known" if None in each else _duration(_sum(rules, counts, seconds))
        begin = f"  {stage:16}{sum(counts[rule] for rule in rules):>6,}{time:>13}  "
        told = _counted({rule: counts[rule] for rule in rules})
        lines += _wrapped(told, " " * len(begin), begin)
    return lines


def _sum(rules: Iterable[str], counts: Counter[str], seconds: Seconds) -> float:
    return sum(counts[rule] * (seconds.by_rule[rule] or 0.0) for rule in rules)


def _why(jobs: list[Job], keys: Keys, reasons: Reasons) -> list[str]:
    """Why jobs run that were done already, as lines; none where nothing was.

    Each change is followed by the runs that are trained for it and by the rules that it concerns by itself; what only
    follows from other jobs is left out.
    """
    runs: dict[str, list[str]] = defaultdict(list)
    rules: dict[str, Counter[str]] = defaultdict(Counter)
    for job in jobs:
        if job.rule not in ("train", "adjust"):
            for reason in reasons.of(job.reason, own=True):
                rules[reason][job.rule] += 1
            continue
        run = Run.of(PATTERN.format_map(job.wildcards))
        found = reasons.of(job.reason, own=False)
        # Snakemake looks no further where a job before it runs.
        if not found and (proof := Proofs().read(job.output)):
            found = reasons.changes(proof.key, keys.model(run))
        for reason in found:
            runs[reason].append(str(run))
    lines = []
    for reason in dict.fromkeys([*runs, *rules]):
        if reason == NEW and (not runs[reason] or {*runs, *rules} == {NEW}):
            continue  # what was never made needs no reason
        names = sorted(runs[reason])
        more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
        told = []
        if names:
            told.append(f"{_runs(len(names))}: {', '.join(names[:MOST_NAMES])}{more}")
        if rules[reason] and reason != NEW:
            told.append(_counted(rules[reason]))
        lines += [*_wrapped(reason, "  "), *_wrapped("; ".join(told), "      ")]
    return ["Why:", *lines] if lines else []


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


def _counted(counts: Mapping[str, int]) -> str:
    """Rules and how many jobs each has, which no end of a line parts."""
    return ", ".join(f"{rule}\xa0{count:,}" for rule, count in counts.items())


def _wrapped(text: str, indent: str = "", first: str | None = None) -> list[str]:
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\xa0", " ") for line in lines]


def _folded(line: str) -> list[str]:
    """A line as several that fit, each indented like it."""
    return _wrapped(line, line[: len(line) - len(line.lstrip())]) or [""]


def _table(works: dict[tuple[str, str, int], Work], speeds: dict[tuple[str, int], Speed]) -> list[str]:
    lines = [f"  {'training':22}{'pixels':>6}{'runs':>7}{'images':>16}{'images/s':>11}{'time':>13}"]
    for (name, architecture, size), work in works.items():
        speed = speeds.get((architecture, size))
        images = f"{work.images:,}" if work.images else "not known"
        rate = _rate(speed.images_per_second) if speed else "not known"
        hours = "not known" if work.seconds is None else _duration(work.seconds)
        lines.append(
            f"  {without_middle(name, 22):22}{size:>6}{work.runs:>7,}{images:>16}{rate:>11}{hours:>13}"
        )
    return lines


def _total(works: dict[tuple[str, str, int], Work], device_type: str, at_a_time: int) -> str:
    known = [work.seconds for work in works.values() if work.seconds is not None]
    what = "one GPU" if device_type == "cuda" else "this CPU"
    if not known:
        return "How long training takes is not known."
    without = "" if len(known) == len(works) else ", without what is not known"
    text = f"Training takes {_duration(sum(known))} of {what}{without}"
    if at_a_time == 1:
        return f"{text}."
    beside = max(sum(known) / at_a_time, *(work.longest for work in works.values()))
    return f"{text}; {_duration(beside)} with {at_a_time} jobs at a time."


def _all(
    jobs: list[Job], works: dict[tuple[str, str, int], Work], seconds: Seconds, at_a_time: int, args: Any
) -> str:
    """The time until everything is made, as a sentence."""
    counts = Counter(job.rule for job in jobs)
    others = [rule for rule in counts if rule != "train"]
    if None in [seconds.by_rule[rule] for rule in others]:
        return "How long the other jobs take is not known."
    beside = _sum(others, counts, seconds)
    count = sum(counts[rule] for rule in others)
    if not count:
        return ""
    text = f"The {'other ' if works else ''}{count:,} jobs take {_duration(beside)}"
    cores = args.cores or at_a_time
    if works and seconds.by_rule["train"] is not None:
        begun = min(at_a_time, counts["train"])
        trained = max(_sum(["train"], counts, seconds) / begun, *(work.longest for work in works.values()))
        return f"{text}. All of it takes {_duration(trained + beside / cores)} with {cores} at a time."
    return f"{text}{f', with {cores} at a time {_duration(beside / cores)}' if cores > 1 else ''}."


def _notes(
    works: dict[tuple[str, str, int], Work],
    speeds: dict[tuple[str, int], Speed],
    device_type: str,
    cores: int,
    some_assumed: bool,
) -> list[str]:
    """Where the numbers come from, as lines."""
    kinds = list(dict.fromkeys(kind[1:] for kind in works))
    lines = [
        line
        for kind in kinds
        if kind in speeds and speeds[kind].source != "assumed"
        for line in _wrapped(f"The speed of {kind[0]} at {kind[1]} px is {speeds[kind].source}.")
    ]
    if some_assumed:
        lines += _wrapped(
            f"Assumed: {JOB_SECONDS:g} s for a job beside what it computes, where no such job has finished here."
        )
    if any(kind in speeds and speeds[kind].source == "assumed" for kind in kinds):
        source = (
            f"{SUSTAINED / 1e12:g} TFLOP/s of a data-centre GPU, and at most {MOST_IMAGES:,} images/s."
            if device_type == "cuda"
            else f"what a core of an Intel Xeon at 2.8 GHz was measured to train, times the {cores} of a training, "
            "with nothing else running."
        )
        lines += _wrapped(
            f"Assumed: {source} One finished run of a model, of however few epochs, replaces that by a measurement."
        )
    if any(kind not in speeds for kind in kinds):
        lines += _wrapped(
            "Not known: how fast a model trains that has no finished run and is not a listed one."
        )
    if works and device_type == "cpu":
        lines += _wrapped(
            "No GPU is here. For a plan with GPUs add --resources gpu=4, or --workflow-profile profiles/slurm."
        )
    return lines


def _power(config: Config) -> list[str]:
    """What differences between two losses the runs will be able to find, as lines; none while no file tells."""
    images = images_to_test(config)
    if not images or len(config.grid.losses) + len(config.variants) < 2:
        return []
    from longtail.analysis.statistics.power import (  # imports SciPy, which is slow
        CHANCE,
        DISCORDANT,
        RUNS,
        expected,
    )

    seeds = len(config.seeds)
    found = [
        f"{label(name).lower()} {n:,}: {100 * expected(n, seeds):.1f}" for name, n in images.items() if n
    ]
    if seeds > 1:
        told = (
            f"it varies by {100 * RUNS:g} point over the {seeds} seeds. It speaks of further training runs."
        )
    else:
        told = "there is one seed. It speaks of these trained networks alone."
    return [
        "",
        "The smallest difference of two losses with one model that is found with a chance of 80 %, in points, by test"
        " set and its images:",
        f"  {', '.join(found)}",
        f"Assumed: the losses disagree on {100 * DISCORDANT:g} % of the images, {100 * CHANCE:g} % of that by"
        f" chance of training, and {told}",
    ]


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:,.0f}" if images_per_second >= 10 else f"{images_per_second:.1f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def main() -> None:
    words = sys.argv[1:]
    if words in (["-h"], ["--help"]):
        print((__doc__ or "").strip())
        print("\n  longtail plan --configfile config/demo.yaml --config 'seeds=[1,2]' --resources gpu=4")
        return
    try:
        print(page(words), flush=True)
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    sys.exit(heard(main))
