"""Read the files of many runs into one frame, which is the form that figures take.

The folder of a file says which run it belongs to: `.../{train_set}/{model}/{loss}/seed{seed}/{file}`. Where the file is
missing, or the name of the run stands in its place, the run failed or has not been run, and the frame gets one row
without values for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd

from longtail.analysis.calibration import confidences
from longtail.analysis.tables import DIFFERENCES, EVALUATION, PER_CLASS, PUBLISHED
from longtail.data.split.sets import SPLIT
from longtail.experiment.record import read_record
from longtail.experiment.runs import ANSWERS, HISTORIES, MODEL, RUN, Run
from longtail.files.csv import read_csv
from longtail.files.parquet import read_about, read_matrix, read_parquet
from longtail.models.card import digest_of, read_card

OF_METRICS = "longtail.analysis.metrics"
"""Named, and not imported: it only checks what is read, so a new metric need not make every figure stale."""


def read_evaluation(path: str | Path) -> pd.DataFrame:
    """The metrics of all runs, of the columns of `EVALUATION`.

    Raises:
        As `Table.read`; ValueError also where a share is not from 0 to 1.
    """
    frame = EVALUATION.read(path)
    metrics = import_module(OF_METRICS).METRICS
    shares = frame["metric"].isin([name for name, metric in metrics.items() if metric.unit == "share"])
    odd = frame[shares & ~frame["value"].dropna().between(0, 1).reindex(frame.index, fill_value=True)]
    if len(odd):
        first = odd.iloc[0]
        raise ValueError(
            f"{path} has {first['metric']} {first['value']:g}, which is a share, from 0 to 1. {EVALUATION.remedy}"
        )
    return frame


def evaluated_models(path: str | Path) -> dict[Run, str]:
    """The `digest_of` the model of each run that was evaluated, as the evaluation says; empty where it does not.

    Raises:
        FileNotFoundError, ValueError: as `read_about`.
    """
    return {Run.of(name): digest for name, digest in read_about(path).get("models", {}).items()}


read_per_class, read_differences, read_split = PER_CLASS.read, DIFFERENCES.read, SPLIT.read
"""Figures name these readers; the tables say what they return and raise."""


def read_evaluated(path: str | Path) -> dict[Run, tuple[str, pd.DataFrame]]:
    """What `combine` made one frame of and an evaluation wrote: the key and the table of each run that has a key.

    Raises:
        FileNotFoundError, ValueError: as `read_parquet` and `read_about`.
    """
    frame, keys = read_parquet(path, RUN), read_about(path).get("keys", {})
    # Where no run on a training set is there, the counts of its images are missing, and all are floats.
    whole = dict.fromkeys({"n_train"} & {*frame}, "int64")
    return {
        Run(*run): (keys[str(Run(*run))], own.drop(columns=RUN).reset_index(drop=True).astype(whole))
        for run, own in frame.groupby(RUN, sort=False)
        if str(Run(*run)) in keys
    }


def read_answers(path: str | Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The predictions of a run by ascending image id: a frame as `ANSWERS` says, and the logits.

    Returns:
        The frame, N rows, and the logits in the type of the file, float32, N x C; each label has one.

    Raises:
        As `Table.read`; ValueError also where another model lies beside them.
    """
    frame, logits = read_matrix(path, "logits")
    ANSWERS.checked(frame, path)
    check_answered(path)
    odd = ~(np.isfinite(logits.min(axis=1)) & np.isfinite(logits.max(axis=1)))
    if odd.any():
        image = frame["image_id"].iloc[odd.argmax()]
        raise ValueError(
            f"{path} has logits of image {image} that are not finite, and of {odd.sum():,} images in all. "
            f"{ANSWERS.remedy}"
        )
    if (largest := frame["label"].max()) >= logits.shape[1]:
        raise ValueError(
            f"{path} has the label {largest}, but {logits.shape[1]} logits for each image. {ANSWERS.remedy}"
        )
    if not frame["image_id"].is_monotonic_increasing:
        order = np.argsort(frame["image_id"].to_numpy())
        frame, logits = frame.iloc[order].reset_index(drop=True), logits[order]
    return frame, logits


def check_answered(path: str | Path) -> None:
    """See that the model beside the predictions of a run, if there is one, has made them.

    Raises:
        ValueError: another one has; or as `answered_by`.
    """
    model = Path(path).with_name(MODEL)
    if model.is_file() and not answered_by(path, model):
        raise ValueError(
            f"{path} does not say that it is what {model} has answered: one of the two was replaced since, or comes "
            f"from an earlier version. {ANSWERS.remedy}"
        )


def answered_by(predictions: str | Path, model: str | Path) -> bool:
    """Whether the predictions say that this very model has made them.

    Raises:
        FileNotFoundError, ValueError: as `read_about` and `digest_of`.
    """
    return read_about(predictions).get("model") == digest_of(model)


def read_published(path: str | Path) -> pd.DataFrame:
    """The published numbers, of the columns of `PUBLISHED`, each cell as the text that it is printed as.

    Raises:
        As `Table.read`.
    """
    PUBLISHED.read(path)
    return read_csv(path, numbers=False)


