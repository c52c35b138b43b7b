import sys

from snakemake.utils import min_version

min_version("9.27.0")

sys.path.insert(0, workflow.current_basedir.get_path_or_uri(secret_free=True))  # the library beside this file


configfile: "config/config.yaml"


# With --sdm apptainer; envs/longtail.def builds it.
container: "longtail.sif"


include: "workflow/rules/setup.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/table_files.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/figure_files.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/index.smk"


rule all:
    default_target: True
    input:
        rules.index.output,
        [*rules.check_data.output, *rules.metadata.output] if EXPERIMENT.source.collection and TRAINED else [],


onsuccess:
    put_leftovers_aside()
    name_index()
    if EXPERIMENT.source.collection and CHECK_IS_ASKED:
        show_check()


onerror:
    show_what_is_there()
