"""The questions of the experiment, answered from the evaluation and the statistics of all runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import argparse

import pandas as pd

from longtail.files.atomic import atomic_path
from longtail.files.parquet import read_parquet
from longtail.report.summary.document import summarise
from longtail.report.summary.evidence import Data, Evidence
from longtail.report.webpage import webpage

STATISTICS = ("anova", "friedman", "paired_differences", "pooled_differences")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluation", required=True, metavar="FILE", help="of evaluation.py (.parquet)")
    parser.add_argument("--statistics", required=True, metavar="FOLDER", help="of statistical_analysis.py")
    parser.add_argument("--thesis", required=True, metavar="FILE", help="resources/thesis_results.csv")
    parser.add_argument("--published", required=True, metavar="FILE", help="resources/published_results.csv")
    parser.add_argument("--data-source", required=True, help="data set of the runs, such as cifar100")
    parser.add_argument(
        "--imbalance-factor", required=True, type=float, help="of the long-tailed training set"
    )
    parser.add_argument("--data-seed", required=True, type=int, help="seed of the data split")
    parser.add_argument(
        "--reference", default="softmax", help="loss that the others are compared with (softmax)"
    )
    parser.add_argument("--output", nargs="+", required=True, metavar="FILE", help="summary (.md, .html)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    try:
        evidence = Evidence(
            evaluation=read_parquet(args.evaluation),
            statistics={name: pd.read_csv(Path(args.statistics) / f"{name}.csv") for name in STATISTICS},
            thesis=pd.read_csv(args.thesis),
            published=pd.read_csv(args.published),
            data=Data(args.data_source, args.imbalance_factor, args.data_seed),
            reference=args.reference,
        )
        text = summarise(evidence)
        for path in args.output:
            with atomic_path(path) as temporary:
                content = webpage(text, "Summary") if temporary.suffix == ".html" else text
                temporary.write_text(content, encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{', '.join(args.output)}: {text.count('## ')} questions", flush=True)


if __name__ == "__main__":
    main()
