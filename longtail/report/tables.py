"""The tables of the results: per model and training set, over models, over losses, and beside the thesis.

Accuracies and F1 are fractions in `Table.data` and percent in `Table.text`. To add a table, write its function, and
name it in `TABLES` below, in the catalogue and in a job of workflow/rules/tables.smk.

A cell is the mean over the seeds. A cell without test images prints as "–". A cell without any of its runs prints as
"missing", and a cell that lacks some of them has a dagger.
"""

from collections.abc import Callable, Sequence

import pandas as pd

from longtail.analysis.grid import OVER_SEEDS, Grid, every_run, repeats, scores, select
from longtail.analysis.metrics import METRICS
from longtail.data.split.frequencies import distributions
from longtail.data.split.sets import CUTS, GROUPS, frequency_groups, groups_of
from longtail.report import captions
from longtail.report.catalogue import PROTOCOLS
from longtail.report.labels import label
from longtail.report.typeset import Table

CELL = ["model", "train_set", "loss", "test_set", "metric"]
HEADINGS = {
    "model": "Model",
    "train_set": "Training set",
    "loss": "Loss function",
    "test_set": "Test set",
    "metric": "Metric",
    "seeds": "Seeds",
}
SHOWN = ("loss", "acc1", "f1")


def top1_table(evaluation: pd.DataFrame, train_set: str, model: str) -> Table:
    """Top-1 accuracy of one model on one training set: a row for each loss, a column for each test set."""
    runs = select(evaluation, train_set=train_set, model=model)
    data = cells(runs, ["acc1"])
    text, bold = wide(data, ["loss"], "test_set")
    caption = (
        f"Top-1 accuracy (%) of {label(model)}, trained on the {label(train_set).lower()} training set; "
        f"{_over_seeds(runs)}. The best of each test set is bold."
    )
    return Table(data, text, caption, bold=bold, notes=notes(data, runs))


def full_table(evaluation: pd.DataFrame, train_set: str, model: str) -> Table:
    """Loss, top-1 accuracy and F1 of one model on one training set: a row for each test set and loss.

    Of runs of other programs nobody knows the loss, so their evaluation has none.
    """
    runs = select(evaluation, train_set=train_set, model=model)
    shown = [name for name in SHOWN if name in {*runs["metric"]}]
    data = cells(runs, shown)
    data = data.sort_values("test_set", key=by_appearance, kind="stable")
    text, bold = wide(data, ["test_set", "loss"], "metric", compared_within=["test_set"])
    of_loss = "loss" in shown
    own = (
        " The loss is the run's own, so values of different loss functions do not compare." if of_loss else ""
    )
    caption = (
        f"{'Loss, top-1' if of_loss else 'Top-1'} accuracy and F1 of {label(model)}, trained on the "
        f"{label(train_set).lower()} training set; {_over_seeds(runs)}. F1 is the macro average on the balanced test "
        f"set, on the others weighted by images.{own} The best of each test set is bold."
    )
    return Table(data, text, caption, keys=2, bold=bold, notes=notes(data, runs))


def model_summary(evaluation: pd.DataFrame) -> Table:
    """Top-1 accuracy and F1 of every model, mean and standard deviation over the losses, per training set."""
    return _summary(evaluation, "model", "loss")


def loss_summary(evaluation: pd.DataFrame) -> Table:
    """Top-1 accuracy and F1 of every loss, mean and standard deviation over the models, per training set."""
    return _summary(evaluation, "loss", "model")


