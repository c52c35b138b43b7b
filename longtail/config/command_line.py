"""The configuration as the options of `snakemake` give it, for commands that read it without running anything."""

from argparse import ArgumentParser
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from longtail.config.load import Config, load_files
from longtail.settings import path_argument

DEFAULT = Path("config/config.yaml")
"""The file that the Snakefile names."""


def add_configuration(parser: ArgumentParser) -> None:
    """Add the options `configfile` and `config`, which mean what they mean to Snakemake."""
    parser.add_argument(
        "--configfile",
        "--configfiles",
        nargs="+",
        type=path_argument,
        default=[],
        metavar="FILE",
        help="configurations, of which later ones win",
    )
    parser.add_argument(
        "--config",
        "-C",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="single settings, such as seeds=[1,2]",
    )


def configured(files: Sequence[str | Path], settings: Sequence[str]) -> Config:
    """The checked configuration of these files and settings, on top of `config/config.yaml` where that is here.

    Raises:
        ConfigError: as `load_files`.
        ValueError: there are single settings, and no Snakemake to read them.
    """
    parsed = {}
    if settings:
        if not find_spec("snakemake"):
            raise ValueError(
                "--config needs Snakemake, which reads such values: pip install snakemake, or write the settings into "
                "a file and give it by --configfile"
            )
        from snakemake.cli import parse_config  # is slow, and not needed without settings

        parsed = parse_config(settings)
    return load_files([*([DEFAULT] if DEFAULT.is_file() else []), *files], parsed)
