"""A page in Markdown that tells people about a trained model: use, data, results, recipe and limits."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from longtail.analysis.frames import read_evaluation
from longtail.analysis.metrics import METRICS
from longtail.data.split.sets import TEST_SETS
from longtail.experiment.record import Record, read_record
from longtail.experiment.runs import RECORD, RUN, Run
from longtail.files.text import as_code, in_markdown, printable
from longtail.models.card import ModelCard
from longtail.report.labels import label

RARE = 20
"""A class with fewer training images is named among the limits."""
SHOWN = ("acc1", "f1", "mean_class_acc", "ece", "ece_by_chance")


def model_page(
    card: ModelCard,
    *,
    file: str,
    evaluation: pd.DataFrame | None = None,
    record: Record | None = None,
) -> str:
    """The page: use, data, results by group, recipe, limits, and every class with its training images.

    Args:
        card: what the model's file says.
        file: the path of that file, for the command that is shown.
        evaluation: the run's rows of evaluation.parquet. Without them the page says that results are missing.
        record: the run's run.json. Without it, machine and versions are left out.
    """
    sections = [
        f"# {label(card.architecture)}, {_loss(card)}",
        _use(card, file),
        _data(card),
        _results(evaluation),
        _recipe(card, record),
        _limits(card, evaluation),
        _classes(card),
    ]
    return "\n\n".join(sections) + "\n"


def read_run(model: str | Path, evaluation: str | Path | None = None) -> dict[str, Any]:
    """Read what the workflow wrote about a model's run: its rows of the evaluation and its record; None where missing.

    Args:
        model: in the folder of its run, `{results}/runs/{train_set}/{model}/{loss}/seed{seed}/`, unless it was moved.
        evaluation: evaluation.parquet of the results; by default the one of the results that the model lies in.

    Raises:
        FileNotFoundError: the given `evaluation` does not exist.
        ValueError: a file is damaged, or the given `evaluation` does not tell which of its rows are the model's.
    """
    place = Path(model).absolute()
    record = place.with_name(RECORD)
    return {
        "evaluation": _rows_of_run(place, evaluation),
        "record": read_record(record) if record.exists() else None,
    }


def _rows_of_run(model: Path, given: str | Path | None) -> pd.DataFrame | None:
    try:
        run = Run.of_file(model)
    except ValueError:  # it was moved
        run = None
    path = Path(given or model.parent.joinpath(*[".."] * 5, "evaluation.parquet"))
    if given is None and not (run and path.exists()):
        return None
    rows = read_evaluation(path)
    if run:
        rows = rows[(rows[RUN] == pd.Series(run._asdict())).all(axis=1)]
    runs = len(rows[RUN].drop_duplicates())
    if runs == 1 and rows["value"].notna().any():
        return rows
    if given is None:
        return None
    wanted = run or "the only one"
    raise ValueError(
        f"{path} holds {runs} runs with results where one is needed ({wanted}); give the evaluation.parquet of the "
        "results that the model is from, and the model where the workflow put it"
    )


def _loss(card: ModelCard) -> str:
    return in_markdown(label(card.loss) if isinstance(card.loss, str) else card.loss["name"])


def _use(card: ModelCard, file: str) -> str:
    stored, size = card.picture_size, card.image_size
    resized = f" and from there resized to {size} x {size}" if size != stored else ""
    if card.temperature:
        calibration = (
            f"Probabilities are calibrated: logits are divided by the temperature {card.temperature:.3f}, which was "
            "fitted on the validation set (Guo et al., 2017). They are as good as new pictures resemble that set."
        )
    else:
        calibration = (
            "Probabilities are not calibrated: a network that was trained to the end usually claims more "
            "than it keeps."
        )
    return f"""## Use

    python -m longtail.predict {printable(file)} photos/

Pictures are turned upright, converted to RGB and stretched to {stored} x {stored} pixels{resized}.
Values from 0 to 1 are normalised with mean {_numbers(card.mean)} and standard deviation {_numbers(card.std)}.
The ONNX file takes uint8, batch x 3 x {stored} x {stored}, and does the rest itself.

