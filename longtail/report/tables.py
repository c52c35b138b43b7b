"""The tables of the results: per model and training set, over models, over losses, and beside the thesis.

Accuracies and F1 are fractions in `Table.data` and percent in `Table.text`. A cell prints as "–" without test
images, as "missing" without any of its runs, and with a dagger where it lacks some of them.
"""

from collections.abc import Callable, Sequence

import pandas as pd

from longtail.data.split.sets import in_set
from longtail.report import captions
from longtail.report.figures.grid import GROUPS, RUN, TEST_SETS, require, run_grid, select
from longtail.report.labels import label
from longtail.report.typeset import Table

CELL = ["model", "train_set", "loss", "test_set", "metric"]
HEADINGS = {
    "model": "Model",
    "train_set": "Training set",
    "loss": "Loss function",
    "test_set": "Test set",
    "metric": "Metric",
}
METRICS = {"loss": "Loss", "acc1": "Top-1 (%)", "f1": "F1 (%)"}


def top1_table(evaluation: pd.DataFrame, train_set: str, model: str) -> Table:
    """Top-1 accuracy of one model on one training set: a row for each loss, a column for each test set."""
    runs = select(evaluation, train_set=train_set, model=model)
    data = cells(runs, ["acc1"])
    text, bold = _wide(data, ["loss"], "test_set")
    caption = (
        f"Top-1 accuracy (%) of {label(model)}, trained on the {label(train_set).lower()} training set; "
        f"{_over_seeds(runs)}. The best of each test set is bold."
    )
    return Table(data, text, caption, bold=bold, notes=_notes(data, runs))


def full_table(evaluation: pd.DataFrame, train_set: str, model: str) -> Table:
    """Loss, top-1 accuracy and F1 of one model on one training set: a row for each test set and loss."""
    runs = select(evaluation, train_set=train_set, model=model)
    data = cells(runs, list(METRICS))
    data = data.sort_values("test_set", key=_by_appearance, kind="stable")
    text, bold = _wide(data, ["test_set", "loss"], "metric", compared_within=["test_set"])
    caption = (
        f"Loss, top-1 accuracy and F1 of {label(model)}, trained on the {label(train_set).lower()} training set; "
        f"{_over_seeds(runs)}. F1 is the macro average on the balanced test set, on the others weighted by images. "
        "The loss is the run's own, so values of different loss functions do not compare. "
        "The best of each test set is bold."
    )
    return Table(data, text, caption, keys=2, bold=bold, notes=_notes(data, runs))


def model_summary(evaluation: pd.DataFrame) -> Table:
    """Top-1 accuracy and F1 of every model, mean and standard deviation over the losses, per training set."""
    return _summary(evaluation, "model", "loss")


def loss_summary(evaluation: pd.DataFrame) -> Table:
    """Top-1 accuracy and F1 of every loss, mean and standard deviation over the models, per training set."""
    return _summary(evaluation, "loss", "model")


def counts_table(split: pd.DataFrame) -> Table:
    """Images of every subset that has any, in all and by group, and of its largest and smallest class.

    Args:
        split: columns label, subset, longtailed, group; one row per image.
    """
    require(split, ["label", "subset", "longtailed", "group"], "split")
    balanced, longtailed = split[in_set(split, "balanced")], split[split["longtailed"]]
    subsets = {
        "Training, balanced": balanced[balanced["subset"] == "train"],
        "Training, long-tailed": longtailed[longtailed["subset"] == "train"],
        "Validation": split[split["subset"] == "val"],
        "Test, balanced": balanced[balanced["subset"] == "test"],
        "Test, long-tailed": longtailed[longtailed["subset"] == "test"],
    }
    labels = sorted(split["label"].unique())
    data = pd.DataFrame([_counts(name, images, labels) for name, images in subsets.items() if len(images)])
    text = data.map(lambda cell: cell if isinstance(cell, str) else f"{cell:,}")
    text.columns = ["Set", "Images", *map(label, GROUPS), "Largest class", "Smallest class"]
    per_group = split.groupby("group")["label"].nunique().reindex(GROUPS, fill_value=0)
    listed = ", ".join(f"{count} {label(group).lower()}" for group, count in per_group.items())
    caption = (
        f"Images of every subset; {len(labels)} classes ({listed}). "
        "The head, middle and tail test sets are those parts of the long-tailed test set. "
        "One data split; every training seed uses the same."
    )
    return Table(data, text, caption)