def thesis_comparison(evaluation: pd.DataFrame, thesis: pd.DataFrame) -> Table:
    """Our value, the thesis's and the difference, for every cell of the thesis that our grid of runs has.

    Args:
        evaluation: as for `cells`.
        thesis: columns model, train_set, loss, test_set, metric, value (fraction), source; one run each.
    """
    theirs = thesis[[*CELL, "value", "source"]].rename(columns={"value": "thesis"})
    data = cells(evaluation, SHOWN).merge(theirs, on=CELL)
    data = data.sort_values(["train_set", "model", "loss", "test_set"], key=by_appearance)
    data["difference"] = data["mean"] - data["thesis"]
    if data.empty:
        return Table(data, data[CELL], "None of these runs has a counterpart in the thesis.", keys=len(CELL))
    rows = ["train_set", "model", "loss", "test_set"]
    both = data[[*rows, "metric"]].assign(
        ours=printed(data),
        thesis=numbers(data["thesis"], data["metric"]),
        difference=differences(data["difference"], data["metric"]),
    )
    by_metric = both.set_index([*rows, "metric"]).unstack("metric", sort=False)
    parts = {"ours": "", "thesis": ", thesis", "difference": ", diff."}
    order = [(part, metric) for metric in data["metric"].unique() for part in parts]
    headings = [METRICS[metric].heading + parts[part] for part, metric in order]
    text = by_metric[order].set_axis(headings, axis=1)
    caption = (
        f"Beside the thesis: {data.groupby(['model', 'train_set', 'loss']).ngroups} combinations of model, training "
        f"set and loss function. Ours: {_over_seeds(evaluation)}. The thesis: one run each, of 90 epochs at 224 "
        "pixels; runs with other settings differ for that reason too. Difference: ours − thesis, in percentage "
        "points but for the loss."
    )
    return Table(data, named(text, rows), caption, keys=len(rows), notes=notes(data, evaluation))


def published_comparison(evaluation: pd.DataFrame, published: pd.DataFrame, protocol: str) -> Table:
    """Our top-1 accuracy, the published one and the difference, with imbalance 0.01 and ResNet-32.

    Args:
        evaluation: as for `cells`; what was trained on the long-tailed set is compared, on the balanced test set.
        published: all strings: model, loss (our names of both), protocol, method, top1 (percent), epochs, source. Those
            of a protocol have one row for each model and loss.
        protocol: one of the catalogue's, which the runs follow.
    """
    theirs = published[published["protocol"] == protocol]
    theirs = theirs.assign(published=theirs["top1"].astype(float) / 100)
    data = cells(select(evaluation, train_set="longtailed"), ["acc1"])
    data = data[data["test_set"] == "balanced"].merge(
        theirs[["model", "loss", "method", "published", "epochs", "source"]], on=["model", "loss"]
    )
    data["difference"] = data["mean"] - data["published"]
    text = pd.DataFrame(
        {
            "Method": data["loss"].map(label),
            "Published": numbers(data["published"], data["metric"]),
            "Epochs": data["epochs"].astype(str),
            "Ours": printed(data),
            "Difference": differences(data["difference"], data["metric"]),
        }
    )
    caption = (
        f"Top-1 accuracy (%) beside published results: {PROTOCOLS[protocol]} training images per class, the original "
        f"test set, ResNet-32. Ours: the last epoch, {_over_seeds(evaluation)}. Published: the sources in the csv, one "
        "number each, after as many epochs as given. Difference: ours − published, in percentage points."
    )
    return Table(data, text, caption, notes=notes(data, evaluation))


