"""Metrics of all runs on the five test sets in one file, and per class in another, from their predictions.

A run whose predictions are not there (it failed or was not run) is in both files with NaN in place of its numbers.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import argparse
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from longtail.analysis.evaluation import class_table, evaluate, evaluate_classes
from longtail.data.split.sets import with_sets
from longtail.experiment.runs import combine, run_of
from longtail.files.parquet import read_parquet, write_parquet
from longtail.losses import build_loss


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="folder of every run there should be, …/{train_set}/{model}/{loss}/seed{seed}, "
        "or @FILE with one on each line",
    )
    parser.add_argument(
        "--split",
        required=True,
        metavar="FILE",
        help="split.parquet, for test sets, classes and their counts",
    )
    parser.add_argument(
        "--losses",
        required=True,
        type=json.loads,
        metavar="JSON",
        help='what each loss computes, by its name: \'{"focal": {"loss": "focal", "loss_parameters": {"gamma": 2}}}\'',
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="one row per run, test set and metric (.parquet)"
    )
    parser.add_argument(
        "--output-per-class", required=True, metavar="FILE", help="one row per run and class (.parquet)"
    )
    return parser.parse_args()


def evaluate_run(
    path: Path, split: pd.DataFrame, classes: Mapping[str, pd.DataFrame], losses: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metrics of a run on the test sets, and per class.

    Args:
        classes: `class_table` of each training set.

    Raises:
        OSError, ValueError: its predictions cannot be read, or do not fit the split or its loss; names the file.
    """
    run = run_of(path)
    if run["loss"] not in losses:
        raise ValueError(f"{path} is of the loss {run['loss']}, and --losses has {', '.join(losses)}")
    try:
        predictions = with_sets(read_parquet(path, ["image_id", "label", "logits"]), split)
        own, settings = classes[run["train_set"]], losses[run["loss"]]
        counts = torch.tensor(own["n_train"].to_numpy())
        loss = build_loss(settings["loss"], counts, **settings["loss_parameters"])
        return evaluate(predictions, loss), evaluate_classes(predictions, own)
    except (OSError, ValueError) as error:
        raise ValueError(f"{error} (evaluating {path})") from error


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)  # the work is far too small for more
    paths = [folder / "predictions.parquet" for folder in args.runs]
    try:
        split = read_parquet(args.split, ["image_id", "label", "class_name", "subset", "longtailed", "group"])
        classes = {name: class_table(split, name) for name in {run_of(path)["train_set"] for path in paths}}
        test = split[split["subset"] == "test"]
        found = {path: evaluate_run(path, test, classes, args.losses) for path in paths if path.is_file()}
        metrics = {path: tables[0] for path, tables in found.items()}
        per_class = {path: tables[1] for path, tables in found.items()}
        write_parquet(combine(paths, metrics, ["value"]), args.output)
        write_parquet(combine(paths, per_class, ["acc", "f1"], ["n_train"]), args.output_per_class)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.output}: {len(found)} of {len(paths)} runs", flush=True)
    for path in paths:
        if path not in found:
            print(f"missing: {path.parent}", flush=True)


if __name__ == "__main__":
    main()
