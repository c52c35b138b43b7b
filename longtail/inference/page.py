"""A page in Markdown that tells people about a trained model: use, data, results, training and limits.

Its first lines are the YAML that hubs of models read.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from longtail import __version__
from longtail.analysis.calibration import calibration_error_by_chance, expected_calibration_error
from longtail.analysis.classes import by_class, confusion
from longtail.analysis.frames import answered_by, evaluated_models, read_evaluation
from longtail.analysis.metrics import METRICS
from longtail.analysis.shift import Answered
from longtail.config.files import read_file
from longtail.config.methods import METHODS, Retrain, merged
from longtail.data.sources.table import known_sources
from longtail.data.split.sets import CLUSTER, SPLIT, TEST_SETS, class_counts, class_table, has_groups, in_set
from longtail.experiment.proof import Proofs, made_together
from longtail.experiment.record import Record, read_record
from longtail.experiment.runs import PREDICTIONS, RECORD, RUN, Run
from longtail.files.parquet import read_parquet
from longtail.files.text import as_code, in_markdown, markdown_table, printable
from longtail.inference.held_out import place_of, tested
from longtail.inference.onnx import example
from longtail.losses.declarations import Declaration, declaration
from longtail.models.card import ModelCard, digest_of, read_card
from longtail.report.classes import DEFINED, class_page, counted_classes
from longtail.report.labels import VARIANTS, label
from longtail.report.typeset import Table, csv, pipe_table
from longtail.training.recipe import Recipe

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
SHOWN = ("acc1", "f1", "mean_class_acc")
LISTED = 20
"""How many of the best and of the worst classes are printed where there are more than twice as many; a csv has all."""
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """What the workflow wrote about the run of a model; None or empty for what is missing.

    Attributes:
        evaluation: the run's rows of evaluation.parquet.
        record: its run.json.
        note: why there are no results, or what is to be said of those there are.
        split: the split that it was trained on, and `train_set` the part of it.
        answered: its answers to the test images.
        source: where the pictures are from, as the configuration calls it; `folder` is that of a collection.
        columns: what a list says of each picture beside its class; a column of dates with the first and the last.
    """

    evaluation: pd.DataFrame | None = None
    record: Record | None = None
    note: str = NONE_FOUND
    split: pd.DataFrame | None = None
    train_set: str = ""
    answered: Answered | None = None
    source: str = ""
    folder: str = ""
    columns: Sequence[str] = ()


def model_page(
    card: ModelCard,
    *,
    file: str,
    run: RunFiles | None = None,
    onnx: str | None = None,
    license: str | None = None,
    csv_file: str = "",
    elsewhere: str = "",
) -> str:
    """The page: header for hubs, use, data, results by group and class, calibration, training, limits, classes.

    Args:
        card: what the model's file says.
        file: the path of that file, for the command that is shown.
        onnx: the path of the ONNX file beside it, for the code that is shown.
        license: that of the model, as hubs call it, such as `cc-by-4.0`; None: nobody said.
        csv_file: the name of the csv that has all classes, where the page has not.
        elsewhere: how the model is used with timm, in Markdown, where it lies beside the page in the form of timm; its
            own file is then not there.
    """
    run = run or RunFiles()
    sections = [
        _header(card, run, license, "timm" if elsewhere else "longtail"),
        f"# {label(card.architecture)}, {in_markdown(loss_name(card))}",
        _use(card, file, elsewhere),
        *(
            [f"### With the ONNX file, without this project\n\n```python\n{example(card, onnx)}```"]
            if onnx
            else []
        ),
        _data(card, run),
        _results(run),
        *_species(card, run, csv_file),
        *_calibration(card, run),
        _training(card, run.record),
        _limits(card, run.evaluation),
        _license(license),
        *([] if run.answered else [_classes(card)]),
    ]
    return "\n\n".join(sections) + "\n"


def read_run(model: str | Path, evaluation: str | Path | None = None) -> RunFiles:
    """Read what the workflow wrote about a model's run, where it is proven to be about this very file.

    Args:
        model: in the folder of its run, `{results}/runs/{train_set}/{model}/{loss}/seed{seed}/`, unless it was moved.
        evaluation: evaluation.parquet of the results; by default the one of the results that the model lies in. One
            that says nothing of models is believed where it has one run alone, since somebody named it.

    Raises:
        FileNotFoundError: the given `evaluation` does not exist.
        ValueError: a file is damaged, or the given `evaluation` is not known to be the model's.
    """
    place = place_of(model) or Path(model).absolute()
    path = place.with_name(RECORD)
    record = read_record(path) if path.exists() else None
    rows, note = _rows_of_model(place, evaluation)
    return RunFiles(
        evaluation=rows,
        record=record if made_together(place, path) else None,
        note=note,
        **_of_collection(place),
    )


def _of_collection(model: Path) -> dict[str, Any]:
    """What the folder of results says of the pictures, where its split and predictions are those of this model."""
    try:
        run = Run.of_file(model)
    except ValueError:  # it was moved
        return {}
    results, predictions = model.parents[5], model.with_name(PREDICTIONS)
    path = results / "data/split.parquet"
    if not (predictions.is_file() and path.is_file() and answered_by(predictions, model)):
        return {}
    split, card = SPLIT.read(path), read_card(model)
    if class_counts(split, run.train_set).tolist() != card.class_counts:
        return {}  # it was made anew since
    return {
        "split": split,
        "train_set": run.train_set,
        "answered": tested(model).answered,
        "columns": _columns(results / "data/metadata.parquet"),
        **_named(path),
    }


def _named(split: Path) -> dict[str, str]:
    """The source and the folder of the collection, as the files of the configuration that made the split name them."""
    proof, data = Proofs().read([split]), dict[str, Any]()
    for name in proof.by if proof else []:
        if (path := Path(os.path.realpath(split.parent), name)).is_file():
            data = merged(data, read_file(path).content.get("data") or {})
    path = Path(str((data.get("image_folder") or {}).get("path") or ""))
    folder = f"{path.parent.name}/{path.name}" if path.suffix else path.name  # lists are often called alike
    return {"source": str(data.get("source") or ""), "folder": folder}


def _columns(path: Path) -> list[str]:
    if not path.is_file():
        return []
    table = read_parquet(path).drop(columns=["image_id", "path"])
    found = []
    for name in table:
        days = table.loc[table[name] != "", name]
        dated = len(days) and days.str.fullmatch(r"\d{4}-\d\d(-\d\d([T ].*)?)?").all()
        found.append(as_code(str(name)) + (f" ({days.min()[:10]} to {days.max()[:10]})" if dated else ""))
    return found


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
    made_from = evaluated_models(path)
    digest = digest_of(model)
    own = [one for one in runs if made_from.get(one) == digest]
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


def loss_name(card: ModelCard) -> str:
    """What the model was trained with as people say it, such as LDAM-DRW, or Softmax with Remix + LA."""
    name = label(card.loss) if isinstance(card.loss, str) else card.loss["name"]
    started, recipe = card.started_from or {}, card.recipe
    classifier = started.get("retrain") or ("scale" if card.head == "scaled" else None)
    stages = [key for key, own in METHODS.items() if classifier and _retrains(own) == classifier]
    same = [key for key in stages if METHODS[key]["loss"] == card.loss]
    if same:
        name = label(same[0])
    elif stages and classifier != "keep":  # which several methods do
        name = f"{label(stages[0])} with {name}"
    elif (sampler := recipe.get("sampler", "instance")) != "instance":
        deferred = " from a late epoch on" if recipe.get("sampler_start") else ""
        name += f" with {label(f'{sampler}_sampler').lower()}{deferred}"
    if recipe.get("drw"):
        name += "-DRW"
    if mixup := recipe.get("mixup"):
        kinds = {"cutmix": "cutmix", "manifold": "manifold_mixup"}
        kind = kinds.get(mixup.get("kind"), "mixup")
        name += f" with {'Remix' if kind == 'mixup' and mixup.get('remix') else label(kind)}"
        name += " and Remix" if kind != "mixup" and mixup.get("remix") else ""
    if card.distilled_from:
        name += ", distilled"
    if card.variant:
        name += f" + {VARIANTS.get(card.variant['adjust'], card.variant['adjust'])}"
    return name


def _retrains(method: Mapping[str, Any]) -> str | None:
    """The classifier of a method in two stages."""
    return method.get("retrain", {}).get("classifier")


def _header(card: ModelCard, run: RunFiles, license: str | None, library: str) -> str:
    """The metadata that hubs of models read. What YAML could misread is quoted by its own library."""
    name = f"{label(card.architecture)}, {loss_name(card)}"
    about: dict[str, Any] = {
        "license": license or "unknown",
        "library_name": library,
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "long-tailed-recognition", card.architecture],
        "metrics": ["accuracy", "f1"],
    }
    if hub := _hub(run):
        about["datasets"] = [hub]
    start = re.match(
        r"https://huggingface\.co/([\w.-]+/[\w.-]+)/", (card.started_from or {}).get("url") or ""
    )
    if start:
        about["base_model"] = start[1]
    if run.evaluation is not None:
        about["model-index"] = [{"name": name, "results": list(_indexed(run.evaluation, run))}]
    told = yaml.safe_dump(_printable(about), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{told}---"


def _hub(run: RunFiles) -> str:
    """What hubs call the source of the pictures; empty where they do not have it."""
    source = known_sources().get(run.source)
    return source.hub if source else ""


def _indexed(evaluation: pd.DataFrame, run: RunFiles) -> Iterator[dict[str, Any]]:
    """The results as hubs take them: accuracy and F1 on each test set."""
    found = evaluation[evaluation["metric"].isin(["acc1", "f1"]) & evaluation["value"].notna()]
    for name in TEST_SETS:
        rows = found[found["test_set"] == name]
        if rows.empty:
            continue
        metrics = [
            {
                "type": {"acc1": "accuracy", "f1": "f1"}[row.metric],
                "name": METRICS[row.metric].label,
                "value": round(float(row.value), 6),
            }
            for row in rows.itertuples()
        ]
        source = run.source or "unknown"
        dataset = {
            "name": f"{run.folder or source}, {label(name).lower()} test images",
            "type": _hub(run) or source,
            "split": "test",
        }
        yield {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics}


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _printable(own) for name, own in value.items()}
    if isinstance(value, list):
        return list(map(_printable, value))
    return printable(value) if isinstance(value, str) else value


def _use(card: ModelCard, file: str, elsewhere: str) -> str:
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
    begin = elsewhere or (
        f"In a checkout of longtail {__version__}:\n\n    pip install .\n    longtail predict {printable(file)} photos/"
    )
    last = (
        ""
        if elsewhere
        else f"\nThe ONNX file takes uint8, batch x 3 x {stored} x {stored}, and does all else."
    )
    return f"""## Use