def thesis_comparison(evaluation: pd.DataFrame, thesis: pd.DataFrame) -> Table:
    """Our value, the thesis's and the difference, for every cell of the thesis that our grid of runs has.

    Args:
        evaluation: as for `cells`.
        thesis: columns model, train_set, loss, test_set, metric, value (fraction), source; one run each.
    """
    theirs = thesis[[*CELL, "value", "source"]].rename(columns={"value": "thesis"})
    data = cells(evaluation, list(METRICS)).merge(theirs, on=CELL)
    data = data.sort_values(["train_set", "model", "loss", "test_set"], key=_by_appearance)
    data["difference"] = data["mean"] - data["thesis"]
    if data.empty:
        return Table(data, data[CELL], "None of these runs has a counterpart in the thesis.", keys=len(CELL))
    rows = ["train_set", "model", "loss", "test_set"]
    printed = data[[*rows, "metric"]].assign(
        ours=_printed(data),
        thesis=[_number(value, metric) for value, metric in zip(data["thesis"], data["metric"], strict=True)],
        difference=[
            _signed(value, metric) for value, metric in zip(data["difference"], data["metric"], strict=True)
        ],
    )
    wide = printed.set_index([*rows, "metric"]).unstack("metric", sort=False)
    parts = {"ours": "", "thesis": ", thesis", "difference": ", diff."}
    order = [(part, metric) for metric in data["metric"].unique() for part in parts]
    text = wide[order].set_axis([METRICS[metric] + parts[part] for part, metric in order], axis=1)
    caption = (
        f"Beside the thesis: {data.groupby(['model', 'train_set', 'loss']).ngroups} combinations of model, training "
        f"set and loss function. Ours: {_over_seeds(evaluation)}. The thesis: one run each, of 90 epochs at 224 "
        "pixels; runs with other settings differ for that reason too. Difference: ours − thesis, in percentage "
        "points but for the loss."
    )
    return Table(data, _named(text, rows), caption, keys=len(rows), notes=_notes(data, evaluation))


def published_comparison(evaluation: pd.DataFrame, published: pd.DataFrame) -> Table:
    """Our top-1 accuracy, the published one and the difference, for CIFAR100-LT with imbalance 0.01 and ResNet-32.

    Args:
        evaluation: as for `cells`; what was trained on the long-tailed set is compared, on the balanced test set.
        published: all strings: model, loss (our names of both), protocol, method, top1 (percent), epochs, source. The
            rows of the protocol "cao2019" are those beside config/cao2019.yaml, one for each model and loss.
    """
    theirs = published[published["protocol"] == "cao2019"]
    theirs = theirs.assign(published=theirs["top1"].astype(float) / 100)
    data = cells(select(evaluation, train_set="longtailed"), ["acc1"])
    data = data[data["test_set"] == "balanced"].merge(
        theirs[["model", "loss", "method", "published", "epochs", "source"]], on=["model", "loss"]
    )
    data["difference"] = data["mean"] - data["published"]
    text = pd.DataFrame(
        {
            "Method": data["loss"].map(label),
            "Published": [_number(value, "acc1") for value in data["published"]],
            "Epochs": data["epochs"].astype(str),
            "Ours": _printed(data),
            "Difference": [_signed(value, "acc1") for value in data["difference"]],
        }
    )
    caption = (
        "Top-1 accuracy (%) beside published results: CIFAR100-LT, 500 to 5 training images per class, the original "
        f"test set, ResNet-32. Ours: the last epoch, {_over_seeds(evaluation)}. Published: the sources in the csv, one "
        "number each, after as many epochs as given. Difference: ours − published, in percentage points."
    )
    return Table(data, text, caption, notes=_notes(data, evaluation))


TABLES: dict[str, Callable[..., Table]] = {
    "top1": top1_table,
    "full": full_table,
    "counts": counts_table,
    "model_summary": model_summary,
    "loss_summary": loss_summary,
    "thesis_comparison": thesis_comparison,
    "published_comparison": published_comparison,
}
"""What makes each table of `longtail.report.catalogue`; its parameters say what it is made from."""


