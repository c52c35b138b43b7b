"""A whole small results folder, the programs that read it, and inputs that are well sealed and make no sense."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cards import card
from programs import run_program

from longtail.data.tensors.files import LabelledImages, save_tensors
from longtail.files.parquet import read_parquet, write_parquet
from longtail.machine.environment import write_record
from longtail.models import build_model
from longtail.models.card import digest_of
from longtail.models.file import save_model
from longtail.report.figures.sources import CHOICES, SOURCES, figures, option
from longtail.training.progress import write_history

ROOT = Path(__file__).parents[1]
CLASSES = ["ape", "bee", "cat"]
RUNS = [
    f"runs/longtailed/resnet8/{loss}/seed{seed}"
    for loss, seed in itertools.product(("focal", "ldam", "softmax"), (1, 2))
]
FIRST = "runs/longtailed/resnet8/focal/seed1"
"""The run of which figures of one model and loss are drawn."""
FILES = {
    "evaluation": "evaluation.parquet",
    "per_class": "per_class.parquet",
    "differences": "statistics/paired_differences.csv",
    "split": "data/split.parquet",
    "tensors": "data/train_longtailed.pth",
    "test_tensors": "data/test_balanced.pth",
    "histories": "history.parquet",
    "records": "run.json",
    "predictions": "predictions.parquet",
    "confidences": "predictions.parquet",
}
RECORD = {
    "seconds": 12.5,
    "peak_memory_mb": 812.0,
    "device": "CPU",
    "best_epoch": 3,
    "epochs": [{"train_images_per_second": 431.25}],
}
STATISTICS = ("descriptive", "anova", "friedman", "paired_differences", "pooled_differences", "over_models")
NUMBERS = {name: ROOT / f"resources/{name}_results.csv" for name in ("thesis", "published")}
LOSSES = {name: {"loss": name, "loss_parameters": {}} for name in ("focal", "ldam", "softmax")}
Call = Callable[[Path, Path], tuple[list[object], dict[str, object]]]


def write_results(folder: Path) -> Path:
    """Every file that a program after the training reads: of three classes, one model, three losses, two seeds."""
    data = folder / "data"
    labels = torch.arange(90) % 3
    pixels = torch.randint(0, 256, (90, 3, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))
    save_tensors(LabelledImages(pixels, labels, torch.arange(90), CLASSES), data / "images.pth")
    counts = {"seed": 1, "train_per_class": 10, "test_per_class": 15}
    run_program("subsets", images=data / "images.pth", settings=counts, output=data / "subsets.parquet")
    for name in ("split", "groups", "tensors"):
        words, options = PROGRAMS[name](folder, data)
        run_program(name, *words, **options)
    images, split = data / "images.pth", data / "split.parquet"
    run_program(
        "tensors", images=images, split=split, subset="test_balanced", output=data / "test_balanced.pth"
    )
    test = read_parquet(split).query("subset == 'test'")
    random = np.random.default_rng(0)
    weights = build_model("resnet8", num_classes=3, image_size=8).state_dict()
    epochs = [dict(zip(EPOCH, (n, 2 / n, 0.2 * n, 3 / n, 0.1 * n, 0.1), strict=True)) for n in (1, 2, 3)]
    for run in RUNS:
        logits = (
            random.normal(size=(len(test), 3)).astype(np.float32)
            + 2 * np.eye(3, dtype=np.float32)[test["label"]]
        )
        write_history(folder / run / "history.parquet", epochs)
        write_record(folder / run / "run.json", RECORD)
        save_model(
            folder / run / "model.safetensors", weights, card(class_names=CLASSES, class_counts=[10, 4, 2])
        )
        write_parquet(
            test[["image_id", "label"]].assign(logits=list(logits)),
            folder / run / "predictions.parquet",
            {"model": digest_of(folder / run / "model.safetensors")},
        )
    for name in ("evaluation", "statistical_analysis"):
        words, options = PROGRAMS[name](folder, folder)
        run_program(name, *words, **options)
    index = pd.DataFrame({"image_id": range(30), "class_name": ["ape", "bee"] * 15, "twin": range(30)})
    index = index.assign(subset="", group="", path=[f"{number}.jpg" for number in range(30)])
    write_parquet(index, data / "index.parquet")
    found = {"path": "a.jpg", "kind": "small", "found": "has 3 pixels", "action": "kept"}
    write_parquet(pd.DataFrame([{**found, "refused": False, "other": ""}]), data / "findings.parquet")
    return folder


EPOCH = ("epoch", "train_loss", "train_acc1", "val_loss", "val_acc1", "learning_rate")
OF_SPLIT = {
    "seed": 1,
    "strict": False,
    "test_fraction": 0.2,
    "val_fraction": 0.2,
    "min_test_per_class": 1,
    "small_classes": "error",
    "merged_name": "others",
    "classes": {},
    "frozen": None,
}


def _of(folder: Path, **files: str) -> dict[str, object]:
    return {name: folder / file for name, file in files.items()}


def _evaluation(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    outputs = {"output": out / "evaluation.parquet", "output_per_class": out / "per_class.parquet"}
    return [folder / run for run in RUNS], {
        **_of(folder, split=FILES["split"]),
        "settings": LOSSES,
        **outputs,
    }


def _statistics(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    inputs = _of(folder, evaluation=FILES["evaluation"], runs="runs", split=FILES["split"])
    return [], {
        **inputs,
        "settings": {"reference": "softmax", "data_seed": 1},
        "output_folder": out / "statistics",
    }


def _summary(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    inputs = {**_of(folder, evaluation=FILES["evaluation"], statistics="statistics"), **NUMBERS}
    about = {"source": "digits", "imbalance_factor": 0.2, "seed": 1, "reference": "softmax"}
    return ["--output", out / "summary.md"], {**inputs, "settings": about}


def _tables(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    names = ["top1", "full", "class_groups", "counts", "thesis_comparison", "published_comparison"]
    inputs = {name: FILES[name] for name in ("evaluation", "per_class", "split")}
    chosen = {
        "train_set": "longtailed",
        "train_sets": "longtailed",
        "model": "resnet8",
        "protocol": "cao2019",
    }
    chosen["output_folder"] = out / "tables"
    return names, {**_of(folder, **inputs), **NUMBERS, **chosen}


def _split(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    settings = {"seed": 1, "imbalance_factor": 0.2}
    return [], {
        **_of(folder, subsets="data/subsets.parquet"),
        "settings": settings,
        "output": out / "sets.parquet",
    }


def _groups(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    settings = {"groups": "thirds", "group_limits": [100, 20]}
    return [], {
        **_of(folder, sets="data/sets.parquet"),
        "settings": settings,
        "output": out / "split.parquet",
    }


def _tensors(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    inputs = _of(folder, images="data/images.pth", split=FILES["split"])
    return [], {**inputs, "subset": "train_longtailed", "output": out / "train_longtailed.pth"}


def _folder_split(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    inputs = _of(folder, index="data/index.parquet", findings="data/findings.parquet")
    return [], {**inputs, "settings": OF_SPLIT, "output": out / "split.parquet"}


def _check_data(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
    words, options = _folder_split(folder, out)
    del options["output"]
    endings = {"csv": "csv", "markdown": "md", "html": "html", "text": "txt"}
    outputs = {f"output_{kind}": out / f"check.{ending}" for kind, ending in endings.items()}
    return words, {**options, **_of(folder, images="data/images.pth"), **outputs}


def _figure(name: str) -> Call:
    def call(folder: Path, out: Path) -> tuple[list[object], dict[str, object]]:
        words: list[object] = [name]
        for source in (source for source in figures()[name] if source in SOURCES):
            each = [folder / run for run in RUNS] if SOURCES[source].runs else [folder]
            words += [option(source), *(place / FILES[source] for place in each)]
        for choice, value in zip(CHOICES, ("longtailed", "resnet8", "focal"), strict=True):
            words += [option(choice), value] if figures()[name].get(choice) else []
        return [*words, "--output", out / "a.png", "--caption", out / "a.txt"], {}

    return call


def _figure_inputs(name: str) -> list[str]:
    sources = [source for source in figures()[name] if source in SOURCES]
    return [f"{FIRST}/{FILES[source]}" if SOURCES[source].runs else FILES[source] for source in sources]


PROGRAMS: dict[str, Call] = {
    "split": _split,
    "groups": _groups,
    "tensors": _tensors,
    "folder_split": _folder_split,
    "check_data": _check_data,
    "evaluation": _evaluation,
    "statistical_analysis": _statistics,
    "summary": _summary,
    "tables": _tables,
    **{f"figure {name}": _figure(name) for name in figures()},
}
INPUTS = {
    "split": ["data/subsets.parquet"],
    "groups": ["data/sets.parquet"],
    "tensors": [FILES["split"]],
    "folder_split": ["data/index.parquet", "data/findings.parquet"],
    "check_data": ["data/index.parquet", "data/findings.parquet"],
    "evaluation": [FILES["split"], f"{RUNS[0]}/predictions.parquet"],
    "statistical_analysis": [FILES["split"], FILES["evaluation"], f"{RUNS[0]}/predictions.parquet"],
    "summary": [FILES["evaluation"], *(f"statistics/{name}.csv" for name in STATISTICS)],
    "tables": [FILES["split"], FILES["evaluation"], FILES["per_class"]],
    **{f"figure {name}": _figure_inputs(name) for name in figures()},
}
# By the name of the file, the columns that programs read, and values that none of them can have.
LABELS, WHOLE = (-1, 0.5, "x", None, np.inf), (-1, 0.5, "x", np.inf)
SHARES, NAMES, NUMBERS_ = (-0.1, 1.5, "x", np.inf), (3, None), ("x", True)
SETS = ("unknown", "", "Balanced", 3)
ESCAPES = (*NAMES, "\x1b[31mred", "a/b", "")
RUN = {"model": ESCAPES, "loss": ESCAPES, "train_set": (*SETS, None), "seed": LABELS}
OF_DIFFERENCES = {
    "train_set": SETS[:1],
    "test_set": SETS[:1],
    "p_holm": SHARES,
    "difference": (-2, 2, "x"),
    "n": WHOLE,
}
OF_SETS = {
    **{"image_id": LABELS, "label": LABELS, "class_name": NAMES, "subset": (*SETS, None)},
    "longtailed": (7, "True", None, np.nan, 0.5),
}
SENSELESS: dict[str, dict[str, tuple[object, ...]]] = {
    "subsets": {"image_id": LABELS, "label": LABELS, "class_name": NAMES, "subset": (*SETS, None)},
    "sets": OF_SETS,
    "split": {**OF_SETS, "group": (*SETS, None)},
    "index": {
        "image_id": LABELS,
        "class_name": NAMES,
        "subset": (SETS[0], 3, None),
        "group": NAMES,
        "twin": LABELS,
    },
    "findings": {"path": NAMES, "kind": NAMES, "found": NAMES, "action": NAMES, "refused": (7, "no", None)},
    "predictions": {
        **{"image_id": LABELS, "label": (*LABELS, 3)},
        "logits": ("x", 1.0, None, [], [1.0, 2.0], [0.0, np.nan, 1.0], [0.0, np.inf, 1.0], ["a", "b", "c"]),
    },
    "history": {
        "epoch": LABELS,
        "train_acc1": SHARES,
        "val_acc1": SHARES,
        "learning_rate": (-1.0, "x", np.nan),
    },
    "evaluation": {
        **RUN,
        **{"test_set": (*SETS, None), "metric": NAMES, "n": WHOLE, "clusters": WHOLE, "value": NUMBERS_},
    },
    "per_class": {
        **RUN,
        **{"label": LABELS, "class_name": NAMES, "group": (*SETS, None), "acc": SHARES, "f1": SHARES},
        **{"n_train": WHOLE, "n_test": LABELS},
    },
    "descriptive": {"train_set": SETS[:1], "test_set": SETS[:1], "mean": ("x",), "seeds": WHOLE, "n": WHOLE},
    "anova": {"train_set": SETS[:1], "test_set": SETS[:1], "p": SHARES, "statistic": ("x",)},
    "friedman": {"train_set": SETS[:1], "test_set": SETS[:1], "p": SHARES, "average_rank": ("x", 0.0)},
    "paired_differences": OF_DIFFERENCES,
    "pooled_differences": OF_DIFFERENCES,
    "over_models": {"train_set": SETS[:1], "test_set": SETS[:1], "p": SHARES, "difference": (-2, 2, "x")},
}
ODD_ENTRIES = (None, "x", [], {}, -1, True, np.inf, np.nan, 10**400)


def tables(name: str, frame: pd.DataFrame) -> Iterator[tuple[str, Callable[[], pd.DataFrame]]]:
    """What makes tables like this one that no program of ours writes, each with what is odd about it."""
    if name != "findings":
        yield "no row", partial(frame.head, 0)
        yield "every row twice", partial(pd.concat, [frame, frame])
        yield "the last row twice", partial(pd.concat, [frame, frame.tail(1)])
    for column, values in SENSELESS[name].items():
        if column != "clusters":  # which tables of earlier versions lack
            yield f"no {column}", partial(frame.drop, columns=column)
        whole = frame[column].iloc[0]
        for value in values:
            yield f"all {column} {value!r}", partial(frame.assign, **{column: [value] * len(frame)})
            if value is None or _kind(value) == _kind(whole):  # a file has one type in a column
                last = [*frame[column].tolist()[:-1], value]
                yield f"{column} {value!r}", partial(_replaced, frame, column, last)


def _replaced(frame: pd.DataFrame, column: str, values: list[object]) -> pd.DataFrame:
    return frame.assign(**{column: pd.Series(values, index=frame.index)})


def _kind(value: object) -> type:
    if isinstance(value, list | np.ndarray):
        return tuple if len(value) and isinstance(value[0], str) else list
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return float if number else type(value)


def records() -> Iterator[tuple[str, dict[str, object]]]:
    """Records like `RECORD` that training does not write."""
    for entry in ("seconds", "peak_memory_mb", "device", "epochs"):
        yield f"no {entry}", {name: value for name, value in RECORD.items() if name != entry}
        for value in ODD_ENTRIES:
            if not (entry == "device" and value == "x"):
                yield f"{entry} {str(value)[:9]}", RECORD | {entry: value}
    for value in (*ODD_ENTRIES, 0):
        yield f"a speed of {str(value)[:9]}", RECORD | {"epochs": [{"train_images_per_second": value}]}


def files(whole: bytes) -> Iterator[tuple[str, bytes | str]]:
    """Files that are none of this kind: bytes, or what else stands under the name."""
    yield "nothing in it", b""
    yield "its first half", whole[: len(whole) // 2]
    yield "zeros", bytes(len(whole))
    yield "a csv of another program", b"a;b\n1;2\n"
    yield "a folder", "folder"
    yield "a FIFO", "FIFO"
