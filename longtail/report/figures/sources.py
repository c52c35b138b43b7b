"""Which figures there are, what each is drawn from, and where those files are.

A figure is a module of this folder with a function `draw`. The names of its parameters say what it needs:

- a name in `SOURCES` stands for the content of those files;
- `train_set`, `model` and `loss` choose what is drawn. A figure that needs a loss is drawn for single losses, one that
  needs a model for every training set and model, and any other once, of all runs;
- everything else is a setting, and has a default.

The rules plan with this and `workflow/scripts/figure.py` draws with it, so a new figure is one new file. Planning has
to be quick: signatures are read from the source, and nothing is imported here that takes time.
"""

import ast
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

CHOICES = ("train_set", "model", "loss")
SIGNATURE = re.compile(r"^def draw\(.*?:$", re.MULTILINE | re.DOTALL)


class Source(NamedTuple):
    """Something that a figure may be drawn from."""

    read: str
    """The function of `longtail.analysis.frames` that reads it."""
    file: str
    """In the results folder or, where every run has its own, in the run's folder."""
    key: Callable[..., str]
    """From an `Experiment`, and a run where every run has its own file, to the key of the job that makes the file.

    Neither is imported, or every figure would depend on all that plans an experiment.
    """
    runs: Literal["", "all", "trained"] = ""
    """Which runs have such a file, if any: a variant is not trained, so it lacks what training writes."""
    beside: str = ""
    """A file that the reader finds beside that of each run."""


SOURCES = {
    "evaluation": Source("read_table", "evaluation.parquet", lambda e: e.evaluation_key()),
    "per_class": Source("read_table", "per_class.parquet", lambda e: e.evaluation_key()),
    "differences": Source("read_table", "statistics/paired_differences.csv", lambda e: e.statistics_key()),
    "split": Source("read_table", "data/split.parquet", lambda e: e.split_key()),
    "tensors": Source("read_tensors", "data/{train_tensors}.pth", lambda e: e.tensors_key(e.train_tensors)),
    "test_tensors": Source(
        "read_tensors", "data/{test_tensors}.pth", lambda e: e.tensors_key(e.test_tensors)
    ),
    "histories": Source("read_histories", "history.parquet", lambda e, run: e.train_key(run), "trained"),
    "records": Source("read_records", "run.json", lambda e, run: e.train_key(run), "trained"),
    "predictions": Source(
        "read_predictions", "predictions.parquet", lambda e, run: e.predict_key(run), "all"
    ),
    "confidences": Source(
        "read_confidences",
        "predictions.parquet",
        lambda e, run: e.predict_key(run),
        "all",
        beside="model.safetensors",
    ),
}


@cache
def figures() -> dict[str, dict[str, bool]]:
    """Every figure's parameters, and whether each has to be given.

    Raises:
        ValueError: a figure needs what is neither a source nor a choice; names its file.
    """
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if signature := SIGNATURE.search(path.read_text(encoding="utf-8")):
            found[path.stem] = _parameters(signature[0])
            for name, required in found[path.stem].items():
                if required and name not in (*SOURCES, *CHOICES):
                    raise ValueError(
                        f"{path}: draw needs '{name}', which is not among {', '.join((*SOURCES, *CHOICES))}; name one "
                        "of these, or give it a default"
                    )
    return found


def _parameters(signature: str) -> dict[str, bool]:
    nodes = ast.walk(ast.parse(f"{signature} ..."))
    arguments = next(node for node in nodes if isinstance(node, ast.arguments))
    required = len(arguments.args) - len(arguments.defaults)
    positional = {argument.arg: place < required for place, argument in enumerate(arguments.args)}
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return positional | {argument.arg: default is None for argument, default in pairs}


def chosen_by(figure: str) -> tuple[str, ...]:
    """What a figure is drawn for, each anew: a training set, model and loss, a training set and model, or nothing."""
    needed = {name for name, required in figures()[figure].items() if required}
    if "loss" in needed:
        return CHOICES
    return CHOICES[:2] if needed & {"model", "train_set"} else ()


def inputs(figure: str, experiment: Any, runs: Sequence[Any]) -> list[str]:
    """Every file that a figure of these runs is drawn from."""
    files: list[str] = []
    for source in _sources(figure).values():
        for file in filter(None, (source.file, source.beside)):
            files += _files(source, file, experiment, runs)
    return files


def options(figure: str, experiment: Any, runs: Sequence[Any]) -> list[str]:
    """Those files as command-line options of `figure.py`."""
    words: list[str] = []
    for name, source in _sources(figure).items():
        words += [option(name), *_files(source, source.file, experiment, runs)]
    return words


def keys(figure: str, experiment: Any, runs: Sequence[Any]) -> list[str]:
    """The keys of the jobs that make those files."""
    found: list[str] = []
    for source in _sources(figure).values():
        if source.runs:
            found += [source.key(experiment, run) for run in _owners(source, experiment, runs)]
        else:
            found.append(source.key(experiment))
    return found


def option(name: str) -> str:
    """The command-line option of a parameter."""
    return f"--{name.replace('_', '-')}"


def _sources(figure: str) -> dict[str, Source]:
    return {name: SOURCES[name] for name in figures()[figure] if name in SOURCES}


def _files(source: Source, file: str, experiment: Any, runs: Sequence[Any]) -> list[str]:
    results = experiment.config.paths.results
    if not source.runs:
        names = {name: getattr(experiment, name) for name in ("train_tensors", "test_tensors")}
        return [f"{results}/{file.format(**names)}"]
    return [f"{results}/runs/{run}/{file}" for run in _owners(source, experiment, runs)]


def _owners(source: Source, experiment: Any, runs: Sequence[Any]) -> Sequence[Any]:
    """The runs that have such files."""
    return runs if source.runs == "all" else [run for run in runs if not experiment.is_variant(run)]
