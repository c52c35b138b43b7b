"""Predictions that any program made, read from tables as runs of one test set, after all that can be checked was.

A table has a row for each run and test image: `image_id`, `label`, and either the class that was `predicted`, or a
column for each class, `logit_CLASS` or `probability_CLASS`. The columns `model`, `loss` (or whatever else the method is
called) and `seed` say which run a row is of; `longtailed` and `cluster` are as in a split. A second table has the
training images of each class.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from longtail.data.split.sets import CLUSTER, LIMITS, with_groups
from longtail.experiment.runs import Run
from longtail.files.csv import read_csv
from longtail.files.regular import check_regular
from longtail.files.table import Column, Table
from longtail.files.text import printable
from longtail.settings import NAME

SCORES = ("logit_", "probability_")
"""How the columns of single classes begin."""
TEXT = ("image_id", "label", "predicted", "seed", "longtailed", CLUSTER)
"""Columns whose cells are read as they are written, since an image may be called 007, and a class NA."""
SUM = 1e-3
"""What the probabilities of an image may miss 1 by: they are often printed with four digits."""
REMEDY = "Mend the table, or what wrote it"
MOST_IMAGES = 50_000_000
"""Training images: more than any public collection has, and each is a row of the split."""
DIGITS = r"\d{1,18}"
"""A text of digits that is a number; with more digits it is a name."""
COUNTS = Table(
    {
        "label": Column("text"),
        "class_name": Column("text", optional=True),
        "n_train": Column("whole", 0, MOST_IMAGES),
    },
    key=("label",),
    remedy="It needs a row for each class, with the columns label and n_train (training images), perhaps class_name",
)
LONGEST = 100
"""The most letters of the name of a model or a loss, as in a configuration."""


@dataclass(frozen=True)
class Foreign:
    """Runs of other programs on one test set.

    Attributes:
        split: as `longtail.data.split.sets.SPLIT` has it: the test images, and one row for each training image, whose
            ids only count them. Where images have names, the column `image` has them.
        answers: of each run, columns image_id, label, and logits (C floats) in the order of the images. The logits are
            logarithms where probabilities were given, and 1 for the predicted class where nothing else was.
        scored: the runs whose logits are the program's, so that their softmax is the probability of each class.
        passed_over: the columns that were not read.
    """

    split: pd.DataFrame
    answers: Mapping[Run, pd.DataFrame]
    scored: frozenset[Run]
    passed_over: Sequence[str]


def read_foreign(
    paths: Sequence[str | Path],
    counts: str | Path,
    *,
    groups: str = "thirds",
    limits: tuple[int, int] = LIMITS,
) -> Foreign:
    """The runs in these tables.

    Args:
        paths: .csv or .parquet, of one or several runs each.
        counts: .csv or .parquet with the columns label, n_train and perhaps class_name: a row for each class. Labels
            are 0, 1, …, or names; of names, their order here is that of the classes.
        groups, limits: as `longtail.data.split.sets.frequency_groups` takes them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a table is not as described above, holds an image twice, or contradicts another one; names the
            file, what was found, and what is allowed.
    """
    classes = _read_classes(counts)
    tables = {Path(path): _read(Path(path), TEXT) for path in paths}
    known = {*TEXT, "model", "loss", "train_set", "class_name"}
    passed_over = {
        name
        for table in tables.values()
        for name in table
        if name not in known and not name.startswith(SCORES)
    }
    found: dict[Run, tuple[Path, pd.DataFrame]] = {}
    scored = set()
    for path, table in tables.items():
        with_scores = _add_logits(path, table, classes)
        for run, own in _runs(path, table):
            if run in found:
                raise ValueError(
                    f"{path} holds the run {_told(run)}, and so does {found[run][0]}; name each once"
                )
            found[run] = path, own
            if with_scores:
                scored.add(run)
    for name, these in (("model", {run.model for run in found}), ("loss", {run.loss for run in found})):
        by_letters: dict[str, str] = {}
        for one in sorted(these):
            if (other := by_letters.setdefault(one.casefold(), one)) != one:
                raise ValueError(
                    f"the {name} {other} and the {name} {one} differ in capitals alone; give one another name"
                )
    images, answers = _paired(found)
    return Foreign(_split(images, classes, groups, limits), answers, frozenset(scored), sorted(passed_over))


def _read(path: Path, text: Sequence[str]) -> pd.DataFrame:
    if path.suffix == ".csv":
        frame = read_csv(path, text=text)
    elif path.suffix == ".parquet":
        check_regular(path)
        try:
            frame = pd.read_parquet(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path} cannot be read as parquet ({error}). {REMEDY}") from None
        for name in {*text, "model", "loss", "train_set"} & {*frame}:
            frame[name] = frame[name].map(str, na_action="ignore")
    else:
        raise ValueError(f"{path}: a table of predictions or of counts is a .csv or a .parquet")
    if not len(frame):
        raise ValueError(f"{path} holds no row")
    return frame.reset_index(drop=True)


def _read_classes(path: str | Path) -> pd.DataFrame:
    """Columns label (text, as it is written), class_name and n_train, in the order of the classes."""
    frame = COUNTS.checked(_read(Path(path), ("label", "class_name")), path)
    if "class_name" not in frame:
        frame["class_name"] = frame["label"]
    if not 0 < (total := int(frame["n_train"].sum())) <= MOST_IMAGES:
        raise ValueError(
            f"{path} has {total:,} training images in the column n_train; it takes from 1 to {MOST_IMAGES:,} in all"
        )
    numbers = [int(label) for label in frame["label"] if re.fullmatch(DIGITS, label)]
    if len(numbers) == len(frame):
        if sorted(numbers) != list(range(len(frame))):
            lacking = next(label for label in range(len(frame)) if label not in numbers)
            raise ValueError(
                f"{path} has {len(frame)} labels that are numbers, but not {lacking}; labels are 0, 1, … "
                f"{len(frame) - 1}, each once, or names"
            )
        frame = frame.assign(label=list(map(str, numbers))).iloc[np.argsort(numbers)]
    if twice := frame.loc[frame["class_name"].duplicated(), "class_name"].tolist():
        raise ValueError(f"{path} has two classes with the class_name {twice[0]!r}; give each its own")
    return frame.reset_index(drop=True)


def _add_logits(path: Path, table: pd.DataFrame, classes: pd.DataFrame) -> bool:
    """Check the table and add a column `logits`, one float32 array an image; whether they are the program's own."""
    for name in ("image_id", "label"):
        if name not in table:
            raise ValueError(f"{path} lacks the column {name}; it has {_listed(table)}. {_needed(classes)}")
    for name in {*TEXT, "model", "loss", "train_set"} & {*table}:
        _at(path, table, table[name].isna() | (table[name] == ""), f"no value in the column {name}")
    place = {label: number for number, label in enumerate(classes["label"])}
    for name in {"label", "predicted"} & {*table}:
        written = table[name].map(lambda label: str(int(label)) if re.fullmatch(DIGITS, label) else label)
        _at(
            path,
            table,
            ~written.isin(place),
            f"{{}} in the column {name}, which is no label of the counts ({_listed(place)})",
            table[name],
        )
        table[name] = written.map(place).astype("int64")
    if "longtailed" in table:
        truths = table["longtailed"].str.lower().map({"true": True, "1": True, "false": False, "0": False})
        told = "{} in the column longtailed, which takes true and false"
        _at(path, table, truths.isna(), told, table["longtailed"])
        table["longtailed"] = truths.astype(bool)
    given = [name for name in table if name.startswith(SCORES)]
    if not given:
        if "predicted" not in table:
            raise ValueError(f"{path} lacks what was predicted; it has {_listed(table)}. {_needed(classes)}")
        # A window of one row for each image, since copies of thousands of zeros would fill the memory.
        last = len(classes) - 1
        one = np.zeros(last + 1 + last, dtype=np.float32)
        one[last] = 1
        table["logits"] = [one[last - place :][: last + 1] for place in table["predicted"]]
        return False
    kind = next(kind for kind in SCORES if given[0].startswith(kind))
    logits = _scores(path, table, kind, given, place)
    if "predicted" in table:
        rows = np.arange(len(table))
        wrong = pd.Series(logits[rows, table["predicted"]] < logits.max(axis=1))
        _at(path, table, wrong, f"a class as predicted that has not the largest {kind.rstrip('_')}")
    table["logits"] = list(logits)
    return True


