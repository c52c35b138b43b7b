"""Tables of the results, each as csv, Markdown, LaTeX and a web page."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import argparse

import pandas as pd

from longtail.files.parquet import read_parquet
from longtail.report import tables
from longtail.report.typeset import write_table


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    run = kinds.add_parser("run", help="top1 and full: one model on one training set, all its losses")
    run.add_argument("--train-set", required=True, help="balanced or longtailed")
    run.add_argument("--model", required=True, help="name of the model in the results")
    summaries = kinds.add_parser(
        "summaries", help="model_summary and loss_summary: means over losses and models"
    )
    thesis = kinds.add_parser("thesis", help="thesis_comparison: ours, theirs and the difference")
    thesis.add_argument("--thesis", required=True, metavar="FILE", help="thesis_results.csv")
    published = kinds.add_parser("published", help="published_comparison: ours, published and the difference")
    published.add_argument("--published", required=True, metavar="FILE", help="published_results.csv")
    for kind in (run, summaries, thesis, published):
        kind.add_argument(
            "--evaluation", required=True, metavar="FILE", help="evaluations of all runs (.parquet)"
        )
    counts = kinds.add_parser("counts", help="counts: images of every subset and group")
    counts.add_argument("--split", required=True, metavar="FILE", help="split.parquet")
    for kind in (run, summaries, thesis, published, counts):
        kind.add_argument(
            "--output-folder", required=True, metavar="FOLDER", help="where to write the tables"
        )
    return parser.parse_args()


def build(args: argparse.Namespace) -> dict[str, tables.Table]:
    """The tables of a kind, by file name."""
    if args.kind == "counts":
        columns = ["label", "subset", "longtailed", "group"]
        return {"counts": tables.counts_table(read_parquet(args.split, columns))}
    evaluation = read_parquet(args.evaluation)
    if args.kind == "run":
        return {
            "top1": tables.top1_table(evaluation, args.train_set, args.model),
            "full": tables.full_table(evaluation, args.train_set, args.model),
        }
    if args.kind == "summaries":
        return {
            "model_summary": tables.model_summary(evaluation),
            "loss_summary": tables.loss_summary(evaluation),
        }
    if args.kind == "published":
        published = pd.read_csv(args.published, dtype=str)
        return {"published_comparison": tables.published_comparison(evaluation, published)}
    return {"thesis_comparison": tables.thesis_comparison(evaluation, pd.read_csv(args.thesis))}


def main() -> None:
    args = arguments()
    try:
        for name, table in build(args).items():
            label = f"{name}-{args.train_set}-{args.model}" if args.kind == "run" else name
            write_table(table, args.output_folder, name, label)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
