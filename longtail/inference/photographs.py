"""New photographs with known classes, and what a trained model says of them."""

import difflib
import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import nn

from longtail.analysis.shift import Answered
from longtail.data.collection.decoding import content_of
from longtail.data.collection.listing import Entry, list_images
from longtail.data.lists.rows import Choices
from longtail.data.split.sets import CLUSTER, SPLIT, frequency_groups
from longtail.files.parquet import read_parquet
from longtail.inference.held_out import HeldOut, place_of, results_of, tested
from longtail.inference.pictures import batches_of
from longtail.models.card import ModelCard

NAMED = 5
"""How many photographs of a kind that does not count are named."""


@dataclass(frozen=True)
class Photographs:
    """Photographs that count, and those that do not.

    Attributes:
        answered: their labels, logits and groups.
        table: columns path, class_name, predicted, probability (of the predicted class), right, group of images ("" for
            none), in the order of the logits.
        groups: the group of each label of the model.
        old: the same of the test images of the run, for comparison; None where the model lies elsewhere.
        left_out: a sentence for each kind of photographs that do not count.
        crops: how both were cropped (`predict.crops`); empty: shown as they are.
    """

    answered: Answered
    table: pd.DataFrame
    groups: list[str]
    old: Answered | None
    left_out: list[str]
    crops: str = ""


def read_photographs(
    model: nn.Module,
    card: ModelCard,
    source: str | Path,
    *,
    file: str | Path,
    choices: Choices | None = None,
    root: str | None = None,
    leave_out_unknown: bool = False,
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    threads: int = 1,
) -> Photographs:
    """Read a folder or a list of photographs, and classify them.

    A photograph does not count if it cannot be read, if the model was trained on that very file, selected by it or
    tested on it, or, where that is asked for, if the model does not know its class. Of a list with a split, the test
    rows count.

    Args:
        model, card: as `longtail.models.file.load_model` gives them, on `device`.
        choices, root: what the user says of a list, and where its paths begin, as `list_images` takes them.
        file: where the model lies; in its folder of results, the test images and the names of old files are found.

    Raises:
        ValueError: the list cannot be read, it has classes that the model does not know, or nothing is left.
    """
    listing = list_images(source, choices or Choices(), root, classes=1)
    left_out = [
        f"{count} x {kind}" for kind, count in Counter(f.kind for f in listing.findings if f.refused).items()
    ]
    entries = listing.entries
    if any(entry.subset for entry in entries):
        entries = [entry for entry in entries if entry.subset == "test"]
        if others := len(listing.entries) - len(entries):
            left_out.append(f"{others} photographs that the list itself gives to training or validation")
    entries, unknown = _known(entries, card, source, leave_out_unknown)
    left_out += unknown
    old = tested(file) if place_of(file) else None
    entries, seen = _unseen(listing.root, entries, file, old)
    left_out += seen
    pictures = [(entry.name, listing.root / entry.path) for entry in entries]
    boxes = [entry.box or None for entry in entries]
    rows: list[int] = []
    logits = [torch.empty(0, len(card.class_names))]
    for places, own, failed in batches_of(
        model,
        card,
        pictures,
        boxes,
        device=device,
        batch_size=batch_size,
        threads=threads,
        progress=True,
        view=old.view if old else None,
    ):
        rows += places
        logits.append(own)
        left_out += [f"{entries[place].name}: {reason}" for place, reason in failed.items()]
    if not rows:
        raise ValueError(f"{source} has no photograph that counts: {'; '.join(left_out[:5])}")
    groups = _groups(card, file if old is not None else None)
    answers = torch.cat(logits).double().numpy()
    return _answers([entries[row] for row in rows], answers, card, groups, old, left_out)


def _groups(card: ModelCard, file: str | Path | None) -> list[str]:
    """The group of each label: that of the split where `file` lies in its results, else by the card's counts.

    A model of a balanced training set says nothing of how frequent classes are; then there are none ("").
    """
    if file is not None:
        split = SPLIT.read(results_of(file) / "data/split.parquet", ["label", "group"])
        return split.groupby("label")["group"].first().tolist()
    if len(set(card.class_counts)) == 1:
        return [""] * len(card.class_counts)
    return frequency_groups(card.class_counts, "thirds")