def _scores(
    path: Path, table: pd.DataFrame, kind: str, given: Sequence[str], place: Mapping[str, int]
) -> np.ndarray:
    """The logits of the columns of the classes, in the order of the classes: float32, N x C."""
    wanted = [f"{kind}{label}" for label in place]
    if {*given} != {*wanted}:
        lacking, more = [n for n in wanted if n not in given], [n for n in given if n not in wanted]
        faults = [f"lacks {_listed(lacking)}"] * bool(lacking) + [f"has {_listed(more)} too many"] * bool(
            more
        )
        raise ValueError(
            f"{path} {' and '.join(faults)}; it takes one kind of column, {' or '.join(SCORES)}, for each label of the "
            "counts"
        )
    frame = table[wanted]
    for name in wanted:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            words = pd.to_numeric(frame[name], errors="coerce").isna()
            _at(path, table, words, f"{{}} in the column {name}, which takes numbers", frame[name])
    values = frame.to_numpy(dtype=np.float64)
    _at(
        path,
        table,
        pd.Series(~np.isfinite(values).all(axis=1)),
        f"a {kind.rstrip('_')} that is no finite number",
    )
    sums = values.sum(axis=1)
    like_shares = ((values >= 0) & (values <= 1)).all(axis=1) & (abs(sums - 1) <= SUM)
    if kind == "probability_":
        if ((values < 0) | (values > 1)).any():
            told = "a probability that is not from 0 to 1; name the columns logit_… where they are logits"
            _at(path, table, pd.Series(((values < 0) | (values > 1)).any(axis=1)), told)
        told = "probabilities whose sum is {} and not 1; name the columns logit_… where they are logits"
        _at(path, table, pd.Series(~like_shares), told, pd.Series(sums))
        return np.log(np.maximum(values, np.finfo(np.float32).tiny)).astype(np.float32)
    if like_shares.all():
        raise ValueError(
            f"{path} has logits that look like probabilities: each row is of numbers from 0 to 1 whose sum is 1. Name "
            "the columns probability_…, or give the logits before the softmax"
        )
    if (abs(values) > np.finfo(np.float32).max).any():
        raise ValueError(f"{path} has logits beyond 3e38, which no float32 holds. {REMEDY}")
    return values.astype(np.float32)


