"""The questions of the experiment, answered from the evaluation and the statistics of all runs."""

from frame import Namespace, output, program, run

from longtail.analysis.frames import read_evaluation
from longtail.analysis.tables import PUBLISHED, STATISTICS, THESIS
from longtail.files.atomic import write_text
from longtail.report.summary.answers import summarise
from longtail.report.summary.evidence import Evidence, Settings
from longtail.report.webpage import webpage


def main(args: Namespace) -> None:
    evidence = Evidence(
        evaluation=read_evaluation(args.evaluation),
        statistics={name: table.read(args.statistics / f"{name}.csv") for name, table in STATISTICS.items()},
        thesis=THESIS.read(args.thesis),
        published=PUBLISHED.read(args.published),
        settings=Settings(**args.settings),
    )
    text = summarise(evidence)
    for path in args.output:
        write_text(path, webpage(text, "Summary", back="index.html") if path.suffix == ".html" else text)
    print(f"{', '.join(map(str, args.output))}: {text.count('## ')} questions", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        evaluation="of evaluation.py (.parquet)",
        statistics="folder of statistical_analysis.py",
        thesis="resources/thesis_results.csv",
        published="resources/published_results.csv",
        takes="source, imbalance_factor and seed of the data; reference: loss that the others are compared with; "
        "perhaps pretrained: whether each model starts from pretrained weights; imbalance: exponential or step; "
        "thesis_data: whether the images are divided as the thesis's",
    )
    told = "summary (.md, .html)"
    parser.add_argument("--output", nargs="+", type=output(told), required=True, metavar="FILE", help=told)
    run(main, parser)
