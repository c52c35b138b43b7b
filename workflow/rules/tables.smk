# Tables, each as csv, Markdown and LaTeX.


rule tables:
    input:
        expand(
            table_files(RUN_TABLES, "top1", "full"),
            train_set=CONFIG.grid.train_sets,
            model=CONFIG.grid.models,
        ),
        table_files(TABLES, "model_summary", "loss_summary", "counts"),
        # The thesis's figures are of CIFAR-100.
        table_files(TABLES, "thesis_comparison")
        if CONFIG.data.source == "cifar100"
        else [],
        table_files(TABLES, "published_comparison")
        if EXPERIMENT.published_protocol
        else [],
    localrule: True


rule table_of_runs:
    input:
        evaluation=rules.evaluation.output.evaluation,
    output:
        in_report("Tables", table_files(RUN_TABLES, "top1", "full"), of_model),
    log:
        "<logs>/tables/{train_set}/{model}.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=EXPERIMENT.table_key(EXPERIMENT.evaluation_key()),
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/tables.py run --train-set {wildcards.train_set} --model {wildcards.model:q}"
        " --evaluation {input.evaluation:q} --output-folder {params.folder:q} > {log:q} 2>&1"


rule table_of_means:
    input:
        evaluation=rules.evaluation.output.evaluation,
    output:
        in_report("Tables", table_files(TABLES, "model_summary", "loss_summary")),
    log:
        "<logs>/tables/means.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=EXPERIMENT.table_key(EXPERIMENT.evaluation_key()),
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/tables.py summaries --evaluation {input.evaluation:q}"
        " --output-folder {params.folder:q} > {log:q} 2>&1"


rule table_of_counts:
    input:
        split="<results>/data/split.parquet",
    output:
        in_report("Tables", table_files(TABLES, "counts")),
    log:
        "<logs>/tables/counts.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=EXPERIMENT.table_key(EXPERIMENT.split_key()),
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/tables.py counts --split {input.split:q} --output-folder {params.folder:q} > {log:q} 2>&1"


rule table_beside_thesis:
    input:
        evaluation=rules.evaluation.output.evaluation,
        thesis="resources/thesis_results.csv",
    output:
        in_report("Tables", table_files(TABLES, "thesis_comparison")),
    log:
        "<logs>/tables/thesis_comparison.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=EXPERIMENT.table_key(EXPERIMENT.evaluation_key()),
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/tables.py thesis --evaluation {input.evaluation:q} --thesis {input.thesis:q}"
        " --output-folder {params.folder:q} > {log:q} 2>&1"


rule table_beside_published:
    input:
        evaluation=rules.evaluation.output.evaluation,
        published="resources/published_results.csv",
    output:
        table_files(TABLES, "published_comparison"),
    log:
        "<logs>/tables/published_comparison.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=EXPERIMENT.table_key(EXPERIMENT.evaluation_key()),
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/tables.py published --evaluation {input.evaluation:q} --published {input.published:q}"
        " --output-folder {params.folder:q} > {log:q} 2>&1"
