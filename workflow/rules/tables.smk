# Tables, each in every format. A job reads only what its tables show, so it runs again only when that has changed.

TABLE_SOURCES = {
    "evaluation": rules.evaluation.output.evaluation,
    "per_class": rules.evaluation.output.per_class,
    "ensembles": rules.evaluation.output.ensembles,
    "split": "<results>/data/split.parquet",
    **OF_OTHERS,
}
# Which tables each job makes, and from what.
TABLE_JOBS = {
    "table_of_runs": (["top1", "full"], ["evaluation"]),
    "table_of_means": (["model_summary", "loss_summary"], ["evaluation"]),
    "table_of_class_groups": (["class_groups", "test_distributions"], ["per_class"]),
    "table_of_ensembles": (["ensembles"], ["ensembles"]),
    "table_of_counts": (["counts"], ["split"]),
    "table_beside_thesis": (["thesis_comparison"], ["evaluation", "thesis"]),
    "table_beside_published": (["published_comparison"], ["evaluation", "published"]),
}
JOBS_OF_ALL_RUNS = [
    "table_of_means",
    "table_of_class_groups",
    "table_of_counts",
    *(["table_of_ensembles"] if len(CONFIG.seeds) > 1 else []),
    *(["table_beside_thesis"] if EXPERIMENT.thesis_data else []),
    *(["table_beside_published"] if EXPERIMENT.published_protocol else []),
]


rule tables:
    input:
        expand(
            table_files("table_of_runs"),
            train_set=CONFIG.grid.train_sets,
            model=CONFIG.grid.models,
        ),
        expand(
            [file for loss in EXPERIMENT.losses for file in class_table_files(loss)],
            train_set=CONFIG.grid.train_sets,
            model=CONFIG.grid.models,
        ),
        [table_files(job) for job in JOBS_OF_ALL_RUNS],
    localrule: True


for job, (names, made_from) in TABLE_JOBS.items():
    of_one_model = job == "table_of_runs"

    rule:
        name:
            job
        input:
            **{source: TABLE_SOURCES[source] for source in made_from},
        output:
            table_files(job),
        log:
            f"<logs>/tables/{'{train_set}/{model}' if of_one_model else job}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            key=KEYS.tables(made_from),
            names=names,
            options=table_options,
            folder=subpath(output[0], parent=True),
        shell:
            f"python {SCRIPTS}/tables.py"
            " {params.names} {params.options:q} --output-folder {params.folder:q} > {log:q} 2>&1"


rule table_of_classes:
    input:
        predictions=lambda wildcards: files_of(
            "predictions.parquet", runs_of_model(wildcards, EXPERIMENT.shown_runs)
        ),
        split="<results>/data/split.parquet",
    output:
        [file for loss in EXPERIMENT.losses for file in class_table_files(loss)],
    log:
        "<logs>/tables/{train_set}/{model}/classes.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=lambda wildcards: KEYS.class_tables(runs_of_model(wildcards, EXPERIMENT.shown_runs)),
        names=list(CLASS_TABLES),
        predictions=lambda wildcards, output: [
            f"{RESULTS}/runs/{run}/predictions.parquet" if run in SHOWN else str(run)
            for run in runs_of_model(wildcards, EXPERIMENT.runs)
        ],
        losses=EXPERIMENT.losses,
        folder=subpath(output[0], parent=True),
    shell:
        f"python {SCRIPTS}/tables.py"
        " {params.names} --predictions {params.predictions:q} --split {input.split:q}"
        " --train-set {wildcards.train_set} --model {wildcards.model:q} --loss {params.losses:q}"
        " --output-folder {params.folder:q} > {log:q} 2>&1"
