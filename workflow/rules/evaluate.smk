# From predictions to one long table of metrics.


rule evaluate:
    input:
        predictions=rules.predict.output,
        split="<results>/data/split.parquet",
    output:
        evaluation=f"{RUN}/evaluation.parquet",
        per_class=f"{RUN}/per_class.parquet",
    log:
        f"<logs>/evaluate/{RUN_NAME}.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=lambda wildcards: EXPERIMENT.evaluate_key(run_of(wildcards)),
        settings=lambda wildcards: EXPERIMENT.loss_json(wildcards.loss),
    shell:
        "python workflow/scripts/evaluate.py --predictions {input.predictions:q} --split {input.split:q}"
        " --train-set {wildcards.train_set} --model {wildcards.model:q} --loss {wildcards.loss:q}"
        " --seed {wildcards.seed} --settings {params.settings:q}"
        " --output {output.evaluation:q} --output-per-class {output.per_class:q} > {log:q} 2>&1"


rule run_list:
    # The runs there should be, one a line: thousands of names are more than a command line holds.
    output:
        "<results>/lists/{file}.txt",
    log:
        "<logs>/run_list/{file}.log",
    localrule: True
    params:
        grid=EXPERIMENT.grid_options(),
        runs=f"{CONFIG.paths.results}/runs",
    shell:
        "python workflow/scripts/run_list.py {params.grid:q} --runs {params.runs:q} --file {wildcards.file:q}"
        " --output {output:q} > {log:q} 2>&1"


rule evaluation:
    input:
        of_all_runs("evaluation.parquet"),
        of_all_runs("per_class.parquet"),
        runs="<results>/lists/folders.txt",
    output:
        evaluation="<results>/evaluation.parquet",
        per_class="<results>/per_class.parquet",
    log:
        "<logs>/evaluation.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=EXPERIMENT.evaluation_key(),
    shell:
        "python workflow/scripts/evaluation.py @{input.runs:q}"
        " --output {output.evaluation:q} --output-per-class {output.per_class:q} > {log:q} 2>&1"
