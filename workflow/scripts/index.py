"""The page of the results: the answers, and all figures, tables, runs and logs that they lead to."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml
from frame import Namespace, program, run

from longtail.analysis.frames import read_evaluation
from longtail.files.atomic import write_text
from longtail.report.index import index

PACKAGES = ("longtail", "snakemake", "torch", "torchvision", "timm", "numpy", "scipy")


def made_with(settings: Mapping[str, Any]) -> dict[str, str]:
    """What the end of the page shows as it is, by its headings."""
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # the environment of figures and tables may have no Snakemake
    return {
        f"Configuration, of {', '.join(settings['of'])}, with every default filled in": yaml.safe_dump(
            settings["configuration"], sort_keys=False
        ),
        "Versions of the tables and figures; those of each run are in its record": "\n".join(
            f"{name} {number}" for name, number in versions.items()
        ),
    }


def main(args: Namespace) -> None:
    evaluation = read_evaluation(args.evaluation) if args.evaluation else None
    settings = args.settings
    page = index(args.results, evaluation, settings["figures"], settings["tables"], made_with(settings))
    write_text(args.output, page)
    print(f"{args.output}: {page.count('<figure ')} figures", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        results="folder of the results, for which the page is made",
        output="page (.html), in that folder",
        takes="figures and tables: the names of those of all runs; configuration, and the files that it is `of`",
    )
    parser.add_argument(
        "--evaluation", metavar="FILE", help="of evaluation.py (.parquet), where runs are trained"
    )
    run(main, parser)
