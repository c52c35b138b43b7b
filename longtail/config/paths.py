"""The section `paths`: the folders of results, downloads and unfinished states."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import field_validator

from longtail.settings import LocalPath, Section


class Paths(Section):
    """Folders, relative to the working directory unless absolute; ~ is the home directory."""

    results: LocalPath = "results"
    """Everything that is made: data sets, runs, tables, figures, pages."""
    data: LocalPath = "data"
    """Downloads. Once they are there, the folder may be read-only and shared."""
    work: LocalPath = "work"
    """The states to resume from. The folder may be deleted when nothing runs."""

    @field_validator("*")
    @classmethod
    def _plain(cls, path: str) -> str:
        if not path or path.endswith("/") or re.search(r"[{}]", path) or not path.isprintable():
            raise ValueError(
                "must be a folder without a final slash, braces, line breaks or other control characters"
            )
        if re.match(r"\w[\w+.-]*:/", path):
            raise ValueError(
                f"{path} is an address, and a folder of this machine is needed; object storage is chosen by "
                "Snakemake's --default-storage-provider"
            )
        return path


CODE = ("config", "envs", "longtail", "profiles", "resources", "workflow", ".snakemake", ".git", ".venv")
"""The folders of this project that the workflow reads, and those that other programs keep for themselves."""
MADE = ("data", "runs", "weights")
"""The folders in that of the results whose files are made anew, and which a user may take for inputs."""


def relations(
    paths: Paths, images: str | None, split: str | None = None, inputs: Mapping[str, str | None] | None = None
) -> Iterator[str]:
    """Why these folders, the one of the user's images, the file of a frozen split and others cannot lie as they do.

    Symbolic links are followed.

    Args:
        inputs: further files that are read, by their settings.
    """
    real = {name: os.path.realpath(path) for name, path in paths}
    here = os.path.realpath(".")
    above = [name for name in ("results", "work") if _holds(real[name], here)]
    for name in above:
        yield f"paths.{name}: {getattr(paths, name)} holds the project itself; name a folder in it, such as {name}"
    for name in real.keys() - above:
        there = next(part for part in (Path(real[name]), *Path(real[name]).parents) if os.path.lexists(part))
        if not there.is_dir():
            kind = "is a file" if there.is_file() else "is no folder"
            yield f"paths.{name}: {os.path.relpath(there)} {kind}; name a folder"
        if code := next((part for part in CODE if _holds(os.path.join(here, part), real[name])), ""):  # noqa: PTH118
            yield f"paths.{name}: lies in {code}, which holds the project's own files; put it elsewhere"
    if above:
        return
    for name, other in (("data", "results"), ("work", "results"), ("work", "data")):
        if real[name] == real[other]:
            yield f"paths.{name}: is the same folder as paths.{other}; each needs one of its own"
        elif name == "work" and _holds(real["work"], real[other]):
            yield f"paths.{other}: lies in paths.work, which may be deleted; put it elsewhere"
    for name in ("results", "work"):
        if split and _holds(real[name], os.path.realpath(split)):
            yield (
                f"data.split.file: {split} lies in paths.{name}, whose files are made anew; copy it elsewhere, so it "
                "stays"
            )
    for setting, path in ({"data.image_folder.path": images} | dict(inputs or {})).items():
        for made in MADE:
            if path and _holds(os.path.join(real["results"], made), os.path.realpath(path)):  # noqa: PTH118
                yield (
                    f"{setting}: {path} lies in {paths.results}/{made}, whose files are made anew; copy it "
                    "elsewhere, so it stays"
                )
    if images:
        collection = os.path.realpath(images)
        if _holds(real["work"], collection):
            yield "data.image_folder.path: lies in paths.work, which may be deleted; put paths.work elsewhere"
        for name in ("results", "work"):
            if _holds(collection, real[name]):
                yield f"paths.{name}: lies in data.image_folder.path, whose folders are classes; put it elsewhere"


def _holds(folder: str, path: str) -> bool:
    return os.path.commonpath([folder, path]) == folder
