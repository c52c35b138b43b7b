import sys

from snakemake.utils import min_version

min_version("9.27.0")

sys.path.insert(0, workflow.current_basedir.get_path_or_uri(secret_free=True))  # the library beside this file


configfile: "config/config.yaml"


# With --sdm apptainer; envs/longtail.def builds it.
container: "longtail.sif"


include: "workflow/rules/setup.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/table_files.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/figure_files.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        # Lists without images have classes to count and nothing to train on.
        (
            [rules.table_of_counts.output, figure_files(FIGURES, "class_distribution")]
            if not EXPERIMENT.source.has_images
            else [
                ([*rules.check_data.output, *rules.metadata.output] if EXPERIMENT.source.natural else []),
                rules.tables.input,
                rules.statistical_analysis.output,
                rules.summary.output,
                rules.figures.input,
            ]
        ),


onsuccess:
    put_leftovers_aside()
    if EXPERIMENT.source.natural and CHECK_IS_ASKED:
        show_check()


onerror:
    show_what_is_there()
