"""The measured half of docs/published.md: one row for each run of a published protocol, and the tables made of them.

python tools/measured_results.py record results/cao2019      # finished runs of config/cao2019.yaml or cifar10-lt.yaml
python tools/measured_results.py record resources/gpu_day    # those of benchmarks/gpu_day.py published and cifar10
python tools/measured_results.py write                       # the tables of the document
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# The frame of the programs, which puts the library beside them on the path.
sys.path.append(str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

import numpy as np
import pandas as pd
from frame import program, run

from longtail.data.split.sets import CUTS, frequency_groups
from longtail.experiment.runs import HISTORY, MODEL, PREDICTIONS, RECORD, Run, found_in
from longtail.files.atomic import atomic_path, write_text
from longtail.files.csv import read_csv
from longtail.files.sealed_json import unseal
from longtail.models.card import read_card
from longtail.report.labels import label

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "resources" / "measured_results.csv"
PUBLISHED = ROOT / "resources" / "published_results.csv"
DOCUMENT = ROOT / "docs" / "published.md"
SAME_RUN = ["protocol", "model", "loss", "seed", "precision", "processor"]
"""A run that is recorded again replaces the row that agrees with it in these."""
WHOLE = ["images", "hits", "epochs", "best_epoch", "best_hits", "threads", "seconds"]
"""The columns of whole numbers."""
EPOCHS = 200
"""The epochs of the protocols. Published numbers of longer training stand apart."""


class Protocol(NamedTuple):
    """One of the published protocols.

    Attributes:
        name: as resources/published_results.csv calls it.
        classes: of its data set, by which a run is known to be of it.
        folder: of its rows, in config/published.
        whole: the configuration that trains all of them.
        part: of benchmarks/gpu_day.py, whose record has its runs.
        suffix: of the names of its tables in the document.
    """

    name: str
    classes: int
    folder: str
    whole: str
    part: str
    suffix: str


PROTOCOLS = (
    Protocol("cao2019", 100, "cifar100-lt", "cao2019.yaml", "published", ""),
    Protocol("cao2019-cifar10", 10, "cifar10-lt", "cifar10-lt.yaml", "cifar10", "-cifar10"),
)


def measured(folder: str | Path) -> dict[str, Any]:
    """One run of the protocol, in numbers, from the files of its folder.

    `hits` of `images` is its top-1 after the last epoch; `many`, `medium` and `few` are in percent. `best_epoch` is the
    one with the highest top-1 on the test set, which is what much published code reports, and `best_hits` its hits.
    A variant was not trained, so it has no epochs and no best one.
    """
    folder = Path(folder)
    name, card = Run.of(folder), read_card(folder / MODEL)
    predictions = pd.read_parquet(folder / PREDICTIONS)
    predicted = np.stack(predictions["logits"].to_list()).argmax(axis=1)
    right = predictions["label"] == predicted
    groups = predictions["label"].map(dict(enumerate(frequency_groups(card.class_counts, "counts"))))
    (protocol,) = [own.name for own in PROTOCOLS if own.classes == len(card.class_counts)]
    row: dict[str, Any] = {"protocol": protocol, "model": name.model, "loss": name.loss, "seed": name.seed}
    row |= {"images": len(right), "hits": int(right.sum())}
    for shot in CUTS["counts"]:
        members = groups == shot
        row[shot] = round(100 * right[members].mean(), 2) if members.any() else None
    if (folder / HISTORY).is_file():
        history = pd.read_parquet(folder / HISTORY)
        best = history["val_acc1"].idxmax()
        record = unseal((folder / RECORD).read_text(), folder / RECORD)
        row |= {
            "epochs": len(history),
            "best_epoch": int(history["epoch"][best]),
            "best_hits": round(history["val_acc1"][best] * len(right)),
            "precision": record["precision"],
            "processor": record["device"],
            "threads": record["threads"],
            "versions": ", ".join(f"{name} {version}" for name, version in record["packages"].items()),
            "seconds": round(record["seconds"]),
            "commit": record["commit"],
        }
    return row


def recorded(known: pd.DataFrame, found: list[dict[str, Any]]) -> pd.DataFrame:
    """The known rows with those that were found; a run that was known is replaced.

    What a variant lacks it has from the run whose model it changes: where that was trained, and in what precision.
    """
    of = {(row["protocol"], row["loss"], row["seed"]): row for row in found}
    for row in found:
        start = of.get((row["protocol"], row["loss"].partition("+")[0], row["seed"]), {})
        for name in ("precision", "processor", "threads", "versions", "commit"):
            row.setdefault(name, start.get(name))
    table = pd.concat([known, pd.DataFrame(found, columns=known.columns)])
    table = table.drop_duplicates(SAME_RUN, keep="last")
    # Whole numbers stay whole beside a run that has none.
    table = table.astype({name: "Int64" for name in WHOLE if name in table})
    return table.sort_values(SAME_RUN, ignore_index=True)


def document_tables(rows: pd.DataFrame, published: pd.DataFrame) -> dict[str, pd.DataFrame | str]:
    """The tables of docs/published.md by name, their cells as printed.

    Args:
        rows: those of resources/measured_results.csv.
        published: resources/published_results.csv.
    """
    tables = {}
    for protocol in PROTOCOLS:
        own, theirs = (table[table["protocol"] == protocol.name] for table in (rows, published))
        tables |= {name + protocol.suffix: table for name, table in _tables(own, theirs).items()}
    return tables | {"runs": _runs(rows)}


def _tables(rows: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, pd.DataFrame | str]:
    """The tables of one protocol."""
    both = theirs.merge(rows, on=["model", "loss"], suffixes=("_published", ""))
    same = both["epochs_published"].astype(float) == EPOCHS
    missing = theirs[~theirs["loss"].isin(both["loss"])]
    far = (100 * both["hits"] / both["images"] - both["top1"])[same].abs()
    sentence = (
        f"**{both['loss'].nunique()} of {len(theirs)} methods** have been measured, in {len(both)} runs. Of the "
        f"{same.sum()} runs beside a published number of {EPOCHS} epochs, {(far <= 1).sum()} lie within one point of "
        f"it and {(far > 2).sum()} more than two points away. Not measured yet: "
        f"{', '.join(missing['loss'].map(label)) or 'none'}."
    )
    alone = rows[~rows["loss"].isin(theirs["loss"])].assign(top1=np.nan, epochs_published="")
    tables = {
        "measured": _beside(both[same]),
        "longer": _beside(both[~same]),
        "alone": _beside(alone).drop(columns=["Published", "Epochs", "Difference"]),
    }
    return {"coverage": sentence} | {
        name: "None yet." if table.empty else table for name, table in tables.items()
    }


def _beside(both: pd.DataFrame) -> pd.DataFrame:
    # benchmarks/gpu_day.py imports `measured` where statsmodels and what `fill` needs are missing.
    from statsmodels.stats.proportion import proportion_confint

    ours = 100 * both["hits"] / both["images"]
    low, high = proportion_confint(both["hits"], both["images"], method="wilson")
    best = [
        f"{100 * row.best_hits / row.images:.2f} ({row.best_epoch:.0f})" if row.best_hits > 0 else ""
        for row in both.itertuples()
    ]
    shots = [  # a variant of an early run has none, and CIFAR10-LT has no class with few images
        " / ".join(f"{value:.1f}" if value == value else "–" for value in values)
        if values.notna().any()
        else ""
        for _, values in both[list(CUTS["counts"])].iterrows()
    ]
    return pd.DataFrame(
        {
            "Method": both["loss"].map(label),
            "Published": both["top1"].map("{:.2f}".format),
            "Epochs": both["epochs_published"].astype(str),
            "Ours": [
                f"{value:.2f} [{100 * a:.1f}, {100 * b:.1f}]"
                for value, a, b in zip(ours, low, high, strict=True)
            ],
            "Difference": (ours - both["top1"]).map("{:+.2f}".format),
            "Best on the test set (epoch)": best,
            "Many / medium / few": shots,
            "Seed": both["seed"].astype(str),
        }
    )


def _runs(rows: pd.DataFrame) -> pd.DataFrame:
    """On what the runs were trained, and how long that took."""
    trained = rows[rows["epochs"] == EPOCHS].fillna({"versions": "", "commit": ""})
    groups = trained.groupby(["processor", "precision", "versions", "commit"], sort=False)
    rows = []
    for (processor, precision, versions, commit), own in groups:
        minutes = [f"{seconds / 60:.0f}" for seconds in (own["seconds"].min(), own["seconds"].max())]
        rows.append(
            {
                "Processor": processor,
                "Precision": precision,
                "Runs": str(len(own)),
                "Minutes of a run": " to ".join(dict.fromkeys(minutes)),
                "Versions": versions,
                "Commit": commit,
            }
        )
    return pd.DataFrame(rows)


def record(folder: Path) -> None:
    """Add the finished runs of a folder, of the workflow or of benchmarks/gpu_day.py, to the csv.

    Of the latter, the records of its parts are enough, which have what `measured` found in each run where it was
    trained.
    """
    runs = [measured(path.parent) for path in found_in(folder / "runs", f"/{PREDICTIONS}")]
    parts = {protocol: folder / f"{protocol.part}.json" for protocol in PROTOCOLS}
    for protocol, noted in parts.items():
        if noted.is_file():
            rows = json.loads(noted.read_text())["items"].values()
            runs += [{"protocol": protocol.name, **row} for row in rows if "error" not in row]
    if not runs:
        files, wholes = (
            " or ".join(names)
            for names in ([path.name for path in parts.values()], [own.whole for own in PROTOCOLS])
        )
        raise ValueError(f"{folder} has no finished run below runs/, nor in {files}; train {wholes} there")
    table = recorded(read_csv(MEASURED), runs)
    with atomic_path(MEASURED) as path:
        table.to_csv(path, index=False)
    print(f"{MEASURED}: {len(runs)} runs of {folder}", flush=True)


def write() -> None:
    """Put the tables into the document."""
    from longtail.report.typeset import fill

    tables = document_tables(read_csv(MEASURED), read_csv(PUBLISHED))
    document = fill(DOCUMENT.read_text(encoding="utf-8"), tables)
    write_text(DOCUMENT, document)


def start(description: str, record: Callable[[Path], None], write: Callable[[], None]) -> None:
    """Be the program of the commands `record FOLDER` and `write`, for the tables of a page."""
    parser = program(description)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    adding = commands.add_parser("record", help="take over the finished runs below a folder")
    adding.add_argument("folder", type=Path)
    adding.set_defaults(work=lambda args: record(args.folder))
    writing = commands.add_parser("write", help="write the tables of the document")
    writing.set_defaults(work=lambda args: write())
    run(lambda args: args.work(args), parser)


if __name__ == "__main__":
    start(__doc__, record, write)
