"""The table of the data: how many images every subset, group and class has.

It is apart from the tables of the results, so that a change of those does not make this table stale.
"""

from collections.abc import Sequence

import pandas as pd

from longtail.data.split.sets import CLUSTER, TRAIN_SETS, groups_of, has_groups, in_set
from longtail.report.labels import label
from longtail.report.typeset import Table


def counts_table(split: pd.DataFrame, train_sets: Sequence[str]) -> Table:
    """Images of every subset that has any, in all and by group, and of its largest and smallest class.

    Args:
        split: columns label, subset, longtailed, group, and cluster where images belong together; one row per image.
        train_sets: those that models are trained on; others are not shown.
    """
    balanced, longtailed = split[in_set(split, "balanced")], split[split["longtailed"]]
    trained = {
        "balanced": balanced[balanced["subset"] == "train"],
        "longtailed": longtailed[longtailed["subset"] == "train"],
    }
    subsets = {
        **{f"Training, {label(name).lower()}": trained[name] for name in TRAIN_SETS if name in train_sets},
        "Validation": split[split["subset"] == "val"],
        "Test, balanced": balanced[balanced["subset"] == "test"],
        "Test, long-tailed": longtailed[longtailed["subset"] == "test"],
    }
    labels, groups = sorted(split["label"].unique()), groups_of(split["group"])
    grouped = has_groups(split)
    data = pd.DataFrame(
        [_counts(name, images, labels, groups, grouped) for name, images in subsets.items() if len(images)]
    )
    text = data.map(lambda cell: cell if isinstance(cell, str) else f"{cell:,}")
    whole = ["Images", "Groups"] if grouped else ["Images"]
    text.columns = ["Set", *whole, *map(label, groups), "Largest class", "Smallest class"]
    per_group = split.groupby("group")["label"].nunique().reindex(groups, fill_value=0)
    listed = ", ".join(f"{count} {label(group).lower()}" for group, count in per_group.items())
    caption = (
        f"Images of every subset; {len(labels)} classes ({listed}). "
        f"The test sets {', '.join(groups[:2])} and {groups[2]} are those parts of the long-tailed test set. "
        "One data split; every training seed uses the same."
    )
    if grouped:
        caption += " Images of one group, which includes duplicates, are not independent of each other."
    return Table(data, text, caption)


def _counts(
    name: str, images: pd.DataFrame, labels: Sequence[int], groups: Sequence[str], grouped: bool
) -> dict[str, str | int]:
    per_class = images["label"].value_counts().reindex(labels, fill_value=0)
    per_group = images["group"].value_counts().reindex(groups, fill_value=0)
    return {
        "set": name,
        "images": len(images),
        **({"clusters": images[CLUSTER].nunique()} if grouped else {}),
        **per_group.to_dict(),
        "largest_class": int(per_class.max()),
        "smallest_class": int(per_class.min()),
    }


TABLES = {"counts": counts_table}
