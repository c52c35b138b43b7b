"""Statistics of all runs: intervals, analysis of variance, paired differences, ranks; each as csv and Markdown.

What the runs cannot support is a row that says so, and what would be needed.
"""

# Not called statistics.py: Python looks into a program's own folder first, and seaborn imports `statistics`.

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import argparse

import pandas as pd

from longtail.analysis.grid import Grid, by_set, scores
from longtail.analysis.statistics import anova, mcnemar, paired, posthoc
from longtail.analysis.statistics.correctness import Correctness, read_correctness
from longtail.analysis.statistics.descriptive import describe
from longtail.analysis.statistics.friedman import friedman_tables
from longtail.analysis.statistics.mcnemar import mcnemar_table
from longtail.analysis.statistics.paired import paired_differences
from longtail.analysis.statistics.refusal import Refusal
from longtail.files.parquet import read_parquet
from longtail.report.pages import basis, write_page


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--evaluation",
        required=True,
        metavar="FILE",
        help="of evaluation.py (.parquet); its models, losses, training sets and seeds are the runs there should be",
    )
    parser.add_argument(
        "--runs",
        required=True,
        metavar="FOLDER",
        help="holds {train_set}/{model}/{loss}/seed{seed}/predictions.parquet",
    )
    parser.add_argument("--split", required=True, metavar="FILE", help="split.parquet, for the test sets")
    parser.add_argument(
        "--reference", default="softmax", help="loss that the others are compared with (softmax)"
    )
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap (2000)")
    parser.add_argument("--data-seed", type=int, help="seed of the data split, to be named in the tables")
    parser.add_argument("--output-folder", required=True, metavar="FOLDER", help="where to write the tables")
    return parser.parse_args()


def of_evaluation(evaluation: pd.DataFrame, grid: Grid) -> dict[str, pd.DataFrame]:
    """The statistics that need the metrics alone, by file name."""
    found = scores(evaluation, grid)
    by_loss, by_pair = friedman_tables(found, grid)
    return {
        "descriptive": describe(evaluation, grid),
        "anova": by_set(found, grid, anova.two_way_anova, anova.COLUMNS),
        "posthoc": by_set(found, grid, posthoc.posthoc, posthoc.COLUMNS),
        "friedman": by_loss,
        "friedman_pairs": by_pair,
    }


def of_predictions(
    correctness: Correctness, grid: Grid, reference: str, resamples: int
) -> dict[str, pd.DataFrame]:
    """The statistics that pair the test images, by file name."""
    try:
        differences = paired_differences(correctness, grid, reference, resamples)
        pairs = mcnemar_table(correctness, grid, reference)
    except Refusal as refusal:
        differences = pd.DataFrame([{"note": str(refusal)}], columns=paired.COLUMNS)
        pairs = pd.DataFrame([{"note": str(refusal)}], columns=mcnemar.COLUMNS)
    pooled = differences["model"] == paired.ALL_MODELS
    over_models = differences[pooled]
    if over_models.empty:
        note = "an average over models needs at least two models"
        over_models = pd.DataFrame([{"note": note}], columns=paired.COLUMNS)
    return {"paired_differences": differences[~pooled], "pooled_differences": over_models, "mcnemar": pairs}


def main() -> None:
    args = arguments()
    try:
        evaluation = read_parquet(args.evaluation)
        grid = Grid.of(evaluation)
        tables = of_evaluation(evaluation, grid)
        correctness = read_correctness(args.runs, args.split, grid)
        tables |= of_predictions(correctness, grid, args.reference, args.resamples)
        about = basis(evaluation, grid, args.data_seed)
        for name, data in tables.items():
            write_page(name, data, about, args.output_folder)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.output_folder}: {', '.join(tables)}; {about}", flush=True)


if __name__ == "__main__":
    main()
