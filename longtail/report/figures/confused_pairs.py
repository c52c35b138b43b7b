"""The most confused pairs of classes as pictures: mistaken images beside images of the class they were taken for."""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from longtail.analysis.classes import confused, confusion
from longtail.analysis.grid import select
from longtail.data.split.sets import in_set
from longtail.data.tensors.files import LabelledImages
from longtail.files.text import width
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.pictures import CELL, strip
from longtail.report.labels import shortened, trained

LINE = 50  # letters above a row of pictures; longer titles have two lines
LONGEST = 60  # letters of a class name; longer ones are cut, and the caption says so


@style.look()
def draw(
    predictions: pd.DataFrame,
    test_tensors: LabelledImages,
    tensors: LabelledImages,
    split: pd.DataFrame,
    model: str,
    train_set: str,
    loss: str,
    pairs: int = 6,
    images: int = 7,
) -> style.Drawn:
    """A row for each pair: test images of one class that were taken for another; training images of that other.

    Args:
        predictions: columns model, loss, train_set, seed, image_id, label, predicted.
        test_tensors: the images that were predicted.
        tensors: images that hold the training set.
        split: columns image_id, label, class_name, subset, longtailed; says which images were trained on.
        pairs: how many at most, those with most mistakes first.
        images: how many of each class at most.

    Raises:
        ValueError: there is no such run, or a mistaken image is not among the test images.
    """
    runs = select(predictions, model=model, train_set=train_set, loss=loss)
    # The pairs with most mistakes. Of equal ones, the larger share of its class is first, then the lower label.
    found = confused(confusion(runs, pd.Series(test_tensors.class_names)))
    shown = found.sort_values(["times", "share"], ascending=False, kind="stable").head(pairs)
    title = trained(model, train_set, loss)
    dependent = captions.dependent_of(runs["image_id"], split)
    counts = len(shown), len(found), shown["times"].sum()
    text = _caption(runs, captions.training(model, train_set, loss), *counts, images, dependent)
    if any(len(name) > LONGEST for name in test_tensors.class_names):
        text += f" Names of more than {LONGEST} letters are cut."
    if runs["predicted"].isna().all():
        return style.explanation(f"{title}: missing, no run finished.", text)
    if shown.empty:
        return style.explanation(f"{title}: no test image was taken for another class.", text)
    learned = split[(split["subset"] == "train") & in_set(split, train_set)]
    names = [shortened(name, LONGEST) for name in test_tensors.class_names]
    rows = []
    for pair in shown.itertuples():
        own = runs[(runs["label"] == pair.label) & (runs["predicted"] == pair.predicted)]
        by_seeds = (
            own.groupby(own["image_id"].astype("int64")).size().sort_values(ascending=False, kind="stable")
        )
        predicted = names[pair.predicted]
        images_of_other = learned[learned["label"] == pair.predicted]["image_id"].sort_values()
        left = _title(f"{names[pair.label]} ", f"as {predicted}: {pair.times:,} of {pair.of:,}")
        right = _title("Training images of ", f"{predicted} ({len(images_of_other):,})")
        rows.append((by_seeds.index, left, images_of_other, right))
    above = 0.36 if any("\n" in left + right for _, left, _, right in rows) else 0.22
    figure = style.new_figure(len(shown) * (CELL + above) + 0.3, title=title)
    for axes, (mistaken, left, images_of_other, right) in zip(
        figure.subplots(len(shown), 2, squeeze=False), rows, strict=True
    ):
        _panel(axes[0], strip(test_tensors.images, _positions(test_tensors, mistaken), images), left)
        _panel(axes[1], strip(tensors.images, _positions(tensors, images_of_other), images), right)
    return style.Drawn(figure, text)


def _caption(
    runs: pd.DataFrame, training: str, shown: int, found: int, times: int, images: int, dependent: str
) -> str:
    """Sentences on what is shown, and on the number of mistakes, images and runs behind it."""
    done = runs.dropna(subset="predicted")
    mistakes = (done["predicted"] != done["label"]).sum()
    return captions.caption(
        f"The {shown} most confused of {found:,} confused pairs of classes: {training},"
        f" {captions.seeds(runs)}.",
        f"Left: up to {images} test images of a class that were taken for another one, those first that most seeds"
        " mistook, then by image id; above them how many predictions for images of that class were this mistake, all"
        f" seeds together. Right: up to {images} images of that other class that were trained on, the first by image"
        " id; in brackets how many there are.",
        f"Test images: {done['image_id'].nunique():,}; {mistakes:,} of {len(done):,} predictions are wrong,"
        f" {times:,} of them in these pairs.{dependent}"
        if len(done)
        else "",
        captions.missing(runs, "predicted"),
    )


def _positions(tensors: LabelledImages, image_ids: pd.Index | pd.Series) -> torch.Tensor:
    """Where the images of these ids are, in their order."""
    place_of = pd.Series(np.arange(len(tensors.image_ids)), index=tensors.image_ids.numpy())
    places = place_of.reindex(image_ids)
    if places.isna().any():
        raise ValueError(
            f"the tensors lack image {places[places.isna()].index[0]}; make them, the split and the predictions "
            "from the same data"
        )
    return torch.tensor(places.to_numpy(np.int64))


def _title(first: str, second: str) -> str:
    """Both in one line, or in two where they are longer."""
    return f"{first}{second}" if width(first + second) <= LINE else f"{first}\n{second}"


def _panel(axes: Axes, sheet: np.ndarray, title: str) -> None:
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title(title, loc="left")
    axes.set_anchor("W")
    axes.set_axis_off()
