"""The findings about the files and classes of a collection, as a table and as a page."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, replace
from typing import Any

import pandas as pd

from longtail.data.collection.listing import Finding, readable
from longtail.data.split.frozen import FROZEN, FROZEN_BY
from longtail.data.split.natural import SplitError, natural_split
from longtail.data.split.sets import ID
from longtail.files.table import Column, Table
from longtail.files.text import markdown_table, printable

TEXT = Column("text")
FINDINGS = Table(
    {**dict.fromkeys(("path", "kind", "found", "action"), TEXT), "refused": Column("truth"), "other": TEXT},
    empty=True,
)
"""The table of what was found, one row each."""
COLUMNS = list(FINDINGS.columns)
INDEXED = Table(
    {
        "image_id": ID,
        "path": TEXT,
        "class_name": TEXT,
        "subset": Column("text", among=("", "train", "val", "test")),
        "group": TEXT,
        "twin": Column("whole", 0),
    },
    key=("image_id",),
)
"""The table of the images of a collection, as far as it is read again."""
IMPORTANCE = ("to mend first", "to look at", "for information")
"""What findings are to a reader. The first make numbers wrong or stop the workflow; by the second, something is left
out, replaced or like another; the third are kept as they are."""
MOST_PAIRS = 60
"""The pairs of images that are shown on a page."""
_WRONG = ("label conflict", "divided group", "divided picture", "split")
_CHANGED = ("near duplicate", "exact duplicate", "clipped region")
_SHOWN = 15
"""The largest classes and the smallest that are shown on the screen."""
_FEW = 20
"""The findings of a kind that are for information which the page shows."""
_HEADINGS = ["File or class", "Kind", "Found", "What is done"]


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """The findings as rows with columns COLUMNS. In names, a mark replaces bytes that are not UTF-8."""
    rows = [
        [readable(value) if isinstance(value, str) else value for value in astuple(finding)]
        for finding in sorted(findings)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"refused": bool})


def findings_of(table: pd.DataFrame) -> list[Finding]:
    """The findings in a table of `findings_table`."""
    return [Finding(*row) for row in table[COLUMNS].itertuples(index=False)]


def check(
    index: pd.DataFrame, findings: pd.DataFrame, strict: bool, **settings: Any
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """All findings about files, and those about classes that the split with these settings would make.

    Args:
        index: the table of the images that `longtail.data.collection.reading` makes.
        findings: what it found, as `findings_table` gives it.
        strict: whether to refuse every finding that can be refused.
        settings: the arguments of `natural_split` beside the index.

    Returns:
        The findings, the important ones first, and the split; None where there can be none.
    """
    found = findings_of(findings)
    refuses_small = settings["small_classes"] == "error"
    if refuses_small:
        settings = {**settings, "small_classes": "train_only"}
    split = None
    try:
        split, classes = natural_split(index, **settings)
    except ValueError as error:
        classes = error.findings if isinstance(error, SplitError) else []
        found.append(Finding("", "split", str(error), "refused"))
    for finding in classes:
        refused = refuses_small and finding.kind == "small class"
        found.append(replace(finding, action="refused, as small_classes is error") if refused else finding)
    if strict:
        found = [
            replace(finding, action=f"refused, as strict is set; else: {finding.action}")
            if finding.refused and not finding.action.startswith("refused")
            else finding
            for finding in found
        ]
    table = findings_table(found)
    return table.loc[importance(table).sort_values(kind="stable").index].reset_index(drop=True), split


def require_none(findings: pd.DataFrame) -> None:
    """Refuse a collection about which something was found that `strict` refuses.

    Raises:
        ValueError: there is such a finding. The message counts them by kind.
    """
    refused = findings[findings["refused"]]
    if len(refused):
        kinds = ", ".join(f"{count} x {kind}" for kind, count in refused["kind"].value_counts().items())
        first = refused.iloc[0]
        raise ValueError(
            f"data.image_folder.strict refuses this collection: {kinds}; such as {first['path']!r}, which "
            f"{first['found']}. `longtail check` lists all of it; mend it, or set strict: false"
        )


def importance(table: pd.DataFrame) -> pd.Series:
    """How much each finding matters, as a position in IMPORTANCE."""
    wrong = table["kind"].isin(_WRONG) | table["action"].str.startswith("refused")
    changed = table["refused"] | table["kind"].isin(_CHANGED)
    return pd.Series(2, index=table.index).mask(changed, 1).mask(wrong, 0)


def screen(table: pd.DataFrame, index: pd.DataFrame, split: pd.DataFrame | None) -> str:
    """What a person has to know first: classes, what is left out, what to mend, and whether the workflow goes on.

    Args:
        table, split: as `check` returns them.
        index: the table of the images.
    """
    classes = class_sizes(index, split)
    shown = classes if len(classes) <= 2 * _SHOWN else pd.concat([classes.head(_SHOWN), classes.tail(_SHOWN)])
    ranks = importance(table)
    counts = ", ".join(f"{(ranks == rank).sum():,} {name}" for rank, name in enumerate(IMPORTANCE))
    usable = classes["images"].sum()
    about = f"{usable:,} usable images of {len(classes):,} classes. {len(table):,} findings: {counts}."
    lines = [about, "", *_columns(shown)]
    if len(shown) < len(classes):
        lines.insert(len(lines) - _SHOWN, f"  … {len(classes) - len(shown):,} classes between them")
    left_out = table.loc[table["action"].str.contains("left out|not followed"), "kind"].value_counts()
    told = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items())
    lines += ["", f"Left out: {told or 'nothing'}.", *_since_frozen(table[table["kind"] == FROZEN])]
    for rank, name in enumerate(IMPORTANCE[:2]):
        own = table[ranks == rank]
        for kind, rows in own.groupby("kind", sort=False):
            first = rows.iloc[0]
            what = f"{first['path']}: {first['found']}" if first["path"] else first["found"]
            lines.append(f"{name.capitalize()}: {len(rows):,} x {kind}, such as {printable(what)[:200]}")
    return "\n".join([*lines, "", verdict(table)])


def _since_frozen(rows: pd.DataFrame) -> list[str]:
    """What has changed since the split was frozen: a line for each kind of change."""
    whole = rows["path"] == FROZEN_BY
    lines = [
        f"Since the frozen split: {printable(row.found)[:200]}; {row.action}"
        for row in rows[whole].itertuples()
    ]
    if len(moved := rows[~whole]):
        what = f"{moved.iloc[0]['path']}: {moved.iloc[0]['found']}"
        lines.append(f"Since the frozen split: relabelled: {len(moved):,}, such as {printable(what)[:200]}")
    return lines


def verdict(table: pd.DataFrame) -> str:
    """Whether the workflow goes on with these findings, as a sentence."""
    kinds = table.loc[table["action"].str.startswith("refused"), "kind"].unique()
    refusal = f"The workflow refuses this collection ({', '.join(kinds)})."
    return refusal if len(kinds) else "The workflow takes it."


def class_sizes(index: pd.DataFrame, split: pd.DataFrame | None) -> pd.DataFrame:
    """The classes from the largest on: images, groups where there are any, and the images of each set of the split.

    Where there is a split, they are its classes, after all that `data.classes` and `small_classes` make of the index's.
    """
    if split is not None:
        names = split.set_index("image_id")["class_name"]
        index = index[index["image_id"].isin(names.index)]
        index = index.assign(class_name=index["image_id"].map(names))
    table = index.groupby("class_name").agg(images=("image_id", "size"))
    if (index["group"] != "").any():
        own = index["group"].mask(index["group"] == "", index["image_id"].astype(str))
        table["groups"] = own.groupby(index["class_name"]).nunique()
    if split is not None:
        sets = index.merge(split[["image_id", "subset"]], on="image_id", suffixes=("_given", ""))
        counts = pd.crosstab(sets["class_name"], sets["subset"]).reindex(
            columns=["train", "val", "test"], fill_value=0
        )
        table = table.join(counts)
    return table.sort_values("images", ascending=False, kind="stable").rename_axis("class").reset_index()


def _columns(table: pd.DataFrame) -> list[str]:
    """A table as lines of equal columns for a terminal."""
    cells = [
        [*table.columns],
        *([printable(str(cell)) for cell in row] for row in table.itertuples(index=False)),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in cells
    ]


def page(
    table: pd.DataFrame,
    images: int,
    classes: int,
    counts: pd.DataFrame | None = None,
    pictures: Mapping[str, str] | None = None,
) -> str:
    """The table of `check` as a Markdown page, the important findings first.

    Args:
        counts: the classes, as `class_sizes` gives them; None where something else on the page tells their sizes.
        pictures: Markdown that shows an image, by its path. Images that are like others are shown beside them.
    """
    told = f"{images:,} usable images of {classes:,} classes; {len(table):,} findings."
    lines = ["# Check of the collection", "", told, "", verdict(table), ""]
    if counts is not None:
        lines += [*_markdown([*counts.columns], counts.astype(str).to_numpy()), ""]
    if table.empty:
        return "\n".join(lines)
    ranks = importance(table)
    numbers = table.assign(rank=ranks).groupby(["rank", "kind", "action"]).size().reset_index(name="count")
    numbers = numbers.sort_values(["rank", "count"], ascending=[True, False], kind="stable")
    rows = [
        (IMPORTANCE[rank], kind, action, f"{n:,}")
        for rank, kind, action, n in numbers.itertuples(index=False)
    ]
    lines += _markdown(["Importance", "Kind", "What is done", "How many"], rows)
    pairs = alike(table)
    if pictures and len(pairs):
        lines += ["", "## Alike", ""]
        cells = (
            [pictures.get(row.path, ""), row.path, pictures.get(row.other, ""), row.other, row.kind]
            for row in pairs.itertuples()
        )
        shown = ([one, _cell(own), two, _cell(other), kind] for one, own, two, other, kind in cells)
        lines += markdown_table(["", "This", "", "is like", "Kind"], shown)
    for rank, name in enumerate(IMPORTANCE):
        own = table[ranks == rank]
        if own.empty:
            continue
        # A page shows only a few findings of each kind that is for information.
        few = own.groupby("kind", sort=False).head(_FEW) if rank == len(IMPORTANCE) - 1 else own
        lines += ["", f"## {name.capitalize()}", ""]
        lines += _markdown(_HEADINGS, few[COLUMNS[:4]].itertuples(index=False))
        if len(few) < len(own):
            lines += ["", f"{len(own) - len(few):,} more of these kinds are in check.csv."]
    return "\n".join(lines) + "\n"


def alike(table: pd.DataFrame) -> pd.DataFrame:
    """The findings that an image is like another one, as many as a page shows: near duplicates and conflicts first."""
    pairs = table[table["other"] != ""]
    order = pairs["kind"].map({"label conflict": 0, "near duplicate": 1}).fillna(2)
    return pairs.loc[order.sort_values(kind="stable").index].head(MOST_PAIRS)


def _markdown(headings: list[str], rows: Iterable[Iterable[str]]) -> list[str]:
    return markdown_table(headings, (map(_cell, row) for row in rows))


def _cell(text: str) -> str:
    """One line that Markdown shows as it is."""
    text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return "".join(f"\\{sign}" if sign in r"\|`*_<[" else sign for sign in text)
