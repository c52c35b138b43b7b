"""Read the files of many runs into one frame, which is the form that figures take.

The folder of a file says which run it belongs to: `.../{train_set}/{model}/{loss}/seed{seed}/{file}`. Where the file is
missing, the run failed or has not been run, and the frame gets one row without values for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from longtail.experiment.runs import MODEL, RUN, Run, speed_of
from longtail.files.csv import read_csv
from longtail.files.parquet import read_parquet
from longtail.files.sealed_json import unseal
from longtail.models.card import read_card

TEXTS = ("model", "loss", "train_set", "test_set", "metric", "class_name", "group", "subset")
NUMBERS = ("seed", "value", "n", "image_id", "label", "n_train", "acc", "f1")
"""The columns of text and of numbers in the tables of this project, whatever else a table has."""


def _odd(path: str | Path, where: str) -> str:
    return (
        f"{path} has other values than this project writes {where}; delete it and run the same command again"
    )


def read_table(path: str | Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A frame from parquet, or from csv.

    Args:
        columns: those that a parquet file has to have.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: this project did not write the file, or not these values; names it.
    """
    if Path(path).suffix == ".csv":
        return read_csv(path)
    frame = read_parquet(path, columns)
    odd = [
        name for name in TEXTS if name in frame and not all(isinstance(value, str) for value in frame[name])
    ]
    odd += [name for name in NUMBERS if name in frame and not is_numeric_dtype(frame[name])]
    odd += [name for name in ("longtailed", "balanced") if name in frame and not is_bool_dtype(frame[name])]
    if odd:
        raise ValueError(_odd(path, f"in the columns {', '.join(odd)}"))
    return frame


def read_tensors(path: str | Path):
    """A tensor file, as `longtail.data.tensors.files.load_tensors` returns it; images stay in the file until shown."""
    from longtail.data.tensors.files import load_tensors  # imports torch, which few figures need

    return load_tensors(path, mmap=True)


def read_histories(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Columns model, loss, train_set, seed, and those of `history.parquet`, one row per epoch.

    Raises:
        ValueError: a file is not in a run's folder, or damaged.
    """
    columns = ["epoch", "train_loss", "train_acc1", "val_loss", "val_acc1", "learning_rate"]
    return _read(paths, lambda path: read_parquet(path, columns), columns)


def read_predictions(paths: Iterable[str | Path]) -> pd.DataFrame:
    """One row per run and test image: image_id, label, predicted (the class of the largest logit).

    Returns:
        Columns model, loss, train_set, seed, and those.

    Raises:
        As `read_histories`.
    """
    return _read(paths, lambda path: _predictions(path)[0], ["image_id", "label", "predicted"])


def read_confidences(paths: Iterable[str | Path]) -> pd.DataFrame:
    """The frame of `read_predictions` with a column confidence, the probability of the predicted class.

    The model file is needed too, since only it has the factor that turns the logits into probabilities.

    Args:
        paths: the predictions, each with `model.safetensors` of its run beside it.

    Raises:
        As `read_histories`; ValueError also where there is no model beside the predictions.
    """
    return _read(paths, _confidences, ["image_id", "label", "predicted", "confidence"])


def read_records(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Columns model, loss, train_set, seed, seconds, images_per_second (of training), peak_memory_mb, device.

    Raises:
        As `read_histories`.
    """
    return _read(paths, _record, ["seconds", "images_per_second", "peak_memory_mb", "device"])


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
        paths: a file of every run there should be, in its run's folder.
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
    runs = {Path(path): Run.of_file(path) for path in paths}
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
        try:
            frame = read(path)[columns] if path.is_file() else pd.DataFrame([dict.fromkeys(columns, np.nan)])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if str(path) in str(error):
                raise
            raise ValueError(_odd(path, f"({error})")) from error
        frames.append(frame.assign(**Run.of_file(path)._asdict())[[*RUN, *columns]])
    return pd.concat(frames, ignore_index=True)


def _predictions(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """A frame with columns image_id, label and predicted, and the logits, float64, N x C."""
    frame = read_parquet(path, ["image_id", "label", "logits"])
    logits = np.stack(frame.pop("logits").to_list()).astype(np.float64)
    return frame.assign(predicted=logits.argmax(axis=1)), logits


def _confidences(path: Path) -> pd.DataFrame:
    model = path.with_name(MODEL)
    if not model.is_file():
        raise ValueError(f"{path} has no model beside it ({model.name}); put it there, or train again")
    frame, logits = _predictions(path)
    below = read_card(model).logit_scale * (logits - logits.max(axis=1, keepdims=True))
    return frame.assign(confidence=1 / np.exp(below).sum(axis=1))


def _record(path: Path) -> pd.DataFrame:
    try:
        record = unseal(path.read_bytes(), path)
        row = {name: record[name] for name in ("seconds", "peak_memory_mb", "device")}
        return pd.DataFrame([row | {"images_per_second": speed_of(record)}])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no record of a run ({error}); delete it and run the same command again"
        ) from error
