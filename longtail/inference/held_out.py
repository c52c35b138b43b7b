"""The images of an experiment that a model was not trained on, with what finished runs say of them.

They lie in the folder of results that the model is in: the test images with the predictions of every run, and the
validation images, for which the model computes anew.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from longtail.analysis.frames import read_answers
from longtail.analysis.shift import Answered
from longtail.data.split.sets import CLUSTER, SPLIT, with_sets
from longtail.data.tensors.files import LabelledImages, load_tensors
from longtail.experiment.runs import IN_PATH, PATTERN, PREDICTIONS
from longtail.files.parquet import read_about, read_parquet
from longtail.inference.logits import logits_of
from longtail.models.card import ModelCard, read_card
from longtail.models.file import load_model


@dataclass(frozen=True)
class HeldOut:
    """Images that a model was not trained on.

    Attributes:
        images: columns image_id, label, group, subset (test or val), cluster where the split has
            it, and path ("" where the source has no files); N rows.
        logits: float64, N x C, times the model's sharpness: their softmax gives calibrated probabilities.
        view: how the images were shown, as options of `logits_of`; empty: as they are.
    """

    images: pd.DataFrame
    logits: np.ndarray
    view: Mapping[str, Any]

    @property
    def answered(self) -> Answered:
        """The same in the form of the analysis."""
        cluster = None
        if CLUSTER in self.images and not self.images[CLUSTER].is_unique:
            cluster = np.unique(self.images[CLUSTER], return_inverse=True)[1]
        return Answered(self.images["label"].to_numpy(), self.logits, cluster)


def place_of(model: str | Path) -> Path | None:
    """Where a model lies in the folder of its run, also where a link leads to it; None: in no such folder."""
    places = (Path(model).absolute(), Path(os.path.realpath(model)))
    return next((path for path in places if IN_PATH.search(path.parent.as_posix())), None)


def results_of(model: str | Path) -> Path:
    """The folder of results that a model lies in.

    Raises:
        ValueError: it does not lie in the folder of a run, or the folder of results lacks the split.
    """
    path = place_of(model)
    if path is None:
        raise ValueError(f"{model} is not in the folder of a run, …/{PATTERN}/")
    results = path.parents[5]
    if not (results / "data/split.parquet").is_file():
        raise ValueError(
            f"{results} has no data/split.parquet, which says what {model} was trained on; name the model where the "
            "workflow made it"
        )
    return results


def tested(model: str | Path) -> HeldOut:
    """The test images, with the run's own predictions.

    Raises:
        FileNotFoundError: the run has no predictions.
        ValueError: the model was moved, a file is damaged, or the files do not belong together; names it.
    """
    results, place = results_of(model), place_of(model)
    path = (place or Path(model)).with_name(PREDICTIONS)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; run the workflow, which predicts after it has trained"
        )
    card, split = read_card(model), SPLIT.read(results / "data/split.parquet")
    _check_classes(card, split, model)
    frame, logits = read_answers(path)
    if set(frame["image_id"]) != set(split.loc[split["subset"] == "test", "image_id"]):
        raise ValueError(
            f"{path} is of other test images than {results / 'data/split.parquet'}, which was made anew since, so that "
            f"{model} may have learned what is to test it; run the workflow again"
        )
    if logits.shape[1] != len(card.class_names):
        raise ValueError(
            f"{path} has {logits.shape[1]} logits for each image, and {model} knows {len(card.class_names)} classes; "
            "make the predictions anew"
        )
    view = {name: value for name, value in read_about(path).items() if name in ("crops", "expand")}
    return HeldOut(
        _described(frame, split, "test", results), logits.astype(np.float64) * card.sharpness, view
    )


def validated(model: str | Path, view: Mapping[str, Any]) -> HeldOut:
    """The validation images, for which the model computes.

    Args:
        view: how they are shown to it, as the test images were.

    Raises:
        FileNotFoundError, ValueError: as `tested`.
    """
    results, device = results_of(model), torch.device("cpu")
    split = SPLIT.read(results / "data/split.parquet")
    network, card = load_model(model, device)
    _check_classes(card, split, model)
    images = load_tensors(results / "data/val.pth", mmap=True)
    logits = logits_of(network, images.images, card, device, resident=False, **view).double().numpy()
    frame = pd.DataFrame({"image_id": images.image_ids.numpy(), "label": images.labels.numpy()})
    return HeldOut(_described(frame, split, "val", results), logits * card.sharpness, view)


def joined(parts: Sequence[HeldOut]) -> HeldOut:
    """Several sets in one; an image that is in two of them counts once, in the first."""
    images = pd.concat([part.images for part in parts], ignore_index=True)
    first = ~images["image_id"].duplicated().to_numpy()
    logits = np.concatenate([part.logits for part in parts])[first]
    return HeldOut(images[first].reset_index(drop=True), logits, parts[0].view)


def pixels_of(results: Path, image_ids: Sequence[int]) -> dict[int, np.ndarray]:
    """The pixels of test and validation images as the workflow stored them, uint8 H x W x 3, by id."""
    wanted, found = set(image_ids), dict[int, np.ndarray]()
    for name in ("test_balanced", "test_longtailed", "val"):
        path = results / f"data/{name}.pth"
        if wanted - set(found) and path.is_file():
            tensors: LabelledImages = load_tensors(path, mmap=True)
            for place, own in enumerate(tensors.image_ids.tolist()):
                if own in wanted:
                    found[own] = tensors.images[place : place + 1][0].permute(1, 2, 0).numpy()
    return found


def _check_classes(card: ModelCard, split: pd.DataFrame, model: str | Path) -> None:
    names = split.groupby("label")["class_name"].first().tolist()
    if names != card.class_names:
        raise ValueError(
            f"{model} knows other classes than the split of its folder of results: {len(card.class_names)} and "
            f"{len(names)}, such as {card.class_names[0]!r} and {names[0]!r}; run the workflow again"
        )


def _described(frame: pd.DataFrame, split: pd.DataFrame, subset: str, results: Path) -> pd.DataFrame:
    """What the split and the index of the collection say of these images."""
    frame = with_sets(frame, split).assign(subset=subset)
    index = results / "data/index.parquet"
    if not index.is_file():
        return frame.assign(path="")
    paths = read_parquet(index, ["image_id", "path"]).set_index("image_id")["path"]
    return frame.assign(path=frame["image_id"].map(paths).fillna(""))