def class_groups(per_class: pd.DataFrame) -> Table:
    """Mean accuracy of the classes of each group, by the configured cut and, after long-tailed training, by the other.

    Both are of the same predictions, so that head, middle and tail and the field's many, medium and few can be
    compared, whichever the configuration has.

    Args:
        per_class: columns model, loss, train_set, seed, label, group, n_train, acc (fraction). Of the runs on the
            long-tailed set, where there are any, since a balanced set has classes of one size.
    """
    longtailed = "longtailed" in set(per_class["train_set"])
    runs = select(per_class, train_set="longtailed" if longtailed else None)
    classes = runs.drop_duplicates("label").set_index("label")
    parts = [runs.assign(cut=runs["group"])]
    if longtailed:
        other = "thirds" if groups_of(classes["group"]) == CUTS["counts"] else "counts"
        found = dict(zip(classes.index, frequency_groups(classes["n_train"].tolist(), other), strict=True))
        parts.append(runs.assign(cut=runs["label"].map(found)))
    both = pd.concat(parts)
    by_run = both.groupby(["model", "loss", "train_set", "cut", "seed"], sort=False)["acc"]
    means = by_run.agg(lambda own: own.mean(skipna=True)).reset_index()
    groups = means.groupby(["model", "loss", "train_set", "cut"], sort=False)["acc"]
    data = groups.agg(**OVER_SEEDS).reset_index()
    sizes = both.drop_duplicates(["cut", "label"]).groupby("cut")["n_train"]
    cuts = [name for name in GROUPS if name in sizes.groups]
    cell = data.assign(text=printed(data.assign(metric="acc1", n=1)))
    text = cell.pivot_table("text", ["model", "loss"], "cut", aggfunc="first", sort=False)
    heading = {name: f"{label(name)} ({count})" for name, count in sizes.size().items()}
    text = text.reindex(columns=cuts).fillna("–").rename(columns=heading)
    shown = named(text.rename_axis(None, axis=1), ["model", "loss"])
    each = ", ".join(f"{label(name).lower()} {captions.span(sizes.get_group(name))}" for name in cuts)
    cut_of = {name: cut for cut in CUTS.values() for name in cut}
    empty = [name for name in dict.fromkeys(sum((cut_of[name] for name in cuts), ())) if name not in cuts]
    caption = captions.caption(
        f"Accuracy (%) averaged over the classes of each group, all test images, trained on the "
        f"{label(str(runs['train_set'].iloc[0])).lower()} set; {_over_seeds(runs)}.",
        f"In parentheses: how many classes. Training images of a class: {each}.",
        f"No class is in {' or '.join(label(name).lower() for name in empty)}." if empty else "",
        "Head, middle and tail are thirds of the classes; many, medium and few divide them by those numbers, as in the "
        "literature.",
    )
    return Table(data, shown, caption, keys=2, notes=notes(data.assign(n=1), runs, "acc"))


def test_distributions(per_class: pd.DataFrame) -> Table:
    """Accuracy where test classes are as frequent as in training, or the other way round, by how much they differ.

    Args:
        per_class: as for `class_groups`.
    """
    longtailed = "longtailed" in set(per_class["train_set"])
    runs = select(per_class, train_set="longtailed" if longtailed else None)
    order = runs.drop_duplicates("label").sort_values(["n_train", "label"], ascending=[False, True])["label"]
    weights = pd.DataFrame(distributions(len(order)), index=order.to_numpy())
    keys = ["model", "loss", "train_set"]
    rows = []
    for name in weights:
        own = runs["acc"].notna()
        weight = runs["label"].map(weights[name]).where(own)
        sums = pd.DataFrame({"right": weight * runs["acc"], "of": weight}).groupby(
            [runs[each] for each in (*keys, "seed")], sort=False
        )
        total = sums.sum()
        rows.append((total["right"] / total["of"]).rename("acc").reset_index().assign(distribution=name))
    by_run = pd.concat(rows)
    groups = by_run.groupby([*keys, "distribution"], sort=False)["acc"]
    data = groups.agg(**OVER_SEEDS).reset_index()
    cell = data.assign(text=printed(data.assign(metric="acc1", n=1)))
    text = cell.pivot_table("text", ["model", "loss"], "distribution", aggfunc="first", sort=False)
    shown = named(text[list(weights)].rename_axis(None, axis=1), ["model", "loss"])
    caption = captions.caption(
        f"Accuracy (%) on test sets of other class distributions, from the same predictions, trained on the "
        f"{label(str(runs['train_set'].iloc[0])).lower()} set; {_over_seeds(runs)}.",
        "Forward: the classes fall exponentially in the order of their training images, the most frequent one having "
        "so many times the test images of the rarest; backward: in the opposite order. Each class counts by its share, "
        "which is the mean over all test sets that could be drawn so. The model is told nothing of it, unless its loss "
        "is a variant with a `distribution`.",
    )
    return Table(data, shown, caption, keys=2, notes=notes(data.assign(n=1), runs, "acc"))


