"""The statistics as tables to print, each with how many seeds and images it rests on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from longtail.analysis.grid import Grid, missing_runs, name_missing, scores
from longtail.analysis.metrics import METRICS
from longtail.data.split.sets import groups_of, tested_sets
from longtail.report.captions import CLUSTERS, in_groups
from longtail.report.catalogue import STATISTICS, THESIS_STATISTICS
from longtail.report.labels import label
from longtail.report.typeset import Table, write_table

NAMES = ("model", "train_set", "test_set", "loss", "reference", "a", "b")
PERCENT = ("difference", "low", "high", "mean", "sd", "margin", "detectable")
HEADINGS = {
    "train_set": "Trained on",
    "test_set": "Tested on",
    "loss": "Loss function",
    "p_holm": "p (Holm)",
    "p_dunnett": "p (Dunnett)",
    "p_log_odds": "p (log odds)",
    "p_nemenyi": "p (Nemenyi)",
    "p_wilcoxon": "p (Wilcoxon)",
    "p_low": "p, least",
    "p_high": "p, largest",
    "p_holm_low": "p (Holm), least",
    "p_holm_high": "p (Holm), largest",
    "chi2": "χ²",
    "sum_sq": "Sum of squares",
    "partial_eta_squared": "partial η²",
    "omega_squared": "ω²",
    "critical_difference": "CD",
    "clusters": "Groups",
    "n": "Images",
    "margin": "Margin (TOST)",
    "detectable": "Detectable",
}


def page(name: str, data: pd.DataFrame, basis: str) -> Table:
    """A statistic as a table to print. Equal notes are printed once, below it, and their numbers in the rows.

    Args:
        name: one of `STATISTICS` or `THESIS_STATISTICS` of the catalogue.
        data: with a column `note`; accuracies and their differences are fractions, printed in percent.
        basis: the sentences that the function `basis` returns.
    """
    about = (STATISTICS | THESIS_STATISTICS)[name]
    shown = data[data["metric"] == "acc1"] if name == "descriptive" else data
    if CLUSTERS in shown and (shown[CLUSTERS].isna() | (shown[CLUSTERS] == shown["n"])).all():
        shown = shown.drop(columns=CLUSTERS)
    places = {note: place for place, note in enumerate(filter(None, dict.fromkeys(shown["note"])), start=1)}
    printed = {name: [cell(value, name) for value in shown[name]] for name in shown if name != "note"}
    printed["note"] = [str(places.get(note, "")) for note in shown["note"]]
    kept = {
        name: cells for place, (name, cells) in enumerate(printed.items()) if place < about.keys or any(cells)
    }
    headings = [HEADINGS.get(name, name.replace("_", " ").capitalize()) for name in kept]
    text = pd.DataFrame(dict(zip(headings, kept.values(), strict=True)), index=shown.index)
    listed = tuple(f"{place}. {note[0].upper()}{note[1:]}." for note, place in places.items())
    return Table(data, text, f"{about.caption} {basis}", keys=about.keys, notes=listed)


def write_page(name: str, data: pd.DataFrame, basis: str, folder: str | Path) -> None:
    """Write `name`.csv, with all digits, and `name`.md and .html, as `page` has it."""
    write_table(page(name, data, basis), folder, name)


def basis(evaluation: pd.DataFrame, grid: Grid, data_seed: int | None) -> str:
    """How many training seeds, data seeds and test images there are, how these nest, and which runs are missing."""
    found = scores(evaluation, grid)
    seeds = ", ".join(map(str, grid.seeds))
    split = "" if data_seed is None else f" (data seed {data_seed})"
    images = evaluation[evaluation["metric"] == "acc1"]
    plural = "1 training seed" if len(grid.seeds) == 1 else f"{len(grid.seeds)} training seeds"
    absent = missing_runs(found, grid)
    runs = f"Runs: {len(grid.runs) - len(absent)} of {len(grid.runs)}"
    return (
        f"{plural} ({seeds}), 1 data split{split}. Test images: {nested(images.groupby('test_set')['n'].max())}."
        f"{in_groups(images)} {runs}" + (f"; {name_missing(absent)}" if absent else "") + "."
    )


def nested(images: pd.Series) -> str:
    """How many images each test set holds, and which of them are parts of which."""
    count = {name: f"{label(name).lower()} {images.get(name, 0):,.0f}" for name in tested_sets(images.index)}
    groups = ", ".join(count[name] for name in groups_of(images.index))
    if images.get("longtailed", 0) <= images.get("balanced", 0):
        return f"{count['balanced']}, of them {count['longtailed']}, of these {groups}"
    return f"{count['longtailed']}, of them {count['balanced']}; and, of the long-tailed ones, {groups}"


def cell(value: Any, name: str) -> str:
    """One value as it is printed in a column of that name; empty if it is missing."""
    if pd.isna(value):
        return ""
    if name == "metric":
        return METRICS[value].label
    if name in NAMES:
        return label(str(value))
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if name == "p" or name.startswith("p_"):
        return p_value(value)
    if name in PERCENT:
        return f"{100 * value:z.2f}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def p_value(p: float) -> str:
    """p with three digits after the point, or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
