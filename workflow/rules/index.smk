# The page of the results, which leads from the answers to all that they rest on.

# Lists without images have classes to count and nothing to train on.
TRAINED = EXPERIMENT.source.has_images
SETTINGS_SHOWN = EXPERIMENT.settings_shown()
JOBS_SHOWN = JOBS_OF_ALL_RUNS if TRAINED else ["table_of_counts"]


rule index:
    input:
        (
            [
                rules.tables.input,
                rules.statistical_analysis.output,
                rules.summary.output,
                rules.figures.input,
            ]
            if TRAINED
            else [rules.table_of_counts.output, figure_files(FIGURES, "class_distribution")]
        ),
        evaluation=rules.evaluation.output.evaluation if TRAINED else [],
    output:
        "<results>/index.html",
    log:
        "<logs>/index.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=KEYS.index(SETTINGS_SHOWN, sources.figures()),
        settings=unrecorded(
            as_json(
                {
                    "figures": telling_figures() if TRAINED else ["class_distribution"],
                    "tables": [name for job in JOBS_SHOWN for name in TABLE_JOBS[job][0]],
                    "configuration": SETTINGS_SHOWN,
                    "of": list(map(os.path.relpath, workflow.configfiles)),
                }
            )
        ),
        evaluation=lambda wildcards, input: as_options({"evaluation": input.evaluation}),
        folder=subpath(output[0], parent=True),
    shell:
        f"python {SCRIPTS}/index.py"
        " --results {params.folder:q} {params.evaluation:q} --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"
