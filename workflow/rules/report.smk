# What `snakemake --report` shows: every figure and table, with its caption, and what they were made with.

import os
import platform
from importlib.metadata import version

import yaml

from longtail.report.catalogue import title
from longtail.report.labels import label

VERSIONS = ["longtail", "snakemake", "torch", "torchvision", "timm", "numpy", "scipy"]


report: "../report/workflow.rst"


def in_report(category, files, subcategory="All runs"):
    """The same files as a rule's output; those that a browser shows are listed in the report."""
    captions = {".png": "../report/figure.rst", ".html": "../report/table.rst"}
    return [
        (
            flag_for_report(file, captions[Path(file).suffix], category, subcategory)
            if Path(file).suffix in captions
            else file
        )
        for file in files
    ]


def flag_for_report(file, caption, category, subcategory):
    name = Path(file).stem

    def labels(wildcards):
        of_file = wildcards.get("figure", name)
        of_loss = wildcards.get("loss")
        shown = f"{title(of_file)}, {label(of_loss)}" if of_loss else title(of_file)
        return {"Shown": shown}

    place = dict(category=category, subcategory=subcategory, labels=labels)
    return report(file, caption=caption, **place)


def of_model(wildcards):
    train_set = label(wildcards.train_set).lower()
    return f"{label(wildcards.model)}, trained on the {train_set} set"


def caption_of(file):
    """The text beside a figure, by the path that jobs have of it."""
    return STORAGE.text(file.replace(RESULTS, CONFIG.paths.results, 1))


def report_facts():
    """What the report's first page states."""
    settings = CONFIG.model_dump(mode="json")
    settings["data"] = {
        name: value
        for name, value in settings["data"].items()
        # Settings of data that these runs did not use are left out.
        if not isinstance(value, dict) or name == CONFIG.data.source
    }
    versions = {name: version(name) for name in VERSIONS}
    return {
        "files": ", ".join(map(os.path.relpath, workflow.configfiles)),
        "runs": len(EXPERIMENT.runs),
        "finished": sum(map(STORAGE.is_file, files_of("predictions.parquet", EXPERIMENT.runs))),
        "seeds": ", ".join(map(str, CONFIG.seeds)),
        "data_seed": CONFIG.data.seed,
        "versions": {"Python": platform.python_version(), **versions},
        "settings": yaml.safe_dump(settings, sort_keys=False),
    }
