"""Statistics of all runs: intervals, analysis of variance, ranks, paired differences; each as csv, Markdown and HTML.

What the runs cannot support is a row that says so, and what would be needed.
"""

# Not called statistics.py: Python looks into a program's own folder first, and seaborn imports `statistics`.

from frame import Namespace, program, run

from longtail.analysis.frames import read_evaluation, require_files
from longtail.analysis.grid import Grid, without
from longtail.analysis.statistics.analyses import every_statistic
from longtail.analysis.statistics.correctness import read_correctness
from longtail.experiment.runs import PREDICTIONS
from longtail.report.pages import basis, write_page


def main(args: Namespace) -> None:
    evaluation = read_evaluation(args.evaluation)
    grid = Grid.of(evaluation)
    missing = set(without(evaluation, "value"))
    require_files(args.runs / str(run) / PREDICTIONS for run in grid.runs if run not in missing)
    correctness = read_correctness(args.runs, args.split, grid)
    tables = every_statistic(evaluation, grid, correctness, args.settings["reference"])
    about = basis(evaluation, grid, args.settings["data_seed"])
    for name, table in tables.items():
        write_page(name, table, about, args.output_folder)
    print(f"{args.output_folder}: {', '.join(tables)}; {about}", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        evaluation="of evaluation.py (.parquet); its models, losses, training sets and seeds are the runs there should "
        "be",
        runs="holds {train_set}/{model}/{loss}/seed{seed}/predictions.parquet of every run that was evaluated",
        split="split.parquet, for the test sets",
        takes="reference: loss that the others are compared with; data_seed: of the split",
        output_folder="where to write the tables",
    )
    run(main, parser)
