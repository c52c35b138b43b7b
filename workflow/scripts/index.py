"""The page of the results: the answers, and all figures, tables, runs and logs that they lead to."""

from frame import Namespace, program, run

from longtail.analysis.frames import read_evaluation
from longtail.files.atomic import write_text
from longtail.report.index import index


def main(args: Namespace) -> None:
    evaluation = read_evaluation(args.evaluation) if args.evaluation else None
    settings = args.settings
    page = index(args.results, evaluation, settings["figures"], settings["tables"], settings["made_with"])
    write_text(args.output, page)
    print(f"{args.output}: {page.count('<figure ')} figures", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        results="folder of the results, for which the page is made",
        output="page (.html), in that folder",
        takes="figures and tables: the names of those of all runs; made_with: texts for the end, by their headings",
    )
    parser.add_argument(
        "--evaluation", metavar="FILE", help="of evaluation.py (.parquet), where runs are trained"
    )
    run(main, parser)
