"""The findings about the files and classes of a collection, as a table and as a page."""

from collections.abc import Iterable
from dataclasses import astuple, replace
from typing import Any

import pandas as pd

from longtail.data.collection.listing import Finding
from longtail.data.split.natural import SplitError, natural_split
from longtail.data.split.sets import ID
from longtail.files.table import Column, Table

FINDINGS = Table(
    {**dict.fromkeys(("path", "kind", "found", "action"), Column("text")), "refused": Column("truth")},
    empty=True,
)
"""The table of what was found, one row each."""
COLUMNS = list(FINDINGS.columns)
INDEXED = Table(
    {
        "image_id": ID,
        "class_name": Column("text"),
        "subset": Column("text", among=("", "train", "val", "test")),
        "group": Column("text"),
        "twin": Column("whole", 0),
    },
    key=("image_id",),
)
"""The table of the images of a collection, as far as it is read again."""
_HEADINGS = ["File or class", "Kind", "Found", "What is done"]


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """The findings as rows with columns COLUMNS. In names, a mark replaces bytes that are not UTF-8."""
    rows = [
        [value.encode(errors="surrogateescape").decode(errors="replace") for value in astuple(finding)[:4]]
        + [finding.refused]
        for finding in sorted(findings)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"refused": bool})


def findings_of(table: pd.DataFrame) -> list[Finding]:
    """The findings in a table of `findings_table`."""
    return [Finding(*row) for row in table[COLUMNS].itertuples(index=False)]


def check(index: pd.DataFrame, findings: pd.DataFrame, strict: bool, **settings: Any) -> pd.DataFrame:
    """All findings about files, and those about classes that the split with these settings would make.

    Args:
        index: the table of the images that `longtail.data.collection.reading` makes.
        findings: what it found, as `findings_table` gives it.
        strict: whether to refuse every finding that can be refused.
        settings: the arguments of `natural_split` beside the index.
    """
    found = findings_of(findings)
    refuses_small = settings["small_classes"] == "error"
    if refuses_small:
        settings = {**settings, "small_classes": "train_only"}
    try:
        _, classes = natural_split(index, **settings)
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
    return findings_table(found)


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
            f"{first['found']}. `snakemake check_data` lists all of it; mend it, or set strict: false"
        )


def page(table: pd.DataFrame, images: int, classes: int) -> str:
    """The table of `check` as a Markdown page, with the number of findings of each kind."""
    lines = ["# Check of the collection", ""]
    lines += [f"{images:,} usable images of {classes:,} classes; {len(table):,} findings.", ""]
    if table.empty:
        return "\n".join(lines)
    counts = table.groupby(["kind", "action"], sort=True).size().sort_values(ascending=False, kind="stable")
    lines += _markdown(["Kind", "What is done", "How many"], [(*key, f"{n:,}") for key, n in counts.items()])
    lines += ["", *_markdown(_HEADINGS, table[COLUMNS[:4]].itertuples(index=False))]
    return "\n".join(lines) + "\n"


def _markdown(headings: list[str], rows: Iterable[Iterable[str]]) -> list[str]:
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]


def _cell(text: str) -> str:
    """One line that Markdown shows as it is."""
    text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return "".join(f"\\{sign}" if sign in r"\|`*_<[" else sign for sign in text)
