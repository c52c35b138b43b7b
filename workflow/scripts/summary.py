"""The questions of the experiment, answered from the evaluation and the statistics of all runs."""

import argparse

from frame import output, program, run

from longtail.files.atomic import atomic_path
from longtail.files.csv import read_csv
from longtail.files.parquet import read_parquet
from longtail.report.summary.answers import summarise
from longtail.report.summary.evidence import STATISTICS, Evidence, Settings
from longtail.report.webpage import webpage


def arguments() -> argparse.ArgumentParser:
    parser = program(
        __doc__,
        evaluation="of evaluation.py (.parquet)",
        statistics="folder of statistical_analysis.py",
        thesis="resources/thesis_results.csv",
        published="resources/published_results.csv",
        takes="source, imbalance_factor and seed of the data; reference: loss that the others are compared with; "
        "perhaps pretrained: whether each model starts from pretrained weights",
    )
    told = "summary (.md, .html)"
    parser.add_argument("--output", nargs="+", type=output(told), required=True, metavar="FILE", help=told)
    return parser


def main(args: argparse.Namespace) -> None:
    evidence = Evidence(
        evaluation=read_parquet(args.evaluation),
        statistics={name: read_csv(args.statistics / f"{name}.csv") for name in STATISTICS},
        thesis=read_csv(args.thesis),
        published=read_csv(args.published),
        settings=Settings(**args.settings),
    )
    text = summarise(evidence)
    for path in args.output:
        with atomic_path(path) as temporary:
            content = webpage(text, "Summary") if temporary.suffix == ".html" else text
            temporary.write_text(content, encoding="utf-8")
    print(f"{', '.join(map(str, args.output))}: {text.count('## ')} questions", flush=True)


if __name__ == "__main__":
    run(main, arguments())
