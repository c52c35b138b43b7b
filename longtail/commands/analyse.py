"""Analyse predictions that any program made: intervals, tests, tables, figures and a report, as of an experiment here.

Each TABLE (.csv or .parquet) has a row for each run and test image: image_id, label, and either predicted or a column
for each class, logit_CLASS or probability_CLASS. Columns model, loss (or whatever the method is called) and seed say
which run a row is of; a table without a column loss is of one method, called like the file. --train-counts has label
and n_train of each class, by which the classes are grouped.
"""

import argparse
import importlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from longtail.analysis import frames
from longtail.analysis.evaluation import evaluate, evaluate_classes
from longtail.analysis.foreign import Foreign, read_foreign
from longtail.analysis.grid import Grid, missing_runs, name_missing
from longtail.analysis.metrics import METRICS
from longtail.analysis.statistics.analyses import every_statistic
from longtail.analysis.statistics.correctness import read_correctness
from longtail.data.split.sets import CUTS, LIMITS, class_table, with_sets
from longtail.experiment.runs import PREDICTIONS, Run
from longtail.files.atomic import write_text
from longtail.files.folder import check_new, new_folder
from longtail.files.parquet import write_parquet
from longtail.files.text import printable
from longtail.inference.options import count_argument, given_path, given_text
from longtail.losses.base import Loss
from longtail.machine.terminal import Help, complain
from longtail.report import classes, counts, tables
from longtail.report.catalogue import CLASS_TABLES
from longtail.report.figures import style
from longtail.report.figures.sources import CHOICES, chosen_by, figures, tells
from longtail.report.index import NAME, index, packed
from longtail.report.pages import basis, write_page
from longtail.report.summary.answers import summarise
from longtail.report.summary.evidence import Evidence, Settings
from longtail.report.typeset import write_table
from longtail.report.webpage import webpage

TRAIN_SET = "longtailed"
NO_OWN_LOSS = "loss"
"""The metric that only who trained a run could compute."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="longtail analyse", description=__doc__, formatter_class=Help)
    parser.add_argument(
        "predictions", nargs="+", metavar="TABLE", type=given_path, help="predictions of one or several runs"
    )
    parser.add_argument(
        "--train-counts",
        required=True,
        metavar="TABLE",
        type=given_path,
        help="label and n_train, perhaps class_name, of each class",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", type=given_path, help="new folder for all that is made"
    )
    parser.add_argument(
        "--reference",
        metavar="NAME",
        type=given_text,
        help="loss that the others are compared with (default: softmax where it is there, else the first)",
    )
    parser.add_argument(
        "--groups",
        choices=CUTS,
        default="thirds",
        help="head, middle and tail (thirds of the classes) or many, medium and few (counts; default: thirds)",
    )
    parser.add_argument(
        "--group-limits",
        nargs=2,
        type=count_argument,
        metavar=("MORE", "FEWER"),
        help="with counts: more training images are many, fewer are few (default: {} {})".format(*LIMITS),
    )
    return parser


def main(words: Sequence[str] | None = None) -> int:
    own = parser()
    args = own.parse_args(words)
    more, fewer = args.group_limits or LIMITS
    if fewer > more:
        own.error(f"--group-limits {more} {fewer}: the first is not the smaller one")
    if args.group_limits and args.groups != "counts":
        own.error(f"--group-limits is for --groups counts, and the groups are {args.groups}")
    output = Path(args.output)
    try:
        check_new(output)  # before an hour's tables are read
        foreign = read_foreign(args.predictions, args.train_counts, groups=args.groups, limits=(more, fewer))
        reference = _reference(foreign, args.reference)
        with new_folder(output) as folder:
            told = analyse(foreign, folder, reference)
    except (OSError, ValueError) as error:
        complain(printable(str(error)))
        return 1
    for line in told:
        print(printable(line))
    print(
        printable(
            f"{output}/report.html: everything on one page; load_results({str(output)!r}) reads the numbers"
        )
    )
    return 0


def _reference(foreign: Foreign, wanted: str | None) -> str:
    losses = list(dict.fromkeys(run.loss for run in foreign.answers))
    if wanted and wanted not in losses:
        raise ValueError(f"--reference {wanted}: no run is of it; there are {', '.join(losses)}")
    return wanted or ("softmax" if "softmax" in losses else losses[0])


def analyse(foreign: Foreign, folder: Path, reference: str) -> list[str]:
    """Write all that the workflow makes of predictions, into a new folder of the same form.

    Args:
        reference: the loss that the others are compared with.

    Returns:
        Sentences on what was found, and on what is not there and why.
    """
    write_parquet(foreign.split, folder / "data/split.parquet")
    for run, answers in foreign.answers.items():
        write_parquet(answers, _predictions(folder, run))
    evaluation, per_class = _evaluate(foreign, folder)
    grid = Grid.of(evaluation)
    about = basis(evaluation, grid, None)
    correctness = read_correctness(folder / "runs", folder / "data/split.parquet", grid)
    statistics = every_statistic(evaluation, grid, correctness, reference)
    for name, table in statistics.items():
        write_page(name, table, about, folder / "statistics")
    sources = {
        "evaluation": evaluation,
        "per_class": per_class,
        "differences": statistics["paired_differences"],
        "split": foreign.split,
    }
    predictions = {
        model: frames.read_predictions([_predictions(folder, run) for run in grid.runs if run.model == model])
        for model in grid.models
    }
    _write_tables(folder, grid, sources, predictions)
    _draw_figures(folder, grid, sources, predictions, foreign.scored)
    summary = summarise(
        Evidence(
            evaluation=evaluation,
            statistics=statistics,
            thesis=pd.DataFrame(),
            published=pd.DataFrame(),
            settings=Settings("", 1.0, None, reference, model_files=False),
        )
    )
    write_text(folder / "summary.md", summary)
    write_text(folder / "summary.html", webpage(summary, "Summary", back=NAME))
    drawn, made = (
        sorted(path.stem for path in folder.glob(kind)) for kind in ("figures/*.png", "tables/*.html")
    )
    page = index(folder, evaluation, drawn, made, {})
    write_text(folder / NAME, page)
    write_text(folder / "report.html", packed(page, folder))
    return list(_notes(foreign, grid, about))


class _Unknown(Loss):
    """The loss that a run of another program was trained with: no value is known of it."""

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        return logits.new_full((len(labels),), torch.nan)


def _evaluate(foreign: Foreign, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The metrics of all runs and those of their classes, as the workflow's evaluation has them, and their files."""
    test = foreign.split[foreign.split["subset"] == "test"]
    own = class_table(foreign.split, TRAIN_SET)
    metrics, per_class = {}, {}
    needs_logits = [name for name, metric in METRICS.items() if metric.of == "logits"]
    every = Grid(*(tuple(dict.fromkeys(names)) for names in zip(*foreign.answers, strict=True))).runs
    paths = {run: _predictions(folder, run) for run in every}
    loss = _Unknown(torch.tensor(own["n_train"].to_numpy()))
    for run, answers in foreign.answers.items():
        images = with_sets(answers.drop(columns="logits"), test)
        logits = np.stack(answers["logits"].to_list())
        table = evaluate(images, logits, loss)
        if run not in foreign.scored:
            table.loc[table["metric"].isin(needs_logits), "value"] = np.nan
        metrics[paths[run]] = table[table["metric"] != NO_OWN_LOSS].reset_index(drop=True)
        per_class[paths[run]] = evaluate_classes(images, logits, own)
    evaluation = frames.combine([*paths.values()], metrics, ["value"])
    classes_of_runs = frames.combine([*paths.values()], per_class, ["acc", "f1"], ["n_train"])
    write_parquet(evaluation, folder / "evaluation.parquet")
    write_parquet(classes_of_runs, folder / "per_class.parquet")
    return evaluation, classes_of_runs


