# Make one long table of metrics from the predictions of all runs. One job does it for all runs, because a run takes a
# fraction of a second, which is less than a program takes to start. It takes over what its earlier outputs say of runs
# that are the same since, so these are updated.


rule run_list:
    output:
        "<results>/lists/folders.txt",
    log:
        "<logs>/run_list.log",
    localrule: True
    params:
        key=KEYS.run_list(),
        settings=as_json(EXPERIMENT.run_list_settings()),
    shell:
        f"python {SCRIPTS}/run_list.py" " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule evaluation:
    input:
        of_all_runs("predictions.parquet"),
        runs=rules.run_list.output,
        split="<results>/data/split.parquet",
    output:
        evaluation=updated("<results>/evaluation.parquet"),
        per_class=updated("<results>/per_class.parquet"),
        ensembles=updated("<results>/ensembles.parquet"),
    log:
        "<logs>/evaluation.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=KEYS.evaluation(),
        settings=as_json(KEYS.evaluation_settings()),
        folder=unrecorded(f"{RESULTS}/runs"),
        missing=unrecorded(as_options({"missing": [str(run) for run in EXPERIMENT.runs if run not in SHOWN]})),
    shell:
        f"python {SCRIPTS}/evaluation.py"
        " @{input.runs:q} --folder {params.folder:q} {params.missing:q} --split {input.split:q} --settings {params.settings:q}"
        " --output {output.evaluation:q} --output-per-class {output.per_class:q}"
        " --output-ensembles {output.ensembles:q} > {log:q} 2>&1"