def _answers(
    entries: list[Entry],
    logits: np.ndarray,
    card: ModelCard,
    groups: list[str],
    old: HeldOut | None,
    left_out: list[str],
) -> Photographs:
    label_of = {name: label for label, name in enumerate(card.class_names)}
    labels = np.array([label_of[entry.class_name] for entry in entries])
    names = [entry.group or f"\0{place}" for place, entry in enumerate(entries)]
    cluster = np.unique(names, return_inverse=True)[1] if any(entry.group for entry in entries) else None
    answered = Answered(labels, logits * card.sharpness, cluster)
    predicted = answered.logits.argmax(axis=1)
    table = pd.DataFrame(
        {
            "path": [entry.name for entry in entries],
            "class_name": [entry.class_name for entry in entries],
            "predicted": np.array(card.class_names, dtype=object)[predicted],
            "probability": softmax(answered.logits, axis=1).max(axis=1),
            "right": answered.right,
            "group": [entry.group for entry in entries],
        }
    )
    crops = str(old.view.get("crops") or "") if old else ""
    return Photographs(answered, table, groups, old.answered if old else None, left_out, crops)


def _known(
    entries: list[Entry], card: ModelCard, source: str | Path, leave_out: bool
) -> tuple[list[Entry], list[str]]:
    """The photographs whose class the model knows, and a sentence about the others."""
    names = set(card.class_names)
    unknown = Counter(entry.class_name for entry in entries if entry.class_name not in names)
    if not unknown:
        return entries, []
    listed = ", ".join(f"{name!r}{_nearest(name, card.class_names)}" for name in list(unknown)[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    if not leave_out:
        raise ValueError(
            f"{source} has {len(unknown)} classes that the model does not know: {listed}{more}. Write them as the "
            f"model does, or leave them out by --leave-out-unknown. It knows {len(names)} classes, such as "
            f"{', '.join(map(repr, card.class_names[:5]))}"
        )
    told = f"{sum(unknown.values())} photographs of {len(unknown)} classes that the model does not know: {listed}"
    return [entry for entry in entries if entry.class_name in names], [told + more]


def _nearest(name: str, known: list[str]) -> str:
    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), folded, 1, 0.8)
    return f" (is that {folded[close[0]]!r}?)" if close else ""


def _unseen(
    root: Path, entries: list[Entry], file: str | Path, old: HeldOut | None
) -> tuple[list[Entry], list[str]]:
    """The photographs that are no file of the collection which the model was trained, selected or tested on, and a
    sentence on each kind of the others."""
    if old is None:
        return entries, []
    results = results_of(file)
    if not (results / "data/index.parquet").is_file():
        if CLUSTER not in old.images:  # no collection: it was not trained on files
            return entries, []
        raise ValueError(
            f"{results} has no data/index.parquet, which says on which files {file} was trained; run the workflow again"
        )
    index = read_parquet(results / "data/index.parquet", ["image_id", "sha256"])
    split = SPLIT.read(results / "data/split.parquet", ["image_id", "subset"])
    subsets = index["image_id"].map(split.set_index("image_id")["subset"])
    tested = set(index.loc[subsets == "test", "sha256"])
    used = set(index.loc[subsets.notna() & (subsets != "test"), "sha256"])
    fresh, seen = list[Entry](), defaultdict[str, list[str]](list)
    for entry in entries:
        found = _sha256(root / entry.path)
        if found in used:
            seen["that the model was trained on or selected by"].append(entry.name)
        elif found in tested:
            seen["that are among its test images already"].append(entry.name)
        else:
            fresh.append(entry)
    return fresh, [
        f"{len(names)} photographs {what}: {', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
        for what, names in seen.items()
    ]


def _sha256(path: Path) -> str:
    """The hash of a file; "" where it cannot be read, which decoding then says."""
    try:
        with content_of(path) as content:
            return hashlib.sha256(content).hexdigest()
    except ValueError:
        return ""