def ensembles(ensembles: pd.DataFrame) -> Table:
    """Ensembles over seeds beside the mean of their members: a row for each, a column for each test set.

    Args:
        ensembles: of the columns of `longtail.analysis.tables.ENSEMBLES`.
    """
    caption = captions.caption(
        "Top-1 accuracy (%) of ensembles: the class with the largest mean of the probabilities of the runs of all "
        "seeds. In parentheses: the gain on the mean accuracy of these runs, in percentage points."
    )
    rows = ["train_set", "model", "loss", "seeds"]
    if ensembles.empty:
        none = "No two runs that differ in their seed alone have finished."
        return Table(ensembles, named(ensembles[rows], rows[:3]), caption, keys=3, notes=(none,))
    data = ensembles.assign(difference=ensembles["ensemble"] - ensembles["single"], metric="acc1")
    gains = differences(data["difference"], data["metric"])
    texts = [
        "–" if n == 0 else f"{text} ({gain})"
        for text, gain, n in zip(numbers(data["ensemble"], data["metric"]), gains, data["n"], strict=True)
    ]
    text = data.assign(text=texts, seeds=data["seeds"].astype(str)).pivot_table(
        "text", rows, "test_set", aggfunc="first", sort=False
    )
    shown = named(text.rename(columns=label).rename_axis(None, axis=1), rows[:3])
    return Table(data.drop(columns="metric"), shown, caption, keys=3)


TABLES: dict[str, Callable[..., Table]] = {
    "top1": top1_table,
    "full": full_table,
    "class_groups": class_groups,
    "test_distributions": test_distributions,
    "ensembles": ensembles,
    "model_summary": model_summary,
    "loss_summary": loss_summary,
    "thesis_comparison": thesis_comparison,
    "published_comparison": published_comparison,
}
"""What makes each table of the catalogue but the counts; its parameters say what it is made from."""


def _summary(evaluation: pd.DataFrame, name: str, over: str) -> Table:
    """Mean and standard deviation per `name` of the means over seeds of every `over`."""
    data, again = cells(evaluation, ["acc1", "f1"]), []
    if over == "loss":
        grid = Grid.of(evaluation)
        again = repeats(scores(evaluation, grid), grid)
        data = data[~pd.MultiIndex.from_frame(data[["train_set", "loss"]]).isin(again)]
    averaged_over = set(data[over])
    groups = data.groupby(["train_set", "metric", name, "test_set"], sort=False)
    data = groups.agg(
        mean=("mean", "mean"),
        sd=("mean", "std"),
        averaged=("mean", "count"),
        runs=("runs", "sum"),
        expected=("expected", "sum"),
        n=("n", "max"),
    ).reset_index()
    data = data.sort_values(["train_set", "metric"], key=by_appearance)
    within = ["train_set", "metric"]
    text, bold = wide(data, [*within, name], "test_set", within)
    averaged = [label(each) for each in evaluation[over].unique() if each in averaged_over]
    plural = over if len(averaged) == 1 else {"loss": "losses", "model": "models"}[over]
    caption = (
        f"Top-1 accuracy and F1 (%) of every {name}: mean ± standard deviation (n − 1) over {len(averaged)} {plural} "
        f"({', '.join(averaged)}), each the mean over {captions.seeds(evaluation)}. "
        "The best of each test set is bold."
    )
    about = (*notes(data, evaluation), captions.repeated(again))
    return Table(data, text, caption, keys=3, bold=bold, notes=tuple(filter(None, about)))


def _over_seeds(runs: pd.DataFrame) -> str:
    several = runs["seed"].nunique() > 1
    return f"{'mean ± standard deviation (n − 1) over ' if several else ''}{captions.seeds(runs)}"


