"""The thesis's own 56 runs, put through the statistics of this project: the numbers of docs/thesis.md."""

import sys
from pathlib import Path

# The frame of the programs, which puts the library beside them on the path.
sys.path.append(str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

import pandas as pd
from frame import Namespace, program, run
from scipy.stats import t

from longtail.analysis.grid import Grid, scores, without_repeats
from longtail.analysis.statistics.analyses import from_accuracies
from longtail.analysis.statistics.mcnemar import bounds_table
from longtail.files.atomic import write_text
from longtail.files.csv import read_csv
from longtail.report.labels import label
from longtail.report.pages import basis, p_value, write_page
from longtail.report.summary.comparisons import COLLAPSED
from longtail.report.summary.phrases import p_is
from longtail.report.typeset import fill

SEED = 42
"""The thesis's training seed, which its analyses need as a column."""
IMAGES = {"balanced": 5000, "longtailed": 1051, "head": 844, "middle": 169, "tail": 38}
"""The images of the thesis's test sets."""
REFERENCE = "softmax"
COLUMNS = ["model", "train_set", "loss", "test_set", "metric", "value"]


def read_thesis(path: str | Path) -> pd.DataFrame:
    """The thesis's results in the form of evaluation.parquet.

    The thesis prints four digits. Its accuracies are whole numbers of correct images over n, so they are restored
    exactly; loss and F1 stay as printed.

    Args:
        path: csv with the columns model, train_set, loss, test_set, metric, value.

    Returns:
        Columns model, loss, train_set, seed, test_set, metric, value, n.

    Raises:
        ValueError: a column is missing, or an accuracy is no share of its test set's images.
    """
    table = read_csv(path)
    if absent := [name for name in COLUMNS if name not in table.columns]:
        raise ValueError(f"{path} lacks the columns {', '.join(absent)}; it has {', '.join(table.columns)}")
    table = table[COLUMNS].assign(seed=SEED, n=table["test_set"].map(IMAGES))
    accuracy = table["metric"] == "acc1"
    exact = (table["value"] * table["n"]).round() / table["n"]
    wrong = accuracy & ~((exact - table["value"]).abs() <= 0.5001e-4)
    if wrong.any():
        first = table[wrong].iloc[0]
        raise ValueError(
            f"{path}: the accuracy {first['value']} of {first['model']} with {first['loss']} on '{first['test_set']}' "
            f"is no whole number of {first['n']} images; the csv and the sizes of the thesis's test sets do not match"
        )
    return table.assign(value=table["value"].mask(accuracy, exact))


def analyses(evaluation: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The statistics that accuracies of one seed allow, by name."""
    grid = Grid.of(evaluation)
    found = scores(evaluation, grid)
    return from_accuracies(found, grid, REFERENCE) | {"mcnemar_bounds": bounds_table(found, grid, REFERENCE)}


def without_collapsed(evaluation: pd.DataFrame) -> pd.DataFrame:
    """The results without the class-balanced loss, as in the thesis's figure 5.8."""
    return evaluation[evaluation["loss"] != COLLAPSED]


def document_tables(
    evaluation: pd.DataFrame, every: dict[str, pd.DataFrame], fewer: dict[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """The tables of docs/thesis.md by name, their cells as printed.

    Args:
        evaluation: as `read_thesis` returns it.
        every, fewer: `analyses` of all of it, and `without_collapsed`.
    """
    found = scores(evaluation, Grid.of(evaluation))
    return {
        "losses": _losses(found),
        "models": _models(found),
        "repeat": _repeat(found),
        "anova": _anova(every["anova"], fewer["anova"]),
        "over-models": _over_models(every["over_models"]),
        "margins": _margins(every["over_models"]),
        "tukey": _tukey(every["posthoc"]),
        "model-pairs": _model_pairs(every["posthoc"], fewer["posthoc"]),
        "friedman": _friedman(every["friedman"]),
        "friedman-without-class-balanced": _friedman(fewer["friedman"]),
        "bounds": _bounds(every["mcnemar_bounds"]),
        "bounds-balanced-softmax": _bounds_of("balanced_softmax", every["mcnemar_bounds"]),
    }


def _losses(found: pd.DataFrame) -> pd.DataFrame:
    """Mean over the models, trained on the long-tailed set."""
    rows = found[found["train_set"] == "longtailed"]
    means = 100 * rows.pivot_table(index="loss", columns="test_set", values="value")[list(IMAGES)]
    means = means.sort_values("tail", ascending=False)
    return _printed(means.round(9).map("{:.1f}".format), "Loss function")


def _models(found: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the losses on the balanced test set; losses that are one run count once."""
    rows = found[found["test_set"] == "balanced"]
    columns = {}
    for train_set in ("balanced", "longtailed"):
        distinct, _ = without_repeats(found, Grid.of(found.assign(metric="acc1")), train_set)
        own = rows[(rows["train_set"] == train_set) & rows["loss"].isin(distinct.losses)]
        selections = {f"{len(distinct.losses)} losses": own}
        if COLLAPSED in distinct.losses:
            selections["without class-balanced"] = without_collapsed(own)
        for name, chosen in selections.items():
            groups = 100 * chosen.groupby("model")["value"].agg(["mean", "std"])
            cells = [f"{mean:.2f} ± {sd:.2f}" for mean, sd in groups.round(9).to_numpy()]
            columns[f"{label(train_set)}, {name}"] = pd.Series(cells, index=groups.index)
    return _printed(pd.DataFrame(columns), "Model")


def _repeat(found: pd.DataFrame) -> pd.DataFrame:
    """Balanced softmax less softmax, both trained on the balanced set, in percentage points."""
    rows = found[found["train_set"] == "balanced"]
    wide = rows.pivot(index=["model", "test_set"], columns="loss", values="value")
    difference = 100 * (wide["balanced_softmax"] - wide[REFERENCE]).unstack()[list(IMAGES)]
    models = len(difference)
    spreads = {"standard deviation": difference.std()}
    # How far the mean of as many models may lie from 0 by repetition alone.
    spreads["95 % of means"] = t.ppf(0.975, models - 1) * difference.std() / models**0.5
    text = difference.round(9).map("{:+.2f}".format)
    for name, spread in spreads.items():
        text.loc[name] = spread.map("{:.2f}".format)
    return _printed(text, "Model")


def _anova(every: pd.DataFrame, fewer: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for losses, table in {"7": every, "6": fewer}.items():
        for (train_set, test_set), cell in table.groupby(["train_set", "test_set"], sort=False):
            terms = cell.set_index("term")
            rows.append(
                {
                    "Losses": losses,
                    "Trained on": label(train_set),
                    "Tested on": label(test_set),
                    **_effect("Loss", terms.loc["loss"]),
                    **_effect("Model", terms.loc["model"]),
                }
            )
    return pd.DataFrame(rows)


def _effect(name: str, term: pd.Series) -> dict[str, str]:
    return {
        f"{name}: F": f"{term['statistic']:.2f}",
        f"{name}: p": p_value(term["p"]),
        f"{name}: ω²": f"{term['omega_squared']:.2f}",
    }


def _over_models(table: pd.DataFrame) -> pd.DataFrame:
    """Each loss less softmax, trained on the long-tailed set: the difference, its interval and p."""
    own = table[table["train_set"] == "longtailed"]
    text = [
        f"{_points(row.difference)} [{_points(row.low)}, {_points(row.high)}] (p {p_is(row.p)}; "
        f"{p_value(row.p_dunnett)})"
        for row in own.itertuples()
    ]
    return _printed(_by_test_set(own, text, "loss"), "Less softmax")


def _margins(table: pd.DataFrame) -> pd.DataFrame:
    """The smallest margins within which each loss lies about softmax."""
    own = table.dropna(subset="margin")
    text = [f"{100 * margin:.1f}" for margin in own["margin"].round(11)]
    wide = _by_test_set(own, text, ["train_set", "loss"]).reset_index("train_set")
    return _printed(wide, "Less softmax")[["Trained on", "Less softmax", *map(label, IMAGES)]]


def _tukey(table: pd.DataFrame) -> pd.DataFrame:
    """Each loss less softmax, trained on the long-tailed set, by Tukey's HSD of all pairs."""
    own = table[(table["train_set"] == "longtailed") & (table["factor"] == "loss")]
    own = own[(own["a"] == REFERENCE) | (own["b"] == REFERENCE)].copy()
    own["other"] = own["a"].where(own["b"] == REFERENCE, own["b"])
    sign = (own["b"] == REFERENCE).map({True: 1, False: -1})
    text = _tested(own.assign(difference=sign * own["difference"]))
    return _printed(_by_test_set(own, text, "other"), "Less softmax")


def _model_pairs(every: pd.DataFrame, fewer: pd.DataFrame) -> pd.DataFrame:
    """All pairs of models on the balanced test set."""
    columns = {}
    for losses, table in {"7 losses": every, "6 losses": fewer}.items():
        chosen = table[(table["factor"] == "model") & (table["test_set"] == "balanced")]
        for train_set, own in chosen.groupby("train_set", sort=False):
            pairs = [f"{label(row.a)} − {label(row.b)}" for row in own.itertuples()]
            columns[f"{label(train_set)}, {losses}"] = pd.Series(_tested(own), index=pairs)
    return pd.DataFrame(columns).rename_axis("Pair").reset_index()


def _friedman(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for test_set, cell in table[table["train_set"] == "longtailed"].groupby("test_set", sort=False):
        ranks = cell.set_index("loss")["average_rank"]
        first = cell.iloc[0]
        rows.append(
            {
                "Tested on": label(test_set),
                "p": p_value(first["p"]),
                "CD": f"{first['critical_difference']:.2f}",
                **{label(name): f"{rank:.2f}" for name, rank in ranks.sort_index().items()},
            }
        )
    return pd.DataFrame(rows)


def _bounds(table: pd.DataFrame) -> pd.DataFrame:
    """With how many of the four models a loss differs from softmax for sure, may differ, or cannot be shown to."""
    counts = table.groupby(["train_set", "loss", "test_set"], sort=False)["verdict"].value_counts()
    wide = counts.unstack(fill_value=0)[["differs", "open", "not shown"]]
    text = wide.astype(str).agg(" / ".join, axis=1).unstack()[list(IMAGES)]
    printed = _printed(text.reset_index("train_set"), "Loss function")
    return printed[["Trained on", "Loss function", *map(label, IMAGES)]]


def _bounds_of(loss: str, table: pd.DataFrame) -> pd.DataFrame:
    """The bounds of one loss, trained on the long-tailed set."""
    own = table[(table["loss"] == loss) & (table["train_set"] == "longtailed")]
    text = [
        f"{_points(row.difference)} (p {p_is(row.p_holm_low)} … {p_is(row.p_holm_high)})"
        for row in own.itertuples()
    ]
    return _printed(_by_test_set(own, text, "model"), "Model")


def _by_test_set(own: pd.DataFrame, text: list[str], rows: str | list[str]) -> pd.DataFrame:
    """The texts of the rows of a table, with a column for each test set."""
    return own.assign(text=text).pivot(index=rows, columns="test_set", values="text")[list(IMAGES)]


def _tested(pairs: pd.DataFrame) -> list[str]:
    """The differences of pairs in percentage points, each with its p."""
    return [f"{_points(row.difference)} (p {p_is(row.p)})" for row in pairs.itertuples()]


def _points(difference: float) -> str:
    """A difference in percentage points.

    Means of whole images over 5,000 often lie halfway between two printed numbers. Without the inner rounding, their
    last bits, which depend on the processor, would choose between the two.
    """
    return f"{round(100 * difference, 9):+.1f}"


def _printed(text: pd.DataFrame, heading: str) -> pd.DataFrame:
    """The table with its index as first column, names as they are printed."""
    named = text.rename(index=label).rename_axis(heading).reset_index().rename_axis(None, axis=1)
    if "train_set" in named:
        named["train_set"] = named["train_set"].map(label)
    return named.rename(columns=lambda name: "Trained on" if name == "train_set" else label(name))


def main(args: Namespace) -> None:
    evaluation = read_thesis(args.thesis)
    selections = {"all_losses": evaluation, "without_class_balanced": without_collapsed(evaluation)}
    results = {name: analyses(chosen) for name, chosen in selections.items()}
    for folder, tables in results.items():
        about = basis(selections[folder], Grid.of(selections[folder]), data_seed=None)
        for name, table in tables.items():
            write_page(name, table, about, Path(args.output_folder) / folder)
    if args.document:
        printed = document_tables(evaluation, *results.values())
        document = fill(Path(args.document).read_text(encoding="utf-8"), printed)
        write_text(args.document, document)
    print(f"{args.output_folder}: the thesis's {len(Grid.of(evaluation).runs)} runs", flush=True)


if __name__ == "__main__":
    parser = program(__doc__)
    parser.add_argument("--thesis", required=True, metavar="FILE", help="resources/thesis_results.csv")
    parser.add_argument(
        "--output-folder", required=True, metavar="FOLDER", help="where to write the tables in full"
    )
    parser.add_argument(
        "--document", metavar="FILE", help="Markdown file whose tables are replaced: docs/thesis.md"
    )
    run(main, parser)
