"""The tables of single classes: how well each is known and what it is taken for, and the confusion of all of them.

They are apart from the other tables, which are made from the evaluation, since these need the predictions.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd

from longtail.analysis.classes import by_class, confused, confusion, images_by_class
from longtail.analysis.grid import require, select
from longtail.data.split.sets import class_table, in_set
from longtail.files.text import in_markdown
from longtail.report import captions
from longtail.report.labels import label
from longtail.report.typeset import Table

MOST = 1000
"""With more classes, the csv of the confusion is a list of pairs, since a square would have millions of zeros."""
LISTED = 50
"""So many confused pairs are printed; the csv has all of them."""
HEADINGS = {
    "class_name": "Class",
    "group": "Part",
    "precision": "Precision (%)",
    "recall": "Recall (%)",
    "recall_interval": "… [95 %]",
    "f1": "F1 (%)",
    "n_train": "Training images",
    "n_test": "Test images",
    "groups_train": "Training groups",
    "groups_test": "Test groups",
    "taken_for": "Most taken for",
    "taken_for_share": "… (%)",
}
SHARES = ("precision", "recall", "f1", "taken_for_share")
DEFINED = (
    "Precision: the share of the images that were taken for a class which are of it. Recall: the share of its images "
    "that were found. F1: their harmonic mean. Most taken for: the class that most of its images were mistaken for, "
    "and the share of those."
)


def classes(predictions: pd.DataFrame, split: pd.DataFrame, train_set: str, model: str, loss: str) -> Table:
    """Every class with its precision, recall, F1, images, and the class that it is most often taken for.

    Args:
        predictions: columns model, loss, train_set, seed, image_id, label, predicted; missing runs have NaN.
        split: columns image_id, label, class_name, subset, longtailed, group, and cluster where images may belong
            together.
    """
    runs, table = _selected(predictions, split, train_set, model, loss)
    table = counted_classes(table, split, train_set)
    data = by_class(confusion(runs, _names(table)), table)
    caption = captions.caption(
        f"Every class for {captions.training(model, train_set, loss)}, {captions.seeds(runs)}; all test images.",
        DEFINED,
        captions.missing(runs, "predicted"),
    )
    return class_page(data, caption)


def confusions(
    predictions: pd.DataFrame, split: pd.DataFrame, train_set: str, model: str, loss: str
) -> Table:
    """How often each class was taken for each, as a square in the csv; the most confused pairs are printed.

    Arguments as for `classes`.
    """
    runs, table = _selected(predictions, split, train_set, model, loss)
    caption = captions.caption(
        f"Confused classes for {captions.training(model, train_set, loss)}, {captions.seeds(runs)}; all test images.",
        "Predictions of all seeds are counted together.",
        captions.missing(runs, "predicted"),
    )
    return confusion_page(confusion(runs, _names(table)), _names(table), caption)


def counted_classes(table: pd.DataFrame, split: pd.DataFrame, train_set: str) -> pd.DataFrame:
    """The table of the classes, as `class_table` returns it, with training and test images and groups of them."""
    test, trained = split["subset"] == "test", (split["subset"] == "train") & in_set(split, train_set)
    table = table.drop(columns="n_train")
    for chosen, name in ((trained, "train"), (test, "test")):
        table = table.join(images_by_class(split, chosen, name), on="label")
    counted = [name for name in table if name.startswith(("n_", "groups_"))]
    table[counted] = table[counted].fillna(0).astype("int64")
    return table


def class_page(data: pd.DataFrame, caption: str) -> Table:
    """The table of single classes as it is printed.

    Args:
        data: as `by_class` returns it, with whatever columns of HEADINGS there are.
    """
    shown = data[[name for name in HEADINGS if name in data]]
    text = shown.apply(lambda column: [_cell(value, str(column.name)) for value in column])
    empty = [name for name in text if name not in ("class_name", "group") and (text[name] == "").all()]
    return Table(data, text.drop(columns=empty).rename(columns=HEADINGS), caption, keys=2)


def confusion_page(counts: pd.DataFrame, names: pd.Series, caption: str) -> Table:
    """The confusion of all classes: the csv as a square (or, above MOST classes, as pairs), and the pairs in print.

    Args:
        counts: as `confusion` returns it.
        names: the name of each label.
    """
    found = confused(counts)
    named = found.assign(true=found["label"].map(names), predicted=found["predicted"].map(names))
    data = named[["true", "predicted", "times", "of", "share"]]
    first = data.head(LISTED)
    text = pd.DataFrame(
        {
            "True class": first["true"].map(_shown),
            "Taken for": first["predicted"].map(_shown),
            "Times": first["times"].map("{:,}".format),
            "Of": first["of"].map("{:,}".format),
            "Share (%)": first["share"].map(lambda share: f"{100 * share:.1f}"),
        }
    )
    form = "pairs"
    if len(counts) <= MOST:
        form = "a square of counts, a row for each true class and a column for each predicted one"
        data = counts.set_axis(list(names), axis=1).set_axis(list(names), axis=0)
        data = data.rename_axis("true class").reset_index()
    notes = [f"The csv has all of it, as {form}."]
    if len(found) > LISTED:
        notes.insert(0, f"The {LISTED} most confused of {len(found):,} pairs.")
    if found.empty:
        notes.insert(0, "No image was taken for another class.")
    return Table(data, text, caption, keys=2, notes=tuple(notes))


TABLES: dict[str, Callable[..., Table]] = {"classes": classes, "confusion": confusions}
"""What makes each table of single classes; its parameters say what it is made from."""


def _selected(
    predictions: pd.DataFrame, split: pd.DataFrame, train_set: str, model: str, loss: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The predictions of these runs, and the classes, those with most training images first."""
    require(split, ["image_id", "label", "class_name", "subset", "longtailed", "group"], "the split")
    runs = select(predictions, model=model, train_set=train_set, loss=loss)
    table = class_table(split, train_set)
    return runs, table.sort_values("n_train", ascending=False, kind="stable", ignore_index=True)


def _names(table: pd.DataFrame) -> pd.Series:
    return table.set_index("label")["class_name"]


def _cell(value: Any, name: str) -> str:
    if name == "group":
        return label(str(value))
    if isinstance(value, str):
        return _shown(value)
    if pd.isna(value):
        return ""
    return f"{100 * value:.1f}" if name in SHARES else f"{value:,}"


def _shown(name: str) -> str:
    """A name as a cell in Markdown, whose bars `pipe_table` escapes."""
    return in_markdown(name).replace("\\|", "|")
