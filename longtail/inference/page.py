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
from longtail.experiment.contents import ends_hash
from longtail.experiment.proof import evaluated_models, made_together
from longtail.experiment.record import Record, read_record
from longtail.experiment.runs import RECORD, RUN, Run
from longtail.files.text import as_code, in_markdown, printable
from longtail.models.card import ModelCard
from longtail.report.labels import label

NONE_FOUND = (
    "None were found: the run was not evaluated, or the model was moved. `--evaluation` names the "
    "evaluation.parquet of its results."
)
STALE = "Those in evaluation.parquet are of another model of this run, which was trained anew since."
UNPROVEN = (
    "Nothing says of which model those in evaluation.parquet are. `--evaluation` names it all the same, where it is "
    "known to be of this one."
)
RARE = 20
"""A class with fewer training images is named among the limits."""
_SEEN = {
    "stretch": "the whole picture, stretched to a square",
    "pad": "the whole picture and its border",
    "crop": "the square in the middle of the picture, and nothing beside it",
}
SHOWN = ("acc1", "f1", "mean_class_acc", "ece", "ece_by_chance")


def model_page(
    card: ModelCard,
    *,
    file: str,
    evaluation: pd.DataFrame | None = None,
    record: Record | None = None,
    note: str = NONE_FOUND,
) -> str:
    """The page: use, data, results by group, recipe, limits, and every class with its training images.

    Args:
        card: what the model's file says.
        file: the path of that file, for the command that is shown.
        evaluation: the run's rows of evaluation.parquet. Without them the page has no results.
        record: the run's run.json. Without it, machine and versions are left out.
        note: why there are no results, or what is to be said of those there are.
    """
    sections = [
        f"# {label(card.architecture)}, {_loss(card)}",
        _use(card, file),
        _data(card),
        _results(evaluation, note),
        _recipe(card, record),
        _limits(card, evaluation),
        _classes(card),
    ]
    return "\n\n".join(sections) + "\n"


def read_run(model: str | Path, evaluation: str | Path | None = None) -> dict[str, Any]:
    """Read what the workflow wrote about a model's run, where it is proven to be about this very file.

    Args:
        model: in the folder of its run, `{results}/runs/{train_set}/{model}/{loss}/seed{seed}/`, unless it was moved.
        evaluation: evaluation.parquet of the results; by default the one of the results that the model lies in. One
            without a proof beside it is believed where it has one run alone, since somebody named it.

    Returns:
        The rows of the `evaluation`, the `record` and the `note` as `model_page` takes them; None for what is missing.

    Raises:
        FileNotFoundError: the given `evaluation` does not exist.
        ValueError: a file is damaged, or the given `evaluation` is not known to be the model's.
    """
    place = Path(model).absolute()
    path = place.with_name(RECORD)
    record = read_record(path) if path.exists() else None
    rows, note = _rows_of_model(place, evaluation)
    return {"evaluation": rows, "record": record if made_together(place, path) else None, "note": note}


def _rows_of_model(model: Path, given: str | Path | None) -> tuple[pd.DataFrame | None, str]:
    """The model's rows and what is to be said of them, or None and why."""
    try:
        run = Run.of_file(model)
    except ValueError:  # it was moved
        run = None
    path = Path(given or model.parent.joinpath(*[".."] * 5, "evaluation.parquet")).absolute()
    if given is None and not (run and path.exists()):
        return None, NONE_FOUND
    rows = read_evaluation(path)
    rows = rows[rows.groupby(RUN)["value"].transform("count") > 0]
    if run:
        rows = rows[(rows[RUN] == pd.Series(run._asdict())).all(axis=1)]
    runs = [Run(*values) for values in rows[RUN].drop_duplicates().itertuples(index=False)]
    made_from = evaluated_models(path, runs)
    ends = ends_hash(model)
    own = [one for one in runs if made_from.get(one) == ends]
    if own:
        return rows[(rows[RUN] == pd.Series(own[0]._asdict())).all(axis=1)], ""
    if given is None and runs and made_from:
        return None, f"{STALE} Run the workflow again, which evaluates the model that is there."
    if given is None:
        return None, UNPROVEN if runs else NONE_FOUND
    if not made_from and len(runs) == 1:
        return rows, "That they are of this model was said when the page was made; nothing proves it."
    wanted = run or "the only one"
    if not made_from:
        raise ValueError(
            f"{path} holds {len(runs)} runs with results where one is needed ({wanted}); give the evaluation.parquet "
            "of the results that the model is from, and the model where the workflow put it"
        )
    raise ValueError(
        f"{path} has results of {run or f'{len(runs)} runs'}, but of other weights than {model} holds. Where the run "
        "was trained anew, run the workflow again; else give the evaluation.parquet of the results it is from"
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

    longtail predict {printable(file)} photos/

Pictures are turned upright, converted to RGB and {card.squared}{resized}.
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


def _results(evaluation: pd.DataFrame | None, said: str) -> str:
    heading = "## Results by group\n\n"
    if evaluation is None:
        return heading + said
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
        + "\n\n"
        + f"{note} {said}".rstrip()
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
        "not tell the two apart." + _known(card),
        f"It sees {card.picture_size} x {card.picture_size} pixels of {_SEEN[card.resize]}. What is small in the "
        "picture is lost; cut it out first.",
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


def _known(card: ModelCard) -> str:
    if card.known_from is None:
        return ""
    return (
        " `predict` says `known: False` where the energy of a picture is that of few pictures of known classes "
        f"(threshold {card.known_from:.3f}, of which {card.recipe.get('false_rejection', 0):.1%} are called unknown by "
        "mistake; Liu et al., 2020)."
    )


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