{begin}

Pictures are turned upright, converted to RGB and {card.squared}{resized}.
Values from 0 to 1 are normalised with mean {_numbers(card.mean)} and standard deviation {_numbers(card.std)}.{last}

{calibration}"""


def _data(card: ModelCard, run: RunFiles) -> str:
    counts = card.class_counts
    most, least = max(counts), min(counts)
    ratio = f"{most / least:.4g} to 1" if least else "without bound: a class has none"
    name = run.folder or run.source
    table = [
        *([["collection" if run.folder else "source", as_code(name)]] if name else []),
        ["classes", f"{len(counts):,}"],
        ["training images", f"{sum(counts):,}{_groups_of(run, 'train')}"],
    ]
    if run.split is not None:
        for subset, called in (("val", "validation images"), ("test", "test images")):
            table.append([called, f"{(run.split['subset'] == subset).sum():,}{_groups_of(run, subset)}"])
    table += [
        ["of the most frequent class", f"{most:,} ({as_code(card.class_names[counts.index(most)])})"],
        ["of the rarest class", f"{least:,} ({as_code(card.class_names[counts.index(least)])})"],
        ["imbalance", ratio],
        ["size as stored", f"{card.picture_size} x {card.picture_size} pixels"],
        *([["also known of each image", ", ".join(run.columns)]] if run.columns else []),
    ]
    return "## Data\n\n" + _table(table, ["", ""]) + _divided(run)


def _groups_of(run: RunFiles, subset: str) -> str:
    """In how many groups the images of a subset are; empty where the split knows none."""
    if run.split is None or not has_groups(run.split):
        return ""
    chosen = run.split["subset"] == subset
    if subset == "train":
        chosen &= in_set(run.split, run.train_set)
    return f" in {run.split.loc[chosen, CLUSTER].nunique():,} groups"


def _divided(run: RunFiles) -> str:
    """Whether images that belong together are in one set."""
    if run.split is None:
        return ""
    if CLUSTER not in run.split or run.split[CLUSTER].is_unique:
        return "\n\nThe split takes each image for itself: it knows no groups of images that belong together."
    torn = int((run.split.groupby(CLUSTER)["subset"].nunique() > 1).sum())
    if torn:
        return (
            f"\n\nOf the groups of images that belong together, {torn:,} are in more than one of these sets."
        )
    return (
        "\n\nImages that belong together (of one individual or night as far as a list says so, or duplicates) are all "
        "in one of these sets."
    )


def _results(run: RunFiles) -> str:
    heading, evaluation = "## Results by group\n\n", run.evaluation
    if evaluation is None:
        return heading + run.note
    values = evaluation.pivot(index="test_set", columns="metric", values="value")
    images = evaluation.groupby("test_set")["n"].first()
    rows = [
        [label(name), f"{images[name]:,}", *map(_percent, values.reindex(columns=SHOWN).loc[name])]
        for name in TEST_SETS
        if name in images.index
    ]
    note = "F1 is the mean over classes on the balanced test set and weighted by their images on the others."
    if run.answered is None and "ece" in values:  # else there is a section about it
        rows = [
            [*row, *map(_percent, values.reindex(columns=["ece", "ece_by_chance"]).loc[name])]
            for row, name in zip(rows, [each for each in TEST_SETS if each in images.index], strict=True)
        ]
        note += (
            " The calibration error is that of the probabilities before the temperature; by chance is that of a "
            "perfectly calibrated model on as many images."
        )
    heads = ["Test set", "Images", *(METRICS[name].label for name in (*SHOWN, "ece", "ece_by_chance"))]
    return (
        heading
        + _table(rows, heads[: len(rows[0])] if rows else heads)
        + "\n\n"
        + f"{note} {run.note}".rstrip()
    )


def classes_of(card: ModelCard, run: RunFiles) -> Table | None:
    """The table of the single classes, the best F1 first; None where the run's answers are not at hand."""
    if run.answered is None or run.split is None:
        return None
    answered, labels = run.answered, run.answered.labels
    table = counted_classes(class_table(run.split, run.train_set), run.split, run.train_set)
    found = pd.DataFrame({"label": labels, "predicted": answered.logits.argmax(axis=1)})
    data = by_class(confusion(found, table.set_index("label")["class_name"]), table)
    limits = [_interval(answered, labels == own) for own in data["label"]]
    data["recall_low"], data["recall_high"] = zip(*limits, strict=True)
    data = data.sort_values("f1", ascending=False, kind="stable", ignore_index=True)
    shown = data.assign(
        recall_interval=[
            "" if np.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}"
            for low, high in zip(data["recall_low"], data["recall_high"], strict=True)
        ]
    )
    about = f"All {len(labels):,} test images, the class with the best F1 first. {DEFINED}"
    return Table(data, class_page(shown, about).text, about, keys=2)