def cells(evaluation: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, for every cell of the grid of runs, whether it ran or not.

    Args:
        evaluation: as for `grid.every_run`.
        metrics: names of the metrics to keep.

    Returns:
        Columns model, train_set, loss, test_set, metric, mean, sd (n - 1; NaN for one run), runs (how many have
        a value), expected (how many should), n; in the order of the evaluation.

    Raises:
        ValueError: a column is missing, or a value is there twice.
    """
    groups = every_run(evaluation, metrics).groupby(CELL, sort=False)
    return groups["value"].agg(**OVER_SEEDS).join(groups["n"].max()).reset_index()


def wide(
    data: pd.DataFrame, rows: list[str], column: str, compared_within: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The printed cells with a column for each value of `column`, and which of them are the best of theirs.

    Args:
        data: as `cells` returns it.
        rows: columns that name a row.
        column: test_set or metric.
        compared_within: those of `rows` in which a cell competes with its equals only; its column is another.
    """
    cell = data.assign(text=printed(data), best=_best(data, [*compared_within, column]))
    by_column = cell.set_index([*rows, column])[["text", "best"]].unstack(column, sort=False)
    # The metrics are renamed first, because the metric `loss` and the column `loss` of a row have the same name.
    heading = (lambda name: METRICS[name].heading) if column == "metric" else label
    by_column = by_column.rename(columns=heading, level=column)
    text, bold = named(by_column["text"], rows), by_column["best"].reset_index()
    bold[rows] = False
    return text, bold.set_axis(text.columns, axis=1)


def named(text: pd.DataFrame, rows: list[str]) -> pd.DataFrame:
    """The table with its index, which names the rows, as first columns, in the form in which names are printed."""
    text = text.reset_index()
    for name in rows:
        text[name] = text[name].map((lambda each: METRICS[each].label) if name == "metric" else label)
    return text.rename(columns=HEADINGS)


def printed(data: pd.DataFrame) -> list[str]:
    """The cells as they are printed, without emphasis."""
    texts = []
    for cell in data.itertuples():
        if cell.n == 0:
            texts.append("–")
        elif cell.runs == 0:
            texts.append("missing")
        else:
            number = METRICS[cell.metric].format
            spread = f" ± {number(cell.sd)}" if pd.notna(cell.sd) else ""
            texts.append(number(cell.mean) + spread + ("†" if cell.runs < cell.expected else ""))
    return texts


def numbers(values: pd.Series, metrics: pd.Series) -> list[str]:
    """Values as they are printed, each in the form of its metric."""
    return [METRICS[metric].format(value) for value, metric in zip(values, metrics, strict=True)]


def differences(values: pd.Series, metrics: pd.Series) -> list[str]:
    """Differences as they are printed, with their sign; "–" where there is none."""
    return [
        "–" if pd.isna(value) else METRICS[metric].format(value, sign="+z").replace("-", "−")
        for value, metric in zip(values, metrics, strict=True)
    ]


def by_appearance(names: pd.Series) -> pd.Series:
    """Sort key that puts names in the order in which the configuration lists them."""
    return pd.Series(pd.factorize(names)[0], index=names.index)


def notes(data: pd.DataFrame, runs: pd.DataFrame, value: str = "value") -> tuple[str, ...]:
    """The notes below a table, which explain its signs and name missing runs.

    Args:
        data: as `cells` returns it.
        runs: the part of the evaluation that the table shows.
        value: the column in which a missing run has NaN.
    """
    found = (
        "† Mean of fewer runs than planned; not compared with the others."
        if data["runs"].between(1, data["expected"] - 1).any()
        else "",
        "– No test images." if (data["n"] == 0).any() else "",
        captions.missing(runs, value),
    )
    return tuple(note for note in found if note)


def _best(data: pd.DataFrame, within: list[str]) -> pd.Series:
    """Whether a cell is the best of at least two by its metric.

    Numbers that print alike are equally good. A cell that lacks runs does not compete: without its worst model,
    a loss would have the best mean.
    """
    shown = pd.Series(map(float, numbers(data["mean"], data["metric"])), index=data.index)
    more = data["metric"].map(lambda name: METRICS[name].better == "more")
    score = shown.where(more, -shown).where(data["runs"] == data["expected"])
    groups = score.groupby([data[name] for name in within])
    return (score == groups.transform("max")) & (groups.transform("count") > 1)
