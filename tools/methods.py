"""The tables of docs/methods.md: what each method is, its published and measured accuracy, all of them on the digits,
and the fine-tuning of a real backbone.

python tools/methods.py record results/methods-digits   # finished runs of config/methods-digits.yaml
python tools/methods.py write                           # the tables of the document
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# The frame of the programs, which puts the library beside them on the path, and the other tools.
for folder in ("workflow/scripts", "."):
    sys.path.append(str(Path(__file__).resolve().parents[1] / folder))

import pandas as pd
from scipy.stats import t

from longtail.data.split.sets import CUTS
from longtail.files.atomic import atomic_path, write_text
from longtail.files.csv import read_csv
from longtail.report.labels import label
from longtail.report.references import references
from longtail.report.typeset import fill
from tools.measured_results import MEASURED, PUBLISHED, ROOT, start

METHODS = ROOT / "resources" / "methods.csv"
ON_DIGITS = ROOT / "resources" / "digits_results.csv"
FINE_TUNING = ROOT / "resources" / "gpu_day" / "finetuning.json"
TUNED = {
    "lite0_thesis": "all weights, the thesis's recipe",
    "lite0": "all weights, the modern recipe",
    "lite0_norm": "normalisations and head, the modern recipe",
    "lite0_head": "the head alone, the modern recipe",
}
"""What the models of config/finetuning.yaml stand for."""
DOCUMENT = ROOT / "docs" / "methods.md"
GOLDEN = "tests/golden/"
BENCHMARKS = {"CIFAR10-LT": "cao2019-cifar10", "CIFAR100-LT": "cao2019"}
"""The benchmarks, and the protocol by which each is measured."""


def numbers() -> tuple[Any, ...]:
    """What the tables are made of: the arguments of `document_tables`."""
    runs = json.loads(FINE_TUNING.read_text())["items"].values()
    return *map(read_csv, (METHODS, PUBLISHED, MEASURED, ON_DIGITS)), runs


def document_tables(
    methods: pd.DataFrame,
    published: pd.DataFrame,
    measured: pd.DataFrame,
    digits: pd.DataFrame,
    fine_tuned: Iterable[Mapping[str, Any]],
) -> dict[str, pd.DataFrame]:
    """The tables of docs/methods.md by name, their cells as printed.

    Args:
        methods: resources/methods.csv.
        published: resources/published_results.csv. Of several numbers of a method on a
            benchmark the first one is shown.
        measured: resources/measured_results.csv.
        digits: resources/digits_results.csv.
        fine_tuned: the runs that benchmarks/gpu_day.py noted of config/finetuning.yaml.
    """
    return {
        "methods": _methods(methods, published, measured),
        "digits": _digits(digits, methods),
        "finetuning": _fine_tuning(pd.DataFrame(fine_tuned)),
    }


def _methods(methods: pd.DataFrame, published: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    names = {key: f"{entry.authors}, {entry.year}" for key, entry in references().items()}
    theirs = {
        name: published[published["dataset"] == f"{name} IR100"].dropna(subset="loss").groupby("loss").first()
        for name in BENCHMARKS
    }
    ours = {
        name: measured[measured["protocol"] == protocol].groupby("loss")[["hits", "images"]].sum()
        for name, protocol in BENCHMARKS.items()
    }
    rows = []
    for row in methods.fillna("").itertuples():
        cells = {
            "Method": row.method,
            "How": row.settings,
            "It changes": row.changes,
            "Paper": "; ".join(names[key] for key in row.papers.split()),
            "File": f"`{row.file}`",
            "Agrees with": f"`{GOLDEN}{row.golden}`" if row.golden.endswith(".json") else row.golden,
        }
        for name in BENCHMARKS:
            known, counts = row.name in theirs[name].index, ours[name]
            cells[f"{name}, published"] = f"{theirs[name].top1[row.name]:.1f}" if known else ""
            share = 100 * counts["hits"] / counts["images"]
            cells[f"{name}, ours"] = f"{share[row.name]:.1f}" if row.name in share else ""
        rows.append(cells)
    return pd.DataFrame(rows)


def _digits(digits: pd.DataFrame, methods: pd.DataFrame) -> pd.DataFrame:
    names = methods.set_index("name")["method"]
    order = digits["loss"].drop_duplicates()
    groups = digits.groupby("loss")
    # A name that tables know has a label; another one is printed as it is written.
    printed = [names.get(name, label(name)) if label(name)[0].islower() else label(name) for name in order]
    table = pd.DataFrame({"Method": printed})
    for column in ("all", *CUTS["thirds"]):
        mean, spread = groups[column].mean()[order], groups[column].std()[order]
        table[column.capitalize()] = [f"{a:.1f} ± {b:.1f}" for a, b in zip(mean, spread, strict=True)]
    return table.assign(Seeds=groups["seed"].nunique()[order].astype(str).to_list())


def _fine_tuning(runs: pd.DataFrame) -> pd.DataFrame:
    """One row for each way of fine-tuning: means over the seeds, and the interval of the first one."""
    rows = []
    for model, trained in TUNED.items():
        own = runs[runs["model"] == model]
        top1, seeds = 100 * own["hits"] / own["images"], len(own)
        half = t.ppf(0.975, seeds - 1) * top1.std() / seeds**0.5
        shots = " / ".join(f"{own[shot].mean():.1f}" for shot in CUTS["counts"])
        rows.append(
            {
                "Trained": trained,
                "Top-1 [95 %]": f"{top1.mean():.1f} [{top1.mean() - half:.1f}, {top1.mean() + half:.1f}]",
                "Many / medium / few": shots,
                "Seeds": str(seeds),
                "Seconds of a run": f"{own['seconds'].mean():.0f}",
            }
        )
    return pd.DataFrame(rows)


def on_digits(per_class: pd.DataFrame) -> pd.DataFrame:
    """One row for each run: loss, seed, and the mean accuracy (percent) of all classes and of those of each group.

    Args:
        per_class: per_class.parquet of config/methods-digits.yaml.
    """
    runs = per_class[["loss", "seed"]].drop_duplicates(ignore_index=True)
    grouped = per_class.groupby(["loss", "seed", "group"], observed=True)["acc"].mean().unstack()
    table = (
        per_class.groupby(["loss", "seed"])["acc"].mean().to_frame("all").join(grouped[list(CUTS["thirds"])])
    )
    return runs.join((100 * table).round(2), on=["loss", "seed"])


def record(folder: Path) -> None:
    """Put the runs of a folder of results into the csv, each in the place of the same method and seed."""
    found = on_digits(pd.read_parquet(folder / "per_class.parquet"))
    table = pd.concat([read_csv(ON_DIGITS), found]) if ON_DIGITS.is_file() else found
    table = table.drop_duplicates(["loss", "seed"], keep="last")
    order = {name: place for place, name in enumerate(["softmax", *read_csv(METHODS)["name"]])}
    table = table.sort_values(
        ["loss", "seed"], key=lambda column: column.map(order) if column.name == "loss" else column
    )
    with atomic_path(ON_DIGITS) as path:
        table.to_csv(path, index=False)
    print(f"{ON_DIGITS}: {len(found)} runs of {folder}", flush=True)


def write() -> None:
    """Put the tables into the document."""
    tables = document_tables(*numbers())
    write_text(DOCUMENT, fill(DOCUMENT.read_text(encoding="utf-8"), tables))


if __name__ == "__main__":
    start(__doc__, record, write)