def _interval(answered: Answered, chosen: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the recall of these images; NaN where there are none."""
    if not chosen.any():
        return np.nan, np.nan
    part = answered.part(chosen)
    return part.interval(part.right)


def classes_csv(table: Table | None) -> str | None:
    """The csv of all classes where the page has only the best and the worst; None where it has all."""
    return csv(table) if table is not None and len(table.text) > 2 * LISTED else None


def _species(card: ModelCard, run: RunFiles, csv_file: str) -> list[str]:
    table, answered = classes_of(card, run), run.answered
    if table is None or answered is None:
        return []
    low, high = answered.interval(answered.right)
    groups = "" if answered.cluster is None else f" in {len(np.unique(answered.cluster)):,} groups"
    text = table.text
    parts = [
        "## Results by class",
        f"Of {len(answered.labels):,} test images{groups}, {100 * answered.right.mean():.1f} % are right "
        f"[{100 * low:.1f}, {100 * high:.1f}]. In brackets, and beside the recall: 95 % intervals for further images "
        "like these.",
        table.caption,
    ]
    if len(text) <= 2 * LISTED:
        return ["\n\n".join([*parts, pipe_table(text, table.keys)])]
    known = text[table.data["f1"].notna()]
    ends = [("best", known.head(LISTED)), ("worst", known.tail(LISTED).iloc[::-1])]
    beside = f"; {as_code(csv_file)} has all {len(text):,}" if csv_file else ""
    for which, rows in ends:
        parts += [f"The {len(rows)} {which} classes{beside}:", pipe_table(rows, table.keys)]
    return ["\n\n".join(parts)]


def _calibration(card: ModelCard, run: RunFiles) -> list[str]:
    if run.answered is None:
        return []
    right, rows = run.answered.right, []
    temperature = card.temperature or 1.0
    kinds = [("as trained", temperature), *([("after the temperature", 1.0)] if card.temperature else [])]
    for name, factor in kinds:
        confidence = Answered(run.answered.labels, run.answered.logits * factor).confidence
        error, chance = expected_calibration_error(confidence, right), calibration_error_by_chance(confidence)
        rows.append([name, *map(_percent, (confidence.mean(), right.mean(), error, chance))])
    heads = ["Probabilities", "Claimed", "Right", "Calibration error", "… by chance"]
    note = (
        f"On all {len(right):,} test images. By chance is the error of a perfectly calibrated model on as many images: "
        "an error near it shows nothing. `predict` and the ONNX file give the probabilities of the last row."
    )
    return ["## Calibration\n\n" + _table(rows, heads) + f"\n\n{note}"]


def _training(card: ModelCard, record: Record | None) -> str:
    declared = declaration(card.loss) if isinstance(card.loss, str) else None
    started = card.started_from or {}
    fitted = {"calibrate": card.temperature, "false_rejection": card.known_from}
    rows = [
        ["architecture", card.architecture],
        ["head", card.head],
        *([["experts", str(card.experts)]] if card.experts > 1 else []),
        ["loss", loss_name(card)],
        *([["paper of the loss", declared.source]] if declared and declared.source else []),
        *(
            [f"loss: {name}", value]
            for name, value in sorted(card.loss_parameters.items())
            if not _is_off(name, value, declared)
        ),
        *([["retrain", f"{started['retrain']}: {Retrain.__doc__}"]] if started.get("retrain") else []),
        *(
            [name, about or value]
            for name, value, about in Recipe.acting(card.recipe)
            if fitted.get(name, True) is not None
        ),
        *([["distilled from", _pairs(card.distilled_from)]] if card.distilled_from else []),
        *([["classifier changed afterwards", _pairs(card.variant)]] if card.variant else []),
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
    return (
        f"## Training\n\n{_started(card)}\n\n"
        + _table(cells, ["Setting", "Value"])
        + "\n\nSettings that were off, or belong to something that was off, are not listed."
    )


def _is_off(name: str, value: Any, declared: Declaration | None) -> bool:
    """Whether a parameter of a loss did nothing: null, a scale of 1, or a 0 that is there unless somebody sets it."""
    default = declared.parameters[name][1] if declared and name in declared.parameters else ...
    return value is None or (name, value) == ("s", 1) or (value == default and not value)


def _pairs(settings: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _started(card: ModelCard) -> str:
    facts = card.started_from
    if facts is None or "source" not in facts:
        return "Which weights training started from is not known: an earlier version made the file."
    source = facts["source"]
    if source is None:
        return "Training started from random weights."
    told = [f"Training started from the weights {as_code(source)}"]
    if url := facts.get("url"):
        told.append(f" ({as_code(url)})")
    if facts.get("file"):
        told.append(
            f", read from the file {as_code(facts['file'])} (SHA-256 {as_code(str(facts.get('sha256')))})"
        )
        if facts.get("as_published") is not True:
            told.append(", which nothing proves to be the published one")
    license = facts.get("license")
    told.append(f". Their licence: {as_code(license)}." if license else ". Their licence is not known.")
    return "".join(told)


def _license(license: str | None) -> str:
    stated = (
        f"The licence of this model is {as_code(license)}."
        if license
        else ("Nobody has stated the licence of this model (`--license` of `longtail export` does).")
    )
    return (
        f"## Licence\n\n{stated} Those of the training images and of the weights that training started from may limit "
        "it. longtail itself is under the MIT licence."
    )


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
    return "\n".join(markdown_table(headers, [map(str, row) for row in rows]))


def _percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return in_markdown(str(value))
