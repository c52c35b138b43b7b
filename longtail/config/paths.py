"""The section `paths`: the folders of results, downloads and unfinished states."""

import re

from pydantic import field_validator

from longtail.settings import Section


class Paths(Section):
    """Folders, relative to the working directory unless absolute."""

    results: str = "results"
    """Everything that is made: data sets, runs, tables, figures, pages."""
    data: str = "data"
    """Downloads. Once they are there, the folder may be read-only and shared."""
    work: str = "work"
    """The states to resume from. The folder may be deleted when nothing runs."""

    @field_validator("*")
    @classmethod
    def _plain(cls, path: str) -> str:
        if not path or path.endswith("/") or re.search(r"[\n{}]", path):
            raise ValueError("must be a folder without a final slash, braces or line breaks")
        return path