def _runs(path: Path, table: pd.DataFrame) -> Iterator[tuple[Run, pd.DataFrame]]:
    """The runs of one table, each with its rows. A table without a column `loss` is of one called like the file."""
    if "train_set" in table and (other := {*table["train_set"]} - {"longtailed"}):
        raise ValueError(
            f"{path} has the train_set {sorted(other)[0]!r}; give the runs on the long-tailed training set "
            "alone, whose counts the groups rest on"
        )
    for name, otherwise in (("model", "model"), ("loss", path.stem)):
        # A name that is no UTF-8 is none for pandas either.
        table[name] = table[name].map(str) if (named := name in table) else printable(otherwise)
        odd = ~table[name].str.fullmatch(NAME) | (table[name].str.len() > LONGEST)
        told = f"{{}} as {name}{'' if named else ', which is the name of the file where no column tells it'}"
        _at(path, table, odd, f"{told}; a name is of letters, digits, . _ + and -", table[name])
    table["seed"] = table.get("seed", "0")
    odd = ~table["seed"].str.fullmatch(DIGITS)
    _at(path, table, odd, "{} as seed, which is a whole number from 0", table["seed"])
    for (model, loss, seed), own in table.groupby(["model", "loss", "seed"], sort=False):
        run = Run(model, loss, "longtailed", int(seed))
        _at(
            path,
            own,
            own["image_id"].duplicated(),
            f"the image {{}} twice for {_told(run)}; name the runs by columns model, loss and seed",
            own["image_id"],
        )
        yield run, own


