"""Which images of a split, or of predictions, are in a named set.

Cutting a balanced source leaves a long-tailed part of it: all images are in the balanced sets. A collection with
natural counts is long-tailed itself, and a balanced part is cut from it: its tables have a column `balanced`.
"""

import pandas as pd

GROUPS = ("head", "middle", "tail")


def in_set(table: pd.DataFrame, name: str) -> pd.Series:
    """Whether each image is in a set, of those of its subset (train, test).

    Args:
        table: columns longtailed bool, group str, and balanced bool where not all images are.
        name: balanced, longtailed, or one of the groups of the long-tailed set.

    Returns:
        Bool, with the index of the table.

    Raises:
        ValueError: an unknown name.
    """
    if name not in ("balanced", "longtailed", *GROUPS):
        raise ValueError(f"the set {name!r} is unknown; there are balanced, longtailed, {', '.join(GROUPS)}")
    if name == "balanced":
        whole = pd.Series(True, index=table.index)
        return table["balanced"].astype(bool) if "balanced" in table else whole
    longtailed = table["longtailed"].astype(bool)
    return longtailed if name == "longtailed" else longtailed & (table["group"] == name)
