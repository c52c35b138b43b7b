"""The section `statistics`: how the runs are compared."""

from longtail.settings import Name, Section


class Statistics(Section):
    """How the runs are compared."""

    reference: Name = "softmax"
    """The loss that the others are compared with; where the grid does not have it, the first of the grid."""