def _write_tables(
    folder: Path, grid: Grid, sources: Mapping[str, pd.DataFrame], predictions: Mapping[str, pd.DataFrame]
) -> None:
    for name in ("model_summary", "loss_summary"):
        write_table(tables.TABLES[name](sources["evaluation"]), folder / "tables", name, name)
    for name in ("class_groups", "test_distributions"):
        write_table(tables.TABLES[name](sources["per_class"]), folder / "tables", name, name)
    write_table(counts.TABLES["counts"](sources["split"], [TRAIN_SET]), folder / "tables", "counts", "counts")
    for model in grid.models:
        place = folder / "tables" / TRAIN_SET / model
        for name in ("top1", "full"):
            table = tables.TABLES[name](sources["evaluation"], TRAIN_SET, model)
            write_table(table, place, name, f"{name}-{TRAIN_SET}-{model}")
        for name, loss in itertools.product(CLASS_TABLES, grid.losses):
            table = classes.TABLES[name](predictions[model], sources["split"], TRAIN_SET, model, loss)
            write_table(table, place, f"{name}_{loss}")


def _draw_figures(
    folder: Path,
    grid: Grid,
    sources: Mapping[str, pd.DataFrame],
    predictions: Mapping[str, pd.DataFrame],
    scored: Collection[Run],
) -> None:
    """Every figure that is drawn from predictions, for whatever it is drawn for."""
    for model in (None, *grid.models):
        given: dict[str, Any] = {**sources, "train_sets": [TRAIN_SET]}
        if model:
            given["predictions"] = predictions[model]
            of_scores = [
                _predictions(folder, run) for run in grid.runs if run.model == model and run in scored
            ]
            if of_scores:
                given["confidences"] = frames.read_confidences(of_scores, logit_scale=1.0)
        for name, taken in figures().items():
            chosen = chosen_by(name)
            if not tells(name, grid.models, grid.losses):
                continue
            needed = {parameter for parameter, required in taken.items() if required} - {*CHOICES}
            if bool(chosen) != bool(model) or not needed <= {*given}:
                continue
            used = needed | ({"train_sets"} & {*taken})
            for loss in grid.losses if "loss" in chosen else (None,):
                choice = dict(zip(CHOICES, (TRAIN_SET, model, loss), strict=True))
                options = {parameter: choice[parameter] for parameter in chosen}
                place = folder.joinpath("figures", *filter(None, options.values()))
                draw = importlib.import_module(f"longtail.report.figures.{name}").draw
                drawn = draw(**{parameter: given[parameter] for parameter in used}, **options)
                style.publish(drawn, [place / f"{name}.pdf", place / f"{name}.png"], place / f"{name}.txt")


def _predictions(folder: Path, run: Run) -> Path:
    return folder / "runs" / str(run) / PREDICTIONS


def _notes(foreign: Foreign, grid: Grid, about: str) -> Iterator[str]:
    yield about
    if absent := missing_runs(pd.DataFrame([*foreign.answers]), grid):
        yield f"{len(absent)} of {len(grid.runs)} runs of this grid are {name_missing(absent)}"
    if unscored := [run for run in foreign.answers if run not in foreign.scored]:
        yield (
            f"{len(unscored)} of {len(foreign.answers)} runs tell the predicted class alone, so they have no "
            "cross-entropy and no calibration"
        )
    if foreign.passed_over:
        names = ", ".join(foreign.passed_over[:8])
        yield f"passed over: the column{'s' * (len(foreign.passed_over) > 1)} {names}"
