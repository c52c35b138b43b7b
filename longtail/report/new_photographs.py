"""How good a model is on new photographs, as a page and as tables: by group, by class, and against the test images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from longtail.analysis.calibration import reliability
from longtail.analysis.classes import by_class, confusion
from longtail.analysis.metrics import METRICS, Answers
from longtail.analysis.shift import USUAL, Answered, Shift, compare
from longtail.data.split.sets import GROUPS
from longtail.files.text import as_code
from longtail.models.card import ModelCard
from longtail.report.classes import DEFINED, class_page, confusion_page
from longtail.report.labels import label
from longtail.report.typeset import Table, pipe_table

BINS = 10
CROPPED = (
    "An answer is the mean over {} crops, as on the test images (`predict.crops`); `longtail predict` shows pictures "
    "whole."
)
METRICS_SHOWN = ("mean_class_acc", "f1", "ece", "ece_by_chance")


class Report(NamedTuple):
    """What there is to say."""

    answer: str
    """The first paragraph of the page, which stands for itself."""
    page: str
    """All of it, in Markdown."""
    tables: Mapping[str, Table]
    """The tables by the names of their files."""


def report(
    new: Answered,
    old: Answered | None,
    groups: Sequence[str],
    card: ModelCard,
    model: str | Path,
    source: str | Path,
    left_out: Sequence[str] = (),
    crops: str = "",
) -> Report:
    """Evaluate a model on new photographs.

    Args:
        old: the run's test images; None where they are not at hand.
        groups: the group of each label's class.
        model, source: where the model and the photographs lie.
        left_out: a sentence for each kind of photographs that do not count.
        crops: how both were cropped (`predict.crops`); empty: shown as they are.
    """
    shift = compare(new, old) if old else None
    tables = {"sets": _sets(new, old, np.array(groups)), "calibration": _calibration(new)}
    names = pd.DataFrame({"label": range(len(groups)), "class_name": card.class_names, "group": groups})
    names["n_train"] = card.class_counts
    names["n_test"] = np.bincount(new.labels, minlength=len(groups))
    answered = pd.DataFrame({"label": new.labels, "predicted": new.logits.argmax(axis=1)})
    counts = confusion(answered, names["class_name"])
    of_classes = class_page(by_class(counts, names), f"Every class of the new photographs. {DEFINED}")
    called = {"Test images": "Photographs", "Test groups": "Groups"}
    tables["classes"] = replace(of_classes, text=of_classes.text.rename(columns=called))
    about = "Confused classes of the new photographs."
    tables["confusion"] = confusion_page(counts, names["class_name"], about)
    answer = _answer(new, old, shift)
    parts = [
        f"# Evaluation on new photographs\n\n{answer}",
        f"Model: {as_code(str(model))}. Photographs: {as_code(str(source))}."
        + (f" {CROPPED.format(crops)}" if crops else ""),
        *(["Left out:\n\n" + "\n".join(f"- {as_code(told)}" for told in left_out)] if left_out else []),
        _section("By group of classes", tables["sets"]),
        *([f"## How far are they from the test images?\n\n{_distance(shift)}"] if shift else []),
        _section("Can its probabilities be trusted?", tables["calibration"]),
        _section("Each class", tables["classes"]),
        _section("What is taken for what", tables["confusion"]),
    ]
    return Report(answer, "\n\n".join(parts) + "\n", tables)


def _section(title: str, table: Table) -> str:
    return "\n\n".join([f"## {title}", table.caption, pipe_table(table.text, table.keys), *table.notes])


def _answer(new: Answered, old: Answered | None, shift: Shift | None) -> str:
    right, claimed = float(new.right.mean()), float(new.confidence.mean())
    in_groups = "" if new.cluster is None else f" in {len(np.unique(new.cluster)):,} groups"
    gap = claimed - right
    verdict = "as much as it should"
    if abs(gap) >= 0.0005:
        verdict = f"{100 * abs(gap):.1f} points too {'much' if gap > 0 else 'little'}"
    text = (
        f"**{_share(new, new.right)} of {len(new.labels):,} photographs{in_groups} are right.** The model claims "
        f"{100 * claimed:.1f} % on average: {verdict}."
    )
    if old is None or shift is None:
        return f"{text} Where the workflow made the model, its test images would be at hand to compare them with."
    sure = shift.low > 0 or shift.high < 0
    return (
        f"{text} On its {len(old.labels):,} test images {_share(old, old.right)} are right; the difference is "
        f"{100 * shift.difference:+z.1f} points [{100 * shift.low:+z.1f}, {100 * shift.high:+z.1f}]"
        + ("." if sure else ", which may be chance.")
    )


def _share(side: Answered, chosen: np.ndarray) -> str:
    low, high = side.interval(chosen)
    return f"{100 * chosen.mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _sets(new: Answered, old: Answered | None, groups: np.ndarray) -> Table:
    """A row for all photographs and for those of each group that has any."""
    import torch  # late, since pages of statistics read this room too

    from longtail.losses import build_loss

    plain = build_loss("softmax", torch.ones(new.logits.shape[1], dtype=torch.int64))
    rows = []
    for name in ("all", *GROUPS):
        sides = [side and side.part((groups[side.labels] == name) | (name == "all")) for side in (new, old)]
        own, before = sides
        if own is None or not len(own.labels):
            continue
        # Named like the balanced set, on which F1 is the mean over the classes.
        answers = Answers("balanced", own.labels, groups[own.labels], own.logits, plain)
        row: dict[str, Any] = {"set": name, "n": len(own.labels)}
        if own.cluster is not None:
            row["clusters"] = len(np.unique(own.cluster))
        row["acc1"] = float(own.right.mean())
        row["low"], row["high"] = own.interval(own.right)
        if before is not None:
            row["acc1_test"] = float(before.right.mean()) if len(before.labels) else math.nan
        row["confidence"] = float(own.confidence.mean())
        rows.append(row | {metric: METRICS[metric].compute(answers) for metric in METRICS_SHOWN})
    data = pd.DataFrame(rows)
    right = zip(data["acc1"], data["low"], data["high"], strict=True)
    text = {
        "Classes": ["All" if name == "all" else label(name) for name in data["set"]],
        "Photographs": data["n"].map("{:,}".format),
        "Groups": data["clusters"].map("{:,}".format) if "clusters" in data else None,
        "Right (%)": [f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]" for share, low, high in right],
        "On test images (%)": _tenths(data["acc1_test"]) if "acc1_test" in data else None,
        "Claimed (%)": _tenths(data["confidence"]),
    } | {METRICS[metric].heading: _tenths(data[metric]) for metric in METRICS_SHOWN}
    caption = (
        "Right: with 95 % intervals for further photographs like these. Claimed: the mean probability of the answers. "
        "F1: the mean over the classes. The calibration error is to be compared with that by chance."
    )
    shown = {heading: cells for heading, cells in text.items() if cells is not None}
    return Table(data, pd.DataFrame(shown), caption)


def _tenths(shares: pd.Series) -> list[str]:
    """Shares in percent, as they are printed."""
    return ["–" if math.isnan(share) else f"{100 * share:.1f}" for share in shares]


def _calibration(new: Answered) -> Table:
    data = reliability(new.confidence, new.right, BINS)
    text = pd.DataFrame(
        {
            "Claimed (%)": _tenths(data["confidence"]),
            "Right (%)": _tenths(data["accuracy"]),
            "Photographs": [f"{n:,}" for n in data["n"]],
        }
    )
    caption = f"Photographs by the probability of the answer, in {BINS} steps: what it claims and how many are right."
    return Table(data, text, caption, keys=0)


def _distance(shift: Shift) -> str:
    """How far the new photographs are from the old ones, and what that explains."""
    rows = [
        (
            "Right answers",
            f"{100 * shift.difference:+z.1f} points [{100 * shift.low:+z.1f}, {100 * shift.high:+z.1f}]",
            "new less test images, 95 % interval (Newcombe, 1998)",
        ),
        (
            "Class frequencies",
            f"{100 * shift.frequencies:.0f} % differ",
            "total variation: so many photographs would need another class for the frequencies to be the same",
        ),
        (
            "Right if only the frequencies differed",
            "–" if math.isnan(shift.by_frequencies) else f"{100 * shift.by_frequencies:.1f} %",
            "the accuracy of each class on the test images, weighted by the new frequencies (label shift, Saerens et "
            f"al., 2002); {100 * shift.covered:.0f} % of the photographs have a class that was tested",
        ),
        (
            "Claimed",
            f"{100 * shift.claimed_old:.1f} % before, {100 * shift.claimed_new:.1f} % here",
            "mean probability of the answers; a fall says that the photographs are strange to the model (Guillory et "
            "al., 2021)",
        ),
        (
            "Unusual photographs",
            f"{100 * shift.beyond:.1f} % [{100 * shift.beyond_low:.1f}, {100 * shift.beyond_high:.1f}]",
            f"with a higher energy than {100 * USUAL:.0f} % of the test images (Liu et al., 2020); by chance "
            f"{100 * (1 - USUAL):.0f} %",
        ),
    ]
    strange = (
        "More of the photographs than by chance look unlike the test images, so expect more such errors until some of "
        "them are labelled and trained on."
        if shift.beyond_low > 1 - USUAL
        else "No more of the photographs than chance allows look unlike the test images to the model."
    )
    return f"{strange}\n\n{pipe_table(pd.DataFrame(rows, columns=['What', 'Found', 'Meaning']))}"
