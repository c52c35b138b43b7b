# Statistics of all runs.

STATISTICS = ["descriptive", "anova", "posthoc", "friedman", "friedman_pairs"]
STATISTICS += ["paired_differences", "pooled_differences", "mcnemar"]


rule statistical_analysis:
    input:
        of_all_runs("predictions.parquet"),
        evaluation=rules.evaluation.output.evaluation,
    output:
        expand(
            "<results>/statistics/{name}.{extension}",
            name=STATISTICS,
            extension=["csv", "md"],
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
        runs=f"{CONFIG.paths.results}/runs",
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/statistical_analysis.py --evaluation {input.evaluation:q} --runs {params.runs:q}"
        " --reference {params.reference:q} --resamples {params.resamples} --data-seed {params.data_seed}"
        " --output-folder {params.folder:q} > {log:q} 2>&1"
