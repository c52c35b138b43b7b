"""Which figures there are, what each is drawn from, and where those files are.

A figure is a module of this folder with a function `draw`. The names of its parameters say what it needs:

- a name in `SOURCES` stands for the content of its files;
- `train_set`, `model` and `loss` choose what is drawn. A figure that needs a loss is drawn for single losses, one that
  needs a model for every training set and model, and any other once, of all runs;
- everything else is a setting, and has a default; the workflow gives `train_sets`, those of its grid.

A module may have a constant `NEEDS`, such as `{"models": 3, "losses": 3}` or `{"loss": "focal"}`: of a grid with fewer,
or without the loss, the figure would say nothing, so it is not among those that are made of all runs.

The rules plan with this and `workflow/scripts/figure.py` draws with it, so a new figure is one new file. Planning has
to be quick: signatures are read from the source, and nothing is imported here that takes time.
"""

import ast
import re
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from longtail.settings import constant

CHOICES = ("train_set", "model", "loss")
SIGNATURE = re.compile(r"^def draw\(.*?:$", re.MULTILINE | re.DOTALL)


class Source(NamedTuple):
    """Something that a figure may be drawn from: one file of the results, or a file of every run.

    `experiment` and `run` stand for an `Experiment` and one of its runs. They are not imported, or every figure would
    depend on all that plans an experiment.
    """

    read: str
    """The function of `longtail.analysis.frames` that reads it."""
    file: str
    """In the results folder or, where every run has its own, in the run's folder. In braces stands the attribute of an
    experiment that names a file of tensors."""
    job: str
    """The job that makes the file, by the method of `Keys` that gives its key."""
    runs: Literal["", "all", "trained"] = ""
    """Which runs have such a file, if any. A variant is not trained, so it lacks what training writes."""
    beside: tuple[str, ...] = ()
    """Files that the reader finds beside that of each run."""

    def owners(self, experiment: Any, runs: Sequence[Any]) -> Sequence[Any]:
        """What the job is asked for: the runs that have such a file, or the name of the tensors, or nothing."""
        if self.runs == "trained":
            return [run for run in runs if not experiment.is_variant(run)]
        named = [getattr(experiment, name) for name in re.findall(r"\{(\w+)\}", self.file)]
        return runs if self.runs else named or [None]

    def paths(
        self, file: str, folder: str, experiment: Any, runs: Sequence[Any], there: Collection[Any]
    ) -> list[str]:
        """Where `file` or one beside it lies in the folder of the results, for all its owners.

        A run that is not among those that are there has its name in place of the path.
        """
        owners = self.owners(experiment, runs)
        if self.runs:
            return [f"{folder}/runs/{run}/{file}" if run in there else str(run) for run in owners]
        return [f"{folder}/{re.sub('{.*}', str(name), file)}" for name in owners]


SOURCES = {
    "evaluation": Source("read_evaluation", "evaluation.parquet", "evaluation"),
    "per_class": Source("read_per_class", "per_class.parquet", "evaluation"),
    "differences": Source("read_differences", "statistics/paired_differences.csv", "statistics"),
    "split": Source("read_split", "data/split.parquet", "split"),
    "tensors": Source("read_tensors", "data/{train_tensors}.pth", "tensors"),
    "test_tensors": Source("read_tensors", "data/{test_tensors}.pth", "tensors"),
    "histories": Source("read_histories", "history.parquet", "train", "trained"),
    "records": Source("read_records", "run.json", "train", "trained"),
    "predictions": Source("read_predictions", "predictions.parquet", "predict", "all"),
    "confidences": Source(
        "read_confidences", "predictions.parquet", "predict", "all", ("model.safetensors",)
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


@cache
def _needs(figure: str) -> dict[str, Any]:
    """What a figure needs of a grid; empty where it does not say."""
    return constant(f"report/figures/{figure}.py", "NEEDS", {})


def tells(figure: str, models: Collection[str], losses: Collection[str]) -> bool:
    """Whether a figure says something of a grid of these models and losses."""
    needs = _needs(figure)
    enough = len(models) >= needs.get("models", 0) and len(losses) >= needs.get("losses", 0)
    return enough and needs.get("loss") in (None, *losses)


def _parameters(signature: str) -> dict[str, bool]:
    nodes = ast.walk(ast.parse(f"{signature} ..."))
    arguments = next(node for node in nodes if isinstance(node, ast.arguments))
    required = len(arguments.args) - len(arguments.defaults)
    positional = {argument.arg: place < required for place, argument in enumerate(arguments.args)}
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return positional | {argument.arg: default is None for argument, default in pairs}


def chosen_by(figure: str) -> tuple[str, ...]:
    """The choices that a figure is drawn for: training set, model and loss; training set and model; or none."""
    needed = {name for name, required in figures()[figure].items() if required}
    if "loss" in needed:
        return CHOICES
    return CHOICES[:2] if needed & {"model", "train_set"} else ()


def inputs(figure: str, experiment: Any, runs: Sequence[Any]) -> list[str]:
    """Every file that a figure of these runs is drawn from."""
    return [
        path
        for source in _sources(figure).values()
        for file in (source.file, *source.beside)
        for path in source.paths(file, experiment.config.paths.results, experiment, runs, runs)
    ]


def options(
    figure: str, folder: str, experiment: Any, runs: Sequence[Any], there: Collection[Any]
) -> list[str]:
    """Those files as command-line options of `figure.py`, with the names of the runs that are not there.

    Args:
        folder: where the files of the results are while the job runs.
        runs: all that the figure shows.
        there: those that are finished.
    """
    return [
        word
        for name, source in _sources(figure).items()
        for word in (option(name), *source.paths(source.file, folder, experiment, runs, there))
    ]


def settings(figure: str, experiment: Any) -> dict[str, Any]:
    """The settings of an experiment that a figure takes."""
    return {"train_sets": experiment.config.grid.train_sets} if "train_sets" in figures()[figure] else {}


def upstream(figure: str, keys: Any, runs: Sequence[Any]) -> list[str]:
    """The keys of the jobs that make those files."""
    return [
        getattr(keys, source.job)(*([] if owner is None else [owner]))
        for source in _sources(figure).values()
        for owner in source.owners(keys.jobs, runs)
    ]


def shows_runs(figure: str) -> bool:
    """Whether a figure is drawn from what runs gave, and not from the data alone."""
    return bool(set(_sources(figure)) - {"split", "tensors", "test_tensors"})


def option(name: str) -> str:
    """The command-line option of a parameter."""
    return f"--{name.replace('_', '-')}"


def _sources(figure: str) -> dict[str, Source]:
    return {name: SOURCES[name] for name in figures()[figure] if name in SOURCES}