def _paired(found: Mapping[Run, tuple[Path, pd.DataFrame]]) -> tuple[pd.DataFrame, dict[Run, pd.DataFrame]]:
    """The images, and the answers of each run in their order, after all runs were found to have the same images."""
    (first, (first_path, whole)), *_ = found.items()
    facts = [name for name in ("label", "longtailed", CLUSTER) if name in whole]
    images = whole[["image_id", *facts]].reset_index(drop=True)
    names = images["image_id"]
    numbered = names.str.fullmatch(DIGITS).all() and not names.map(int).duplicated().any()
    images.insert(0, "number", names.map(int) if numbered else range(len(images)))
    images = images.sort_values("number", ignore_index=True)
    names = images["image_id"]
    answers = {}
    for run, (path, table) in found.items():
        own = table.set_index("image_id")
        against = f"{_told(first)} in {first_path}"
        for lacking, here, there in (
            (names[~names.isin(own.index)], f"{_told(run)} in {path}", against),
            (own.index[~own.index.isin(names)], against, f"{_told(run)} in {path}"),
        ):
            if len(lacking):
                raise ValueError(
                    f"{here} lacks {len(lacking):,} of the images of {there}, such as "
                    f"{_text(next(iter(lacking)))}; runs are compared on the same images"
                )
        own = own.loc[names].reset_index()
        for name in ("label", "longtailed", CLUSTER):
            if (name in own) != (name in images):
                raise ValueError(
                    f"{path} and {first_path}: one has a column {name}, and the other has not; give it both"
                )
            if name in own and (other := own[name] != images[name]).any():
                row = int(other.to_numpy().argmax())
                raise ValueError(
                    f"{path} has another {name} of the image {_text(names[row])} than {first_path}, for "
                    f"{_told(run)}; both must be of the same test set"
                )
        answers[run] = pd.DataFrame(
            {"image_id": images["number"], "label": own["label"], "logits": own["logits"]}
        ).reset_index(drop=True)
    images = images.rename(columns={"image_id": "image", "number": "image_id"})
    return images.drop(columns="image") if numbered else images, answers


def _split(images: pd.DataFrame, classes: pd.DataFrame, groups: str, limits: tuple[int, int]) -> pd.DataFrame:
    """The split of the test images and of as many training images as were counted."""
    if "longtailed" not in images:
        images = images.assign(longtailed=True)
    labels = np.repeat(np.arange(len(classes)), classes["n_train"])
    begin = int(images["image_id"].max()) + 1
    train = pd.DataFrame({"image_id": begin + np.arange(len(labels)), "label": labels, "longtailed": True})
    if CLUSTER in images:
        numbers = pd.factorize(images[CLUSTER])[0]
        images = images.assign(**{CLUSTER: numbers})
        train[CLUSTER] = numbers.max() + 1 + np.arange(len(labels))
    if "image" in images:
        train["image"] = ""
    whole = pd.concat([images.assign(subset="test"), train.assign(subset="train")], ignore_index=True)
    whole["class_name"] = whole["label"].map(classes["class_name"])
    return with_groups(whole, groups, limits)


def _at(path: Path, table: pd.DataFrame, wrong: pd.Series, told: str, shown: pd.Series | None = None) -> None:
    """Raise a ValueError that names the first row where `wrong` is true, as a text editor counts the lines of a csv."""
    if wrong.any():
        place = int(wrong.to_numpy().argmax())
        row, value = table.index[place], None if shown is None else shown.iloc[place]
        if value is not None:
            told = told.replace("{}", f"{value:.4g}" if isinstance(value, float) else _text(value), 1)
        where = f"line {row + 2}" if path.suffix == ".csv" else f"row {row}"
        raise ValueError(f"{path}, {where}: found {told}")


def _needed(classes: pd.DataFrame) -> str:
    first = classes["label"].iloc[0]
    return (
        "It needs image_id, label and predicted, or instead of the last a column for each class, logit_CLASS or "
        f"probability_CLASS, such as {SCORES[0]}{first}"
    )


def _told(run: Run) -> str:
    return f"model {run.model}, loss {run.loss}, seed {run.seed}"


def _text(value: object) -> str:
    text = printable(repr(str(value)))
    return text if len(text) <= 60 else f"{text[:57]}…"


def _listed(names: Sequence[str] | Mapping[str, object] | pd.DataFrame) -> str:
    every = [printable(str(name)) for name in names]
    return ", ".join(every[:8]) + (f", … ({len(every):,})" if len(every) > 8 else "")
