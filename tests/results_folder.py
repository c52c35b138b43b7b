"""A results folder of runs whose correct images are given, for tests of what comes after the evaluation."""

import itertools
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pandas as pd

from longtail.files.parquet import write_parquet

SIZES = {"head": 40, "middle": 20, "tail": 10}  # of the long-tailed test set; the balanced one has 40 of each
PER_GROUP = 40


def images() -> pd.DataFrame:
    """The split of the test images: three classes, one of each group."""
    frames = [
        pd.DataFrame({"group": group, "label": label, "longtailed": np.arange(PER_GROUP) < size})
        for label, (group, size) in enumerate(SIZES.items())
    ]
    return pd.concat(frames, ignore_index=True).rename_axis("image_id").reset_index()


def write_results(
    folder: Path,
    correct: Callable[[str, str, str, int, str], int],
    models: Collection[str],
    losses: Collection[str],
    seeds: Collection[int] = (42,),
    train_sets: Collection[str] = ("balanced", "longtailed"),
    missing: Collection[tuple[str, str, str, int]] = (),
    night: int = 1,
) -> Path:
    """Predictions of every run, the evaluation of all, and the split.

    Args:
        correct: from model, loss, train_set, seed and group to how many of the group's first images are right.
        missing: runs (model, loss, train_set, seed) that failed: NaN in the evaluation, no predictions.
        night: so many images in a row, of one class, are of one night, and so not independent; 1: all are.
    """
    table, rows = images(), []
    clusters = table["image_id"] // night
    if night > 1:
        table["cluster"] = clusters
    labels, longtailed = table["label"].to_numpy(), table["longtailed"].to_numpy()
    place = table.groupby("label").cumcount().to_numpy()
    members = {"balanced": longtailed | True, "longtailed": longtailed}
    members |= {group: longtailed & (labels == label) for label, group in enumerate(SIZES)}
    counts = {name: (int(chosen.sum()), clusters[chosen].nunique()) for name, chosen in members.items()}
    for train_set, model, loss, seed in itertools.product(train_sets, models, losses, seeds):
        run = (model, loss, train_set, seed)
        right = place < np.array([correct(*run, group) for group in SIZES])[labels]
        for test_set, chosen in members.items():
            value = np.nan if run in missing else right[chosen].mean()
            by_class = [right[chosen & (labels == label)].mean() for label in np.unique(labels[chosen])]
            rows.append((*run, test_set, "acc1", value, *counts[test_set]))
            rows.append((*run, test_set, "mean_class_acc", np.mean(by_class) + value * 0, *counts[test_set]))
        if run not in missing:
            predicted = np.where(right, labels, (labels + 1) % 3)
            logits = list(np.eye(3, dtype=np.float32)[predicted])
            path = folder / "runs" / train_set / model / loss / f"seed{seed}" / "predictions.parquet"
            write_parquet(table[["image_id", "label"]].assign(logits=logits), path)
    columns = ["model", "loss", "train_set", "seed", "test_set", "metric", "value", "n", "clusters"]
    write_parquet(pd.DataFrame(rows, columns=columns), folder / "evaluation.parquet")
    write_parquet(table, folder / "data/split.parquet")
    return folder
