# From the predictions of all runs to one long table of metrics. One job for all: a run takes a fraction of a second,
# less than a program takes to start.


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
        of_all_runs("predictions.parquet"),
        runs="<results>/lists/folders.txt",
        split="<results>/data/split.parquet",
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
        losses=EXPERIMENT.losses_json(),
    shell:
        "python workflow/scripts/evaluation.py @{input.runs:q} --split {input.split:q} --losses {params.losses:q}"
        " --output {output.evaluation:q} --output-per-class {output.per_class:q} > {log:q} 2>&1"
