"""The section `statistics`: how the runs are compared."""

from typing import Annotated

from pydantic import Field

from longtail.settings import Name, Section


class Statistics(Section):
    """How the runs are compared."""

    reference: Name = "softmax"
    """The loss that the others are compared with; where the grid does not have it, the first of the grid."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """The number of resamples of the bootstrap."""
