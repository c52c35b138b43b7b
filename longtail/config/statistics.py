"""The section `statistics`: how the runs are compared."""

from typing import Annotated

from pydantic import Field

from longtail.settings import Name, Section


class Statistics(Section):
    """How the runs are compared."""

    reference: Name = "softmax"
    """The loss that the others are compared with; the first of the grid where it is not in it."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Of the bootstrap."""