{calibration}"""


def _data(card: ModelCard) -> str:
    counts = card.class_counts
    most, least = max(counts), min(counts)
    ratio = f"{most / least:.4g} to 1" if least else "without bound: a class has none"
    table = [
        ["classes", f"{len(counts):,}"],
        ["training images", f"{sum(counts):,}"],
        ["of the most frequent class", f"{most:,} ({as_code(card.class_names[counts.index(most)])})"],
        ["of the rarest class", f"{least:,} ({as_code(card.class_names[counts.index(least)])})"],
        ["imbalance", ratio],
        ["size as stored", f"{card.picture_size} x {card.picture_size} pixels"],
    ]
    return "## Data\n\n" + _table(table, ["", ""])


def _results(evaluation: pd.DataFrame | None) -> str:
    heading = "## Results by group\n\n"
    if evaluation is None:
        return (
            heading
            + "None were found: the run was not evaluated, or the model was moved. `--evaluation` names the "
            "evaluation.parquet of its results."
        )
    values = evaluation.pivot(index="test_set", columns="metric", values="value")
    images = evaluation.groupby("test_set")["n"].first()
    rows = [
        [label(name), f"{images[name]:,}", *map(_percent, values.reindex(columns=SHOWN).loc[name])]
        for name in TEST_SETS
        if name in images.index
    ]
    note = (
        "F1 is the mean over classes on the balanced test set and weighted by their images on the others. The "
        "calibration error is that of the probabilities before the temperature; by chance is that of a perfectly "
        "calibrated model on as many images."
    )
    return (
        heading
        + _table(rows, ["Test set", "Images", *(METRICS[name].label for name in SHOWN)])
        + f"\n\n{note}"
    )


def _recipe(card: ModelCard, record: Record | None) -> str:
    rows = [
        ["architecture", card.architecture],
        ["head", card.head],
        ["loss", label(card.loss) if isinstance(card.loss, str) else card.loss["name"]],
        *([f"loss: {name}", value] for name, value in sorted(card.loss_parameters.items())),
        *([name, value] for name, value in card.recipe.items() if value is not None),
        ["seed", card.seed],
        ["epoch that was kept", card.best_epoch],
    ]
    if record:
        rows += [
            ["trained on", record.device],
            ["time", timedelta(seconds=round(record.seconds))],
            *([["finished", record.finished_at]] if record.finished_at else []),
            *([name, version] for name, version in record.packages.items() if version),
        ]
    cells = [[as_code(name), _cell(value)] for name, value in rows]
    return "## Recipe\n\n" + _table(cells, ["Setting", "Value"])


def _limits(card: ModelCard, evaluation: pd.DataFrame | None) -> str:
    limits = [
        "It answers every picture with one of its classes, also one that shows none of them; a high probability does "
        "not tell the two apart.",
        f"It sees {card.picture_size} x {card.picture_size} pixels of the whole picture, stretched to a square. What "
        "is small in the picture is lost; cut it out first.",
    ]
    rare = [name for name, count in zip(card.class_names, card.class_counts, strict=True) if count < RARE]
    if rare:
        named = ", ".join(map(as_code, rare[:10])) + (", …" if len(rare) > 10 else "")
        limits.append(
            f"{len(rare)} of {len(card.class_names)} classes had fewer than {RARE} training images: {named}. "
            "They are the likeliest to be missed."
        )
    if max(card.class_counts) > min(card.class_counts):
        favoured = (
            "Classes that were frequent in training are favoured, as far as the loss does not prevent it."
        )
        limits.append(favoured)
    if evaluation is not None:
        small = [
            f"{label(row.test_set).lower()} {row.n}"
            for row in evaluation.drop_duplicates("test_set").itertuples()
            if row.n < 100
        ]
        if small:
            limits.append(
                f"Some results stand on few test images ({', '.join(small)}): one image more or less shows in them."
            )
    limits.append("It is one run from one seed; another seed gives another model and other numbers.")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _classes(card: ModelCard) -> str:
    counted = enumerate(zip(card.class_names, card.class_counts, strict=True))
    rows = [[index, as_code(name), f"{count:,}"] for index, (name, count) in counted]
    return "## Classes\n\n" + _table(rows, ["Label", "Class", "Training images"])


def _table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def _percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return in_markdown(str(value))