def read_tensors(path: str | Path):
    """A tensor file, as `longtail.data.tensors.files.load_tensors` returns it; images stay in the file until shown."""
    from longtail.data.tensors.files import load_tensors  # imports torch, which few figures need

    return load_tensors(path, mmap=True)


def read_histories(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Columns model, loss, train_set, seed, and those of `history.parquet`, one row per epoch.

    Raises:
        ValueError: a file is not in a run's folder, or damaged.
    """
    return _read(paths, HISTORIES.read, list(HISTORIES.columns))


def read_predictions(paths: Iterable[str | Path]) -> pd.DataFrame:
    """One row per run and test image: image_id, label, predicted (the class of the largest logit).

    Returns:
        Columns model, loss, train_set, seed, and those.

    Raises:
        As `read_histories`.
    """
    return _read(paths, lambda path: _predictions(path)[0], ["image_id", "label", "predicted"])


def read_confidences(paths: Iterable[str | Path], logit_scale: float | None = None) -> pd.DataFrame:
    """The frame of `read_predictions` with a column confidence, the probability of the predicted class.

    Args:
        paths: the predictions, each with `model.safetensors` of its run beside it.
        logit_scale: the factor that turns the logits into those of probabilities; None: the model file tells it.

    Raises:
        As `read_histories`; ValueError also where there is no model beside the predictions.
    """
    columns = ["image_id", "label", "predicted", "confidence"]
    return _read(paths, lambda path: _confidences(path, logit_scale), columns)


def read_records(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Columns model, loss, train_set, seed, seconds, images_per_second (of training), peak_memory_mb, device.

    Raises:
        As `read_histories`.
    """
    columns = ["seconds", "images_per_second", "peak_memory_mb", "device"]
    return _read(
        paths, lambda path: pd.DataFrame([attrgetter(*columns)(read_record(path))], columns=columns), columns
    )


def require_files(paths: Iterable[str | Path]) -> None:
    """See that the file of every run is there, but for runs that are named alone.

    Raises:
        FileNotFoundError: one is not; names it and its run.
        ValueError: a path is not in a run's folder.
    """
    absent = [path for path in paths if not Run.named(path) and not Path(path).exists()]
    if absent:
        more = f" (and {len(absent) - 1:,} more files are not there)" if len(absent) > 1 else ""
        raise FileNotFoundError(
            f"{absent[0]} of the run {Run.of_file(absent[0])} does not exist{more}; make it, or name the run as missing"
        )


def combine(
    paths: Sequence[str | Path],
    tables: Mapping[Path, pd.DataFrame],
    measured: Sequence[str],
    of_train_set: Sequence[str] = (),
) -> pd.DataFrame:
    """One frame of the tables of many runs, in the order of the paths; runs without a table become rows with NaN.

    A missing run gets the rows of a run that is there, with NaN in the columns `measured`. So whatever counts, draws
    or averages the frame later can see that the run is missing.

    Args:
        paths: a file of every run there should be, in its run's folder, or the name of a missing run.
        tables: those that are there, by path.
        measured: columns that hold the run's results.
        of_train_set: columns that have the same values in all runs on one training set. They are NaN only if none
            of these runs is there.

    Returns:
        Columns model, loss, train_set, seed, and those of the tables.

    Raises:
        FileNotFoundError: no run has a table.
        ValueError: a path is not in a run's folder.
    """
    runs = {Path(path): _run_of(path) for path in paths}
    if not tables:
        listed = ", ".join(map(str, list(runs)[:3]))
        raise FileNotFoundError(
            f"none of the {len(runs)} runs has its file ({listed}, …): train at least one"
        )
    templates = {runs[path].train_set: table for path, table in tables.items()}
    other = next(iter(tables.values())).assign(**dict.fromkeys(of_train_set, np.nan))
    frames = []
    for path, run in runs.items():
        template = templates.get(run.train_set, other)
        table = tables[path] if path in tables else template.assign(**dict.fromkeys(measured, np.nan))
        frames.append(table.assign(**run._asdict())[[*RUN, *table.columns]])
    return pd.concat(frames, ignore_index=True)


def _read(
    paths: Iterable[str | Path], read: Callable[[Path], pd.DataFrame], columns: list[str]
) -> pd.DataFrame:
    frames = []
    for path in map(Path, paths):
        run, there = _run_of(path)._asdict(), not Run.named(path) and path.exists()
        frame = read(path)[columns] if there else pd.DataFrame([dict.fromkeys(columns, np.nan)])
        frames.append(frame.assign(**run)[[*RUN, *columns]])
    return pd.concat(frames, ignore_index=True)


def _run_of(path: str | Path) -> Run:
    return Run.named(path) or Run.of_file(path)


def _predictions(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """A frame with columns image_id, label and predicted, and the logits, float64, N x C."""
    frame, logits = read_answers(path)
    return frame.assign(predicted=logits.argmax(axis=1)), logits


def _confidences(path: Path, logit_scale: float | None) -> pd.DataFrame:
    model = path.with_name(MODEL)
    if logit_scale is None and not model.is_file():
        raise ValueError(f"{path} has no model beside it ({model.name}); put it there, or train again")
    frame, logits = _predictions(path)
    scale = read_card(model).logit_scale if logit_scale is None else logit_scale
    return frame.assign(confidence=confidences(logits, scale))
