"""What a split is like, for people: asked and reached shares by class, and which groups of classes fit."""

from typing import Any

import pandas as pd

from longtail.data.lists.rows import SUBSETS
from longtail.data.split.division import Asked
from longtail.data.split.sets import CLUSTER, CUTS, LIMITS, frequency_groups, has_groups
from longtail.files.text import in_markdown, markdown_table

HEADINGS = {
    "class_name": "Class",
    "images": "Images",
    "groups": "Groups",
    **{"train": "Training", "val": "Validation", "test": "Test"},
}
FAR = 0.1
"""The share of a class from which on a set is told to be far from what was asked."""


def split_page(split: pd.DataFrame, asked: Asked) -> str:
    """The table of `natural_split` as Markdown: its shares, and the groups of classes that fit."""
    return "\n".join([*told_shares(split, asked), "", *told_groups(split), ""])


def asked_of(settings: dict[str, Any]) -> Asked:
    """What these arguments of `natural_split` ask of the shares."""
    names = ("test_fraction", "val_fraction", "min_test_per_class", "seed")
    return Asked(*(settings[name] for name in names))


def share_table(split: pd.DataFrame) -> pd.DataFrame:
    """One row per class, by falling number of images: class_name, images, groups, and images in train, val and test.

    Args:
        split: the table of `natural_split`. Its clusters are counted as groups.
    """
    counts = pd.crosstab(split["class_name"], split["subset"]).reindex(columns=list(SUBSETS), fill_value=0)
    groups = split.groupby("class_name")[CLUSTER].nunique()
    table = counts.assign(images=counts.sum(axis=1), groups=groups).reset_index()
    table = table.sort_values(["images", "class_name"], ascending=[False, True], ignore_index=True)
    return table[["class_name", "images", "groups", *SUBSETS]]


def told_shares(split: pd.DataFrame, asked: Asked) -> list[str]:
    """The table of shares as lines of Markdown, and which classes are far from what was asked, and why."""
    table = share_table(split)
    reached = table[list(SUBSETS)].div(table["images"], axis=0)
    wanted = pd.DataFrame(
        {
            "test": (table["images"] * asked.test_fraction + 0.5).astype(int).clip(lower=asked.min_test),
            "val": (table["images"] * asked.val_fraction + 0.5).astype(int).clip(lower=1),
        }
    ).div(table["images"], axis=0)
    far = ((reached[["test", "val"]] - wanted).abs() > FAR).any(axis=1) & (table["groups"] < table["images"])
    total = table[list(SUBSETS)].sum()
    shown = [name for name in HEADINGS if name != "groups" or has_groups(split)]
    lines = [
        "## Shares",
        "",
        f"Asked: {asked.shares} for training, validation and test, but at least {asked.min_test} test images of a "
        f"class. Reached: {_percent(total / total.sum())}.",
        "",
        *markdown_table(
            (*(HEADINGS[name] for name in shown), "Reached"),
            (
                (in_markdown(name), *map("{:,}".format, numbers), _percent(parts))
                for (name, *numbers), parts in zip(table[shown].to_numpy(), reached.to_numpy(), strict=True)
            ),
        ),
    ]
    if far.any():
        some = [in_markdown(name) for name in table.loc[far, "class_name"].head(5)]
        more = ", …" if far.sum() > len(some) else ""
        lines += [
            "",
            f"{far.sum()} of {len(table)} classes are more than {100 * FAR:.0f} points from what was asked "
            f"({', '.join(some)}{more}), since images of one group stay on one side of the split. Groups of fewer "
            "images, such as those of a night and a trap in place of a night, come nearer.",
        ]
    return lines


def _percent(parts: Any) -> str:
    return " / ".join(f"{100 * part:.0f}" for part in parts) + " %"


def told_groups(split: pd.DataFrame) -> list[str]:
    """The classes cut into three groups in both ways, and which way fits, as lines of Markdown."""
    counts = share_table(split)["train"].tolist()
    way, limits, reason = fitting_groups(counts)
    cuts = {"thirds": _grouped(counts, "thirds"), "counts": _grouped(counts, "counts")}
    setting = f"`data.groups: {way}`"
    if limits not in (None, LIMITS):
        cuts[f"counts, {list(limits)}"] = _grouped(counts, "counts", limits)
        setting += f" with `data.group_limits: {list(limits)}`"
    rows = []
    for cut, groups in cuts.items():
        for name, members in groups.items():
            ends = [f"{count:,}" for count in sorted({*members[:1], *members[-1:]}, reverse=True)]
            rows.append((f"{cut}: {name}", str(len(members)), " to ".join(ends) or "–"))
    lines = markdown_table(("Groups", "Classes", "Training images of a class"), rows)
    return ["## Groups of classes", "", *lines, "", f"Recommended: {setting}, since {reason}."]


def fitting_groups(counts: list[int]) -> tuple[str, tuple[int, int] | None, str]:
    """Which groups of classes fit: "thirds" or "counts", the limits for the latter, and the reason as a clause.

    The limits of the long-tail papers fit where each of their groups has a class. Else limits are proposed that divide
    the range of the counts, on a logarithmic scale, into three equal parts.

    Args:
        counts: training images of each class.
    """
    if all(_grouped(counts, "counts").values()):
        return "counts", LIMITS, "each of the groups of the long-tail papers has a class"
    many, few = LIMITS
    smallest, largest = max(1, min(counts)), max(counts)
    ratio = largest / smallest
    own = round(smallest * ratio ** (2 / 3)), round(smallest * ratio ** (1 / 3))
    head = _grouped(counts, "thirds")["head"]
    between = f"fewer than {few}" if min(counts) >= few else f"{few} to {many}"
    why = f"no class has {f'more than {many}' if largest <= many else between} training images"
    if ratio >= 3 and all(_grouped(counts, "counts", own).values()):
        if head and head[0] > 2 * head[-1]:
            why += f", thirds put a class of {head[-1]} training images beside one of {head[0]} into the head"
        return "counts", own, f"{why}, and these limits divide the counts evenly by their logarithms"
    return "thirds", None, f"{why}, and the classes differ too little for limits of their own"


def _grouped(counts: list[int], cut: str, limits: tuple[int, int] = LIMITS) -> dict[str, list[int]]:
    counts = sorted(counts, reverse=True)
    groups = frequency_groups(counts, cut, limits)
    return {
        name: [count for count, group in zip(counts, groups, strict=True) if group == name]
        for name in CUTS[cut]
    }
