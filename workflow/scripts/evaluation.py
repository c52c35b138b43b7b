"""Metrics of all runs on the five test sets in one file, and per class in another, from their predictions; if wanted,
those of ensembles over seeds in a third.

A run that is named as missing (it failed or was not run) is in both files with NaN in place of its numbers.
"""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from frame import Namespace, program, run

from longtail.analysis.evaluation import Ensemble, evaluate, evaluate_classes
from longtail.analysis.frames import combine, read_answers, require_files
from longtail.analysis.tables import ENSEMBLES
from longtail.data.split.sets import SPLIT, class_table, with_sets
from longtail.experiment.runs import PATTERN, PREDICTIONS, Run
from longtail.files.parquet import read_about, write_parquet
from longtail.files.sealed_json import REMEDY
from longtail.losses import build_loss


def evaluate_run(
    path: Path,
    split: pd.DataFrame,
    classes: Mapping[str, pd.DataFrame],
    losses: Mapping[str, Any],
    ensemble: Ensemble,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metrics of a run on the test sets, and per class.

    Args:
        classes: `class_table` of each training set.
        ensemble: the run becomes a member of it.

    Raises:
        OSError, ValueError: its predictions cannot be read, or do not fit the split or its loss; names the file.
    """
    own_run = Run.of_file(path)
    if own_run.loss not in losses:
        raise ValueError(f"{path} is of the loss {own_run.loss}, and --settings has {', '.join(losses)}")
    try:
        answered, logits = read_answers(path)
        images = with_sets(answered, split)
        if len(images) < len(split):
            lacking = split["image_id"][~split["image_id"].isin(images["image_id"])].iloc[0]
            raise ValueError(
                f"{path} lacks {len(split) - len(images)} of the {len(split)} test images of the split, such as "
                f"id {lacking}. {REMEDY}"
            )
        own, described = classes[own_run.train_set], losses[own_run.loss]
        counts = torch.tensor(own["n_train"].to_numpy())
        loss = build_loss(described["loss"], counts, **described["loss_parameters"]).eval()
        ensemble.add(images, logits, loss)
        return evaluate(images, logits, loss), evaluate_classes(images, logits, own)
    except (OSError, ValueError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{error} (evaluating {path})") from error


def but_seed(path: Path) -> tuple[str, ...]:
    """Model, loss and training set of the run that a file is of."""
    return Run.of_file(path)[:3]


def main(args: Namespace) -> None:
    torch.set_num_threads(1)  # the work is far too small for more
    missing = {Run.of(name) for name in args.missing}
    runs = {folder: Run.of(folder) for folder in args.runs}
    paths = [
        Path(str(run)) if run in missing else args.folder / folder / PREDICTIONS
        for folder, run in runs.items()
    ]
    there = [path for path in paths if path.name == PREDICTIONS]
    require_files(there)
    split = SPLIT.read(args.split)
    classes = {name: class_table(split, name) for name in {run.train_set for run in runs.values()}}
    test = split[split["subset"] == "test"]
    found, ensembles = {}, [pd.DataFrame(columns=list(ENSEMBLES.columns))]
    # One at a time, since the sums of all of them may not fit into memory.
    order = list(dict.fromkeys(map(but_seed, there)))
    for key, members in groupby(sorted(there, key=lambda path: order.index(but_seed(path))), but_seed):
        ensemble = Ensemble()
        found |= {path: evaluate_run(path, test, classes, args.settings, ensemble) for path in members}
        if ensemble.members > 1:
            named = dict(zip(ENSEMBLES.key, key, strict=False))
            ensembles.append(ensemble.table().assign(**named)[list(ENSEMBLES.columns)])
    metrics = {path: tables[0] for path, tables in found.items()}
    per_class = {path: tables[1] for path, tables in found.items()}
    made_by = {str(Run.of_file(path)): digest for path in there if (digest := read_about(path).get("model"))}
    write_parquet(combine(paths, metrics, ["value"]), args.output, {"models": made_by})
    write_parquet(combine(paths, per_class, ["acc", "f1"], ["n_train"]), args.output_per_class)
    if args.output_ensembles:
        write_parquet(pd.concat(ensembles[1:] or ensembles), args.output_ensembles)
    print(f"{args.output}: {len(found)} of {len(paths)} runs", flush=True)
    for path in paths:
        if path not in found:
            print(f"missing: {path}", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        split="split.parquet: test sets, classes and their counts",
        takes='what each loss computes, by its name: {"focal": {"loss": "focal", "loss_parameters": {"gamma": 2}}}',
        output="one row per run, test set and metric (.parquet)",
        output_per_class="one row per run and class (.parquet)",
    )
    folders = f"folder of every run there should be, …/{PATTERN}, or @FILE with one on each line"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=folders)
    parser.add_argument("--folder", type=Path, default=Path(), help="where those folders are")
    parser.add_argument(
        "--output-ensembles",
        type=Path,
        metavar="PATH",
        help="a row for each ensemble over seeds and test set (.parquet)",
    )
    missing = f"runs among them that are not there, by their names: {PATTERN}"
    parser.add_argument("--missing", nargs="+", default=[], metavar="RUN", help=missing)
    run(main, parser)
