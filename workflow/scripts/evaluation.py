"""Metrics of all runs on the five test sets in one file, and per class in another, from their predictions; if wanted,
those of ensembles over seeds in a third.

A run that is named as missing (it failed or was not run) is in both files with NaN in place of its numbers. What is
already in the files is taken over where it was made from the same predictions and split by the same code, loss and
packages; so one more run costs no second evaluation of the others.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from frame import Namespace, program, run

from longtail.analysis.evaluation import Ensemble, evaluate, evaluate_classes
from longtail.analysis.frames import check_answered, combine, read_answers, read_evaluated, require_files
from longtail.analysis.tables import ENSEMBLES
from longtail.data.split.sets import SPLIT, class_table, with_sets
from longtail.experiment.runs import PATTERN, PREDICTIONS, Run
from longtail.files.parquet import read_about, write_parquet
from longtail.files.regular import check_regular
from longtail.files.sealed_json import REMEDY
from longtail.losses import build_loss

COMPUTE = ("numpy", "pandas", "scipy", "scikit-learn", "torch")
"""The packages whose versions may change the last digits of a value."""
Tables = tuple[pd.DataFrame, pd.DataFrame]
"""What `evaluate_run` returns."""


def evaluate_run(
    path: Path,
    split: pd.DataFrame,
    classes: Mapping[str, pd.DataFrame],
    losses: Mapping[str, Any],
    known: Tables | None,
    ensemble: Ensemble | None,
) -> Tables:
    """Metrics of a run on the test sets, and per class.

    Args:
        classes: `class_table` of each training set.
        known: what is returned, where an earlier evaluation found it.
        ensemble: the run becomes a member of it; None: it is wanted for none.

    Raises:
        OSError, ValueError: its predictions cannot be read, or do not fit the split or its loss; names the file.
    """
    if known and ensemble is None:
        return known
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
        if ensemble is not None:
            ensemble.add(images, logits, loss)
        return known or (evaluate(images, logits, loss), evaluate_classes(images, logits, own))
    except (OSError, ValueError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{error} (evaluating {path})") from error


def hash_of(path: Path) -> str:
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keys_of(paths: list[Path], split: Path, losses: Mapping[str, Any]) -> dict[Path, str]:
    """A hash of all that the metrics of each run depend on, where the settings say what its loss's evaluation does.

    Raises:
        OSError, ValueError: a file is not there, or no regular one.
    """
    same = [hash_of(split), *map(version, COMPUTE)]
    found = {}
    for path in paths:
        if key := losses.get(Run.of_file(path).loss, {}).get("key"):
            content = json.dumps([key, hash_of(path), *same])
            found[path] = hashlib.sha256(content.encode()).hexdigest()[:20]
    return found


def earlier_tables(args: Namespace, keys: Mapping[Path, str]) -> dict[Path, Tables]:
    """What both outputs, as an earlier evaluation left them, hold of the runs with the same keys as now.

    Raises:
        OSError, ValueError: the predictions of one of them are of another model than the one beside them.
    """
    try:
        metrics, per_class = read_evaluated(args.output), read_evaluated(args.output_per_class)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        print(f"All runs are evaluated anew, since of the earlier evaluation {error}", flush=True)
        return {}
    found = {}
    for path, key in keys.items():
        (own, table), (own_per_class, classes) = (
            tables.get(Run.of_file(path), ("", pd.DataFrame())) for tables in (metrics, per_class)
        )
        if own == own_per_class == key:
            check_answered(path)
            found[path] = table, classes
    return found


def earlier_ensembles(path: Path) -> tuple[dict[str, str], pd.DataFrame]:
    """The keys of ensembles by their names, and the rows of them, as an earlier evaluation left them."""
    try:
        return read_about(path).get("keys", {}), ENSEMBLES.read(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        print(f"All ensembles are evaluated anew, since of the earlier evaluation {error}", flush=True)
    return {}, pd.DataFrame(columns=list(ENSEMBLES.columns))


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
    keys = keys_of(there, args.split, args.settings)
    earlier = earlier_tables(args, keys)
    found: dict[Path, Tables] = {}
    known, rows = earlier_ensembles(args.output_ensembles) if args.output_ensembles else ({}, pd.DataFrame())
    ensembles, tables = {}, [pd.DataFrame(columns=list(ENSEMBLES.columns))]
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in there:
        groups.setdefault(Run.of_file(path)[:3], []).append(path)  # those of all seeds
    # One at a time, since the sums of all of them may not fit into memory.
    for names, members in groups.items():
        ensemble = Ensemble() if args.output_ensembles and len(members) > 1 else None
        if ensemble and all(path in keys for path in members):
            name, content = "/".join(names), json.dumps([keys[path] for path in members])
            ensembles[name] = hashlib.sha256(content.encode()).hexdigest()[:20]
            if known.get(name) == ensembles[name]:
                tables.append(rows[(rows[list(ENSEMBLES.key[:3])] == list(names)).all(axis=1)])
                ensemble = None
        for path in members:
            found[path] = evaluate_run(path, test, classes, args.settings, earlier.get(path), ensemble)
        if ensemble:
            named = dict(zip(ENSEMBLES.key, names, strict=False))
            tables.append(ensemble.table().assign(**named)[list(ENSEMBLES.columns)])
    metrics = {path: tables[0] for path, tables in found.items()}
    per_class = {path: tables[1] for path, tables in found.items()}
    made_by = {str(Run.of_file(path)): digest for path in there if (digest := read_about(path).get("model"))}
    by_run = {"keys": {str(Run.of_file(path)): key for path, key in keys.items()}}
    write_parquet(combine(paths, metrics, ["value"]), args.output, {"models": made_by, **by_run})
    write_parquet(combine(paths, per_class, ["acc", "f1"], ["n_train"]), args.output_per_class, by_run)
    if args.output_ensembles:
        write_parquet(
            pd.concat(tables[1:] or tables, ignore_index=True), args.output_ensembles, {"keys": ensembles}
        )
    taken_over = f", {len(earlier)} of them as evaluated before" if earlier else ""
    print(f"{args.output}: {len(found)} of {len(paths)} runs{taken_over}", flush=True)
    for path in paths:
        if path not in found:
            print(f"missing: {path}", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        split="split.parquet: test sets, classes and their counts",
        takes='what each loss computes, by its name: {"focal": {"loss": "focal", "loss_parameters": {"gamma": 2}}}; a '
        '"key" in it, which has to change with the code, lets what was evaluated before be taken over',
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
