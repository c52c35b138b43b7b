# The files of the jobs that make tables; tables.smk says which jobs there are.

from longtail.report.catalogue import CLASS_TABLES, STATISTIC_FORMATS, TABLE_FORMATS

TABLES = "<results>/tables"
RUN_TABLES = f"{TABLES}/{{train_set}}/{{model}}"


def table_files(job):
    folder = RUN_TABLES if job == "table_of_runs" else TABLES
    names, _ = TABLE_JOBS[job]
    return [f"{folder}/{name}.{format}" for name in names for format in TABLE_FORMATS]


def class_table_files(loss):
    """The tables of single classes of one loss, for each model and training set."""
    return [f"{RUN_TABLES}/{name}_{loss}.{format}" for name in CLASS_TABLES for format in STATISTIC_FORMATS]


def runs_of_model(wildcards, runs):
    return [run for run in runs if (run.train_set, run.model) == (wildcards.train_set, wildcards.model)]


def table_options(wildcards, input):
    """The inputs and wildcards of a job as options of the program."""
    own = as_options(dict([*input.items(), *wildcards.items()]))
    protocol = ["--protocol", EXPERIMENT.published_protocol] if "published" in input.keys() else []
    sets = ["--train-sets", *CONFIG.grid.train_sets] if "split" in input.keys() else []
    return [*own, *protocol, *sets, *(caveats(EXPERIMENT.losses) if "evaluation" in input.keys() else [])]
