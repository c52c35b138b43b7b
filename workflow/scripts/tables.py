"""Tables of the results, each as csv, Markdown, LaTeX and a web page.

Each table is made from some of the inputs; asked for without one that it needs, it says which.
"""

import argparse
import importlib
import inspect
from dataclasses import replace

from frame import program, run

from longtail.analysis.frames import read_evaluation, read_per_class, read_published
from longtail.analysis.tables import THESIS
from longtail.data.split.sets import SPLIT
from longtail.report.catalogue import TABLES
from longtail.report.typeset import write_table

READERS = {
    "evaluation": read_evaluation,
    "per_class": read_per_class,
    "split": lambda path: SPLIT.read(path, ["label", "subset", "longtailed", "group"]),
    "thesis": THESIS.read,
    "published": read_published,
}


def arguments() -> argparse.ArgumentParser:
    parser = program(__doc__)
    parser.add_argument("names", nargs="+", choices=TABLES, metavar="NAME", help=f"of {', '.join(TABLES)}")
    parser.add_argument("--evaluation", metavar="FILE", help="metrics of all runs (.parquet)")
    parser.add_argument("--per-class", metavar="FILE", help="accuracies of all runs and classes (.parquet)")
    parser.add_argument("--split", metavar="FILE", help="split.parquet")
    parser.add_argument("--thesis", metavar="FILE", help="resources/thesis_results.csv")
    parser.add_argument("--published", metavar="FILE", help="resources/published_results.csv")
    parser.add_argument("--train-set", help="training set of a table of one model: balanced or longtailed")
    parser.add_argument("--model", help="model of a table of one model, by its name in the results")
    parser.add_argument(
        "--note", action="append", default=[], metavar="SENTENCE", help="note below each table"
    )
    parser.add_argument("--output-folder", required=True, metavar="FOLDER", help="where to write the tables")
    return parser


def main(args: argparse.Namespace) -> None:
    values = {name: value for name, value in vars(args).items() if value is not None}
    given = values | {name: read(values[name]) for name, read in READERS.items() if name in values}
    for name in args.names:
        # The table is chosen by name, so its code is no part of the code that every table depends on.
        module = importlib.import_module(f"longtail.report.{'counts' if name == 'counts' else 'tables'}")
        build = module.TABLES[name]
        needed = inspect.signature(build).parameters
        if absent := [f"--{parameter.replace('_', '-')}" for parameter in needed if parameter not in given]:
            raise ValueError(f"the table '{name}' needs {', '.join(absent)}")
        table = build(**{parameter: given[parameter] for parameter in needed})
        label = f"{name}-{args.train_set}-{args.model}" if "model" in needed else name
        table = replace(table, notes=(*table.notes, *args.note))
        write_table(table, args.output_folder, name, label)


if __name__ == "__main__":
    run(main, arguments())
