"""The facts that every caption must state: how many images and seeds there are, and which runs are missing."""

import itertools
from collections.abc import Iterable

import pandas as pd

from longtail.analysis.grid import without
from longtail.data.split.sets import CLUSTER
from longtail.experiment.runs import RUN
from longtail.report.labels import label

CLUSTERS = "clusters"


def caption(*sentences: str) -> str:
    """One paragraph of the sentences that are not empty."""
    return " ".join(sentence for sentence in sentences if sentence)


def of_accuracies(table: pd.DataFrame, *sentences: str) -> str:
    """A caption of accuracies (see `grid.accuracies`): the sentences, the test images, and what is missing."""
    return caption(*sentences, test_images(table), missing(table, "accuracy"))


def seeds(frame: pd.DataFrame) -> str:
    """How many training seeds the frame holds, and which, as a phrase."""
    found = sorted(frame["seed"].unique())
    listed = ", ".join(map(str, found))
    plural = "one training seed" if len(found) == 1 else f"{len(found)} training seeds"
    return f"{plural} ({listed}), one data split"


def training(model: str, train_set: str, loss: str | None = None) -> str:
    """A phrase for model, loss and training set: `ViT-B/16 with LDAM on the long-tailed training set`."""
    with_loss = f" with {label(loss)}" if loss else ""
    return f"{label(model)}{with_loss} on the {label(train_set).lower()} training set"


def count(number: int, noun: str) -> str:
    """A number and its noun, such as `1 model` or `3 models`."""
    return f"{number} {noun if number == 1 else f'{noun}s'}"


def spread(frame: pd.DataFrame, marks: str) -> str:
    """A sentence that explains the marks of means over the seeds and their error bars."""
    if frame["seed"].nunique() > 1:
        return f"{marks}: mean over the seeds; error bars: standard deviation over the seeds."
    return f"{marks}: the one run; no error bars, since one run has no spread."


def test_images(table: pd.DataFrame) -> str:
    """How many images each test set holds, as a sentence; and in how many groups, where they are not independent."""
    counts = table.groupby("test_set", sort=False)["n"].max()
    listed = ", ".join(f"{label(name).lower()} {n:,.0f}" for name, n in counts.items())
    return f"Test images: {listed}.{in_groups(table)}"


def in_groups(table: pd.DataFrame) -> str:
    """How many groups of images that belong together each test set holds, as a sentence after a space; or nothing."""
    if CLUSTERS not in table or (table[CLUSTERS] == table["n"]).all():
        return ""
    counts = table.groupby("test_set", sort=False)[CLUSTERS].max()
    return dependent(", ".join(f"{label(name).lower()} {n:,.0f}" for name, n in counts.items()))


def dependent(groups: str) -> str:
    """The sentence that images are not independent, after a space; with the numbers of their groups."""
    return f" Images of one group are not independent of each other; groups: {groups}."


def dependent_of(image_ids: pd.Series, split: pd.DataFrame) -> str:
    """The same sentence for images of a split; nothing where each stands for itself."""
    if CLUSTER not in split:
        return ""
    own = split[split["image_id"].isin(image_ids)]
    return "" if own[CLUSTER].is_unique else dependent(f"{own[CLUSTER].nunique():,}")


def repeated(losses: Iterable[tuple[str, str]]) -> str:
    """A sentence on losses that a mean leaves out, by training set and loss; empty where there is none."""
    listed = "; ".join(
        f"{', '.join(label(loss) for _, loss in own)} ({label(train_set).lower()} training set)"
        for train_set, own in itertools.groupby(losses, key=lambda pair: pair[0])
    )
    return f"Counted once, with another loss of the same accuracies everywhere: {listed}." if listed else ""


def missing(frame: pd.DataFrame, value: str) -> str:
    """Which runs of the grid have no number in `value`, as a sentence; empty if none is missing."""
    runs = pd.DataFrame(without(frame, value), columns=RUN)
    every_seed = frame["seed"].nunique()
    names = []
    for (model, loss, train_set), group in runs.groupby(["model", "loss", "train_set"], sort=False):
        listed = f"seed {', '.join(map(str, group['seed']))}"
        which = "all seeds" if len(group) == every_seed > 1 else listed
        names.append(f"{label(model)} with {label(loss)}, {label(train_set).lower()} training set, {which}")
    return f"Missing (failed or not run), and in no mean: {'; '.join(names)}." if names else ""


def span(counts: pd.Series) -> str:
    """`50`, or `1 to 50`, with thousands separated."""
    low, high = counts.min(), counts.max()
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
