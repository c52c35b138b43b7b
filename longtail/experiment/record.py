"""What the other programs take from the record that training leaves of a run, checked when it is read."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, Strict, ValidationError

from longtail.files.regular import read_bytes
from longtail.files.sealed_json import REMEDY, unseal
from longtail.files.text import printable
from longtail.settings import problems

Amount = Annotated[float, Strict(), Field(ge=0, lt=1e15)]
Text = Annotated[str, Strict(), Field(max_length=1000)]


class Epoch(BaseModel):
    """One finished epoch."""

    train_images_per_second: Annotated[float, Strict(), Field(gt=0, lt=1e15)]


class Recipe(BaseModel):
    """The setting of the recipe that decides how fast a model trains."""

    image_size: Annotated[int, Strict(), Field(ge=1)]


class Trained(BaseModel):
    """The settings of the run that do so."""

    architecture: Text
    recipe: Recipe
    loss: Any = None


class Record(BaseModel):
    """The record of a finished run; it has further entries, which are only kept.

    Attributes:
        seconds: of training and validation.
        device_type: "cuda" or "cpu".
        packages: versions by name.
    """

    seconds: Amount
    peak_memory_mb: Amount
    device: Text
    epochs: Annotated[list[Epoch], Field(min_length=1)]
    best_epoch: Annotated[int, Strict(), Field(ge=1)] = 1
    device_type: Text | None = None
    settings: Trained | None = None
    packages: Mapping[str, Text | None] = {}
    finished_at: Text | None = None

    @property
    def images_per_second(self) -> float:
        """The images that the run trained on per second: the median over the epochs."""
        return statistics.median(epoch.train_images_per_second for epoch in self.epochs)


def read_record(path: str | Path) -> Record:
    """The record of a finished run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or not as training writes it; names file, entry and remedy.
    """
    try:
        found: dict[str, Any] = unseal(read_bytes(path), path)
        return Record(**found)
    except ValidationError as error:
        told = printable("; ".join(problems(Record, error)[:3]))
    except ValueError as error:
        told = str(error).removeprefix(f"{path} ").removesuffix(REMEDY).rstrip(". ")
    raise ValueError(f"{path} is no record of a run ({told}). {REMEDY}")
