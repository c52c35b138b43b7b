"""Tables of the results, each as csv, Markdown, LaTeX and a web page; those of single classes have no LaTeX.

Each table is made from some of the inputs; asked for without one that it needs, it says which. Those of single classes
are made for every loss that is named, in files that end in its name.
"""

import importlib
import inspect
from dataclasses import replace

from frame import Namespace, program, run

from longtail.analysis.frames import (
    read_evaluation,
    read_per_class,
    read_predictions,
    read_published,
    require_files,
)
from longtail.analysis.tables import ENSEMBLES, THESIS
from longtail.data.split.sets import SPLIT
from longtail.report.catalogue import CLASS_TABLES, PROTOCOLS, TABLES
from longtail.report.typeset import write_table

READERS = {
    "evaluation": read_evaluation,
    "per_class": read_per_class,
    "ensembles": ENSEMBLES.read,
    "split": lambda path: SPLIT.read(path, ["label", "subset", "longtailed", "group"]),
    "predictions": read_predictions,
    "thesis": THESIS.read,
    "published": read_published,
}


def main(args: Namespace) -> None:
    require_files(args.predictions or ())
    values = {name: value for name, value in vars(args).items() if value is not None}
    given = values | {name: read(values[name]) for name, read in READERS.items() if name in values}
    for name in args.names:
        # The table is chosen by name, so its code is no part of the code that every table depends on.
        module = "counts" if name == "counts" else "classes" if name in CLASS_TABLES else "tables"
        build = importlib.import_module(f"longtail.report.{module}").TABLES[name]
        needed = inspect.signature(build).parameters
        if absent := [f"--{parameter.replace('_', '-')}" for parameter in needed if parameter not in given]:
            raise ValueError(f"the table '{name}' needs {', '.join(absent)}")
        label = f"{name}-{args.train_set}-{args.model}" if "model" in needed else name
        if "loss" not in needed:
            table = build(**{parameter: given[parameter] for parameter in needed})
            write_table(replace(table, notes=(*table.notes, *args.note)), args.output_folder, name, label)
            continue
        for loss in args.loss:
            table = build(**{parameter: given[parameter] for parameter in needed} | {"loss": loss})
            write_table(table, args.output_folder, f"{name}_{loss}")


if __name__ == "__main__":
    parser = program(__doc__, output_folder="where to write the tables")
    names = [*TABLES, *CLASS_TABLES]
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--evaluation", metavar="FILE", help="metrics of all runs (.parquet)")
    parser.add_argument("--per-class", metavar="FILE", help="accuracies of all runs and classes (.parquet)")
    parser.add_argument("--ensembles", metavar="FILE", help="ensembles of all runs over seeds (.parquet)")
    parser.add_argument("--split", metavar="FILE", help="split.parquet")
    predictions = "predictions.parquet of the runs of one model, or the name of a run that is missing"
    parser.add_argument("--predictions", nargs="+", metavar="FILE", help=predictions)
    parser.add_argument("--thesis", metavar="FILE", help="resources/thesis_results.csv")
    parser.add_argument("--published", metavar="FILE", help="resources/published_results.csv")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="of the published results that the runs follow")
    parser.add_argument("--train-set", help="training set of a table of one model: balanced or longtailed")
    parser.add_argument("--train-sets", nargs="+", help="training sets that models are trained on")
    parser.add_argument("--model", help="model of a table of one model, by its name in the results")
    parser.add_argument("--loss", nargs="+", metavar="NAME", help="losses of tables of single classes")
    parser.add_argument(
        "--note", action="append", default=[], metavar="SENTENCE", help="note below each table"
    )
    run(main, parser)
