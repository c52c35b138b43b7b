# The page of the results, which leads from the answers to all that they rest on.

import platform
from importlib.metadata import version

import yaml

VERSIONS = ["longtail", "snakemake", "torch", "torchvision", "timm", "numpy", "scipy"]
# Lists without images have classes to count and nothing to train on.
TRAINED = EXPERIMENT.source.has_images
JOBS_SHOWN = JOBS_OF_ALL_RUNS if TRAINED else ["table_of_counts"]


def settings_shown():
    """The configuration with every default, but for what no result depends on and sources that these runs do not use."""
    settings = CONFIG.model_dump(mode="json", exclude={"job", "paths"})
    settings["data"] = {
        name: value
        for name, value in settings["data"].items()
        if not isinstance(value, dict) or name == CONFIG.data.source
    }
    return settings


def made_with():
    files = ", ".join(map(os.path.relpath, workflow.configfiles))
    versions = {"Python": platform.python_version(), **{name: version(name) for name in VERSIONS}}
    listed = "\n".join(f"{name} {number}" for name, number in versions.items())
    return {
        f"Configuration, of {files}, with every default filled in": yaml.safe_dump(
            settings_shown(), sort_keys=False
        ),
        "Versions of the tables and figures; those of each run are in its record": listed,
    }


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
        key=KEYS.index(settings_shown(), sources.figures()),
        settings=unrecorded(
            as_json(
                {
                    "figures": figures_in(FIGURES) if TRAINED else ["class_distribution"],
                    "tables": [name for job in JOBS_SHOWN for name in TABLE_JOBS[job][0]],
                    "made_with": made_with(),
                }
            )
        ),
        evaluation=lambda wildcards, input: as_options({"evaluation": input.evaluation}),
        folder=subpath(output[0], parent=True),
    shell:
        f"python {SCRIPTS}/index.py"
        " --results {params.folder:q} {params.evaluation:q} --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"
