# Statistics of all runs.

STATISTICS = ["descriptive", "anova", "posthoc", "friedman", "friedman_pairs"]
STATISTICS += ["paired_differences", "pooled_differences", "mcnemar"]


rule statistical_analysis:
    input:
        of_all_runs("predictions.parquet"),
        evaluation=rules.evaluation.output.evaluation,
        split="<results>/data/split.parquet",
    output:
        in_report(
            "Statistical tests",
            expand(
                "<results>/statistics/{name}.{extension}",
                name=STATISTICS,
                extension=["csv", "md", "html"],
            ),
        ),
    log:
        "<logs>/statistical_analysis.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=EXPERIMENT.statistics_key(),
        reference=EXPERIMENT.reference_loss,
        resamples=CONFIG.statistics.resamples,
        data_seed=CONFIG.data.seed,
        runs=unrecorded(f"{CONFIG.paths.results}/runs"),
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/statistical_analysis.py --evaluation {input.evaluation:q} --runs {params.runs:q}"
        " --split {input.split:q} --reference {params.reference:q} --resamples {params.resamples} --data-seed {params.data_seed}"
        " --output-folder {params.folder:q} > {log:q} 2>&1"


rule summary:
    input:
        rules.statistical_analysis.output,
        evaluation=rules.evaluation.output.evaluation,
        thesis="resources/thesis_results.csv",
        published="resources/published_results.csv",
    output:
        in_report("Answers", ["<results>/summary.md", "<results>/summary.html"]),
    log:
        "<logs>/summary.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=EXPERIMENT.summary_key(),
        statistics=unrecorded(f"{CONFIG.paths.results}/statistics"),
        source=CONFIG.data.source,
        imbalance_factor=CONFIG.data.imbalance_factor,
        data_seed=CONFIG.data.seed,
        reference=EXPERIMENT.reference_loss,
    shell:
        "python workflow/scripts/summary.py --evaluation {input.evaluation:q} --statistics {params.statistics:q}"
        " --thesis {input.thesis:q} --published {input.published:q} --data-source {params.source}"
        " --imbalance-factor {params.imbalance_factor} --data-seed {params.data_seed} --reference {params.reference:q}"
        " --output {output:q} > {log:q} 2>&1"