def cells(evaluation: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, for every cell of the grid of runs, whether it ran or not.

    Args:
        evaluation: columns model, loss, train_set, seed, test_set, metric, value, n (test images); a missing run
            has NaN or no rows.
        metrics: names of the metrics to keep.

    Returns:
        Columns model, train_set, loss, test_set, metric, mean, sd (n - 1; NaN for one run), runs (how many have
        a value), expected (how many should), n; in the order of the evaluation.

    Raises:
        ValueError: a column is missing, or a value is there twice.
    """
    require(evaluation, [*RUN, "test_set", "metric", "value", "n"], "evaluation")
    found = evaluation[evaluation["metric"].isin(metrics)].set_index([*RUN, "test_set", "metric"])
    if found.index.has_duplicates:
        twice = found.index[found.index.duplicated()][0]
        raise ValueError(f"the evaluation holds two values of {twice}; one run was added twice")
    images = evaluation.groupby("test_set")["n"].max()
    order = [
        (*run, test_set, metric)
        for run in run_grid(evaluation)
        for test_set in TEST_SETS
        for metric in metrics
        if test_set in images
    ]
    table = found["value"].reindex(pd.MultiIndex.from_tuples(order, names=found.index.names)).reset_index()
    groups = table.groupby(CELL, sort=False)["value"]
    summary = groups.agg(mean="mean", sd="std", runs="count", expected="size").reset_index()
    return summary.assign(n=summary["test_set"].map(images).astype("int64"))


def _summary(evaluation: pd.DataFrame, name: str, over: str) -> Table:
    """Mean and standard deviation per `name` of the means over seeds of every `over`."""
    data = cells(evaluation, ["acc1", "f1"])
    groups = data.groupby(["train_set", "metric", name, "test_set"], sort=False)
    data = groups.agg(
        mean=("mean", "mean"),
        sd=("mean", "std"),
        averaged=("mean", "count"),
        runs=("runs", "sum"),
        expected=("expected", "sum"),
        n=("n", "max"),
    ).reset_index()
    data = data.sort_values(["train_set", "metric"], key=_by_appearance)
    text, bold = _wide(
        data, ["train_set", "metric", name], "test_set", compared_within=["train_set", "metric"]
    )
    averaged = [label(each) for each in evaluation[over].unique()]
    plural = over if len(averaged) == 1 else {"loss": "losses", "model": "models"}[over]
    caption = (
        f"Top-1 accuracy and F1 (%) of every {name}: mean ± standard deviation (n − 1) over {len(averaged)} {plural} "
        f"({', '.join(averaged)}), each the mean over {captions.seeds(evaluation)}. "
        "The best of each test set is bold."
    )
    return Table(data, text, caption, keys=3, bold=bold, notes=_notes(data, evaluation))


def _counts(name: str, images: pd.DataFrame, labels: Sequence[int]) -> dict[str, str | int]:
    per_class = images["label"].value_counts().reindex(labels, fill_value=0)
    per_group = images["group"].value_counts().reindex(GROUPS, fill_value=0)
    return {
        "set": name,
        "images": len(images),
        **per_group.to_dict(),
        "largest_class": int(per_class.max()),
        "smallest_class": int(per_class.min()),
    }


def _wide(
    data: pd.DataFrame, rows: list[str], column: str, compared_within: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The printed cells with a column for each value of `column`, and which of them are the best of theirs."""
    printed = data.assign(text=_printed(data), best=_best(data, [*compared_within, column]))
    wide = printed.set_index([*rows, column])[["text", "best"]].unstack(column, sort=False)
    # Renamed first: the metric `loss` would collide with the row's `loss`.
    wide = wide.rename(columns=lambda name: METRICS.get(name) or label(name), level=column)
    text, bold = _named(wide["text"], rows), wide["best"].reset_index()
    bold[rows] = False
    return text, bold.set_axis(text.columns, axis=1)


def _named(text: pd.DataFrame, rows: list[str]) -> pd.DataFrame:
    """The index, which names the rows, as columns, in the form in which names are printed."""
    text = text.reset_index()
    for name in rows:
        text[name] = text[name].map(label)
    return text.rename(columns=HEADINGS)


def _printed(data: pd.DataFrame) -> list[str]:
    """The cells as they are printed, without emphasis."""
    texts = []
    for cell in data.itertuples():
        if cell.n == 0:
            texts.append("–")
        elif cell.runs == 0:
            texts.append("missing")
        else:
            spread = f" ± {_number(cell.sd, cell.metric)}" if pd.notna(cell.sd) else ""
            partial = "†" if cell.runs < cell.expected else ""
            texts.append(_number(cell.mean, cell.metric) + spread + partial)
    return texts


def _best(data: pd.DataFrame, within: list[str]) -> pd.Series:
    """Whether a cell is the best of at least two; the smallest loss, the largest of the others.

    Numbers that print alike are equally good. A cell that lacks runs does not compete: without its worst model,
    a loss would have the best mean.
    """
    shown = [
        float(_number(value, metric)) for value, metric in zip(data["mean"], data["metric"], strict=True)
    ]
    score = pd.Series(shown, index=data.index).where(data["runs"] == data["expected"])
    score = score.where(data["metric"] != "loss", -score)
    groups = score.groupby([data[name] for name in within])
    return (score == groups.transform("max")) & (groups.transform("count") > 1)


def _number(value: float, metric: str) -> str:
    return f"{value:.4f}" if metric == "loss" else f"{100 * value:.2f}"


def _signed(value: float, metric: str) -> str:
    if pd.isna(value):
        return "–"
    text = f"{value:+z.4f}" if metric == "loss" else f"{100 * value:+z.2f}"
    return text.replace("-", "−")


def _by_appearance(names: pd.Series) -> pd.Series:
    """Sort key that puts names in the order in which the config lists them."""
    return pd.Series(pd.factorize(names)[0], index=names.index)


def _over_seeds(runs: pd.DataFrame) -> str:
    several = runs["seed"].nunique() > 1
    return f"{'mean ± standard deviation (n − 1) over ' if several else ''}{captions.seeds(runs)}"


def _notes(data: pd.DataFrame, runs: pd.DataFrame) -> tuple[str, ...]:
    notes = (
        "† Mean of fewer runs than planned; not compared with the others."
        if data["runs"].between(1, data["expected"] - 1).any()
        else "",
        "– No test images." if (data["n"] == 0).any() else "",
        captions.missing(runs, "value"),
    )
    return tuple(note for note in notes if note)
