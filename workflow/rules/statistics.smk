# Statistics of all runs, and the summary that answers the questions of the experiment with them.

from longtail.report.catalogue import STATISTIC_FORMATS, STATISTICS


rule statistical_analysis:
    input:
        of_all_runs("predictions.parquet"),
        evaluation=rules.evaluation.output.evaluation,
        split="<results>/data/split.parquet",
    output:
        expand(
            "<results>/statistics/{name}.{format}",
            name=STATISTICS,
            format=STATISTIC_FORMATS,
        ),
    log:
        "<logs>/statistical_analysis.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=KEYS.statistics(),
        settings=as_json(EXPERIMENT.statistics_settings()),
        runs=unrecorded(f"{RESULTS}/runs"),
        folder=subpath(output[0], parent=True),
    shell:
        f"python {SCRIPTS}/statistical_analysis.py"
        " --evaluation {input.evaluation:q} --runs {params.runs:q}"
        " --split {input.split:q} --settings {params.settings:q} --output-folder {params.folder:q} > {log:q} 2>&1"


rule summary:
    input:
        rules.statistical_analysis.output,
        **OF_OTHERS,
        evaluation=rules.evaluation.output.evaluation,
    output:
        "<results>/summary.md",
        "<results>/summary.html",
    log:
        "<logs>/summary.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=KEYS.summary(),
        settings=as_json(EXPERIMENT.summary_settings()),
        statistics=unrecorded(f"{RESULTS}/statistics"),
    shell:
        f"python {SCRIPTS}/summary.py"
        " --evaluation {input.evaluation:q} --statistics {params.statistics:q}"
        " --thesis {input.thesis:q} --published {input.published:q} --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"
