"""Numbers as they stand in the sentences and tables of the summary."""

import re
from collections.abc import Sequence

import pandas as pd

from longtail.report.labels import label
from longtail.report.pages import p_value
from longtail.report.typeset import pipe_table


def p_is(p: float) -> str:
    """p with its sign of relation, to stand after "p"."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def percent(share: float) -> str:
    """A fraction in percent; empty if it is missing."""
    # The mean of the classes' 81.75 may be a 81.7499… where the share of all images is not.
    return "" if pd.isna(share) else f"{round(100 * share, 9):.1f} %"


def interval(row: pd.Series) -> str:
    """A difference (columns difference, low, high; fractions) in percentage points, with its interval."""
    if pd.isna(row["difference"]):
        return "missing"
    found = points(row["difference"])
    return found if pd.isna(row["low"]) else f"{found} [{points(row['low'])}, {points(row['high'])}]"


def points(difference: float) -> str:
    """A difference (a fraction) in percentage points, with its sign."""
    return f"{100 * difference:+z.1f}"


def listed(names: Sequence[str]) -> str:
    """Names as they stand in a sentence: `a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def best_of(values: pd.Series, least: bool = False) -> str:
    """The printed names with the largest value, or the least; or that all are alike."""
    values = values.dropna().round(12)
    best = values[values == (values.min() if least else values.max())]
    if len(best) == len(values) > 1:
        return "all alike"
    return listed([label(str(name)) for name in best.index])


def spread(values: pd.Series) -> str:
    """Published values in percent: the one, or the least and the largest; empty if there is none."""
    if values.empty:
        return ""
    low, high = values.min(), values.max()
    return f"{low:.1f} %" if low == high else f"{low:.1f} to {high:.1f} % ({len(values)} sources)"


def column(values: pd.Series, factor: float, form: str) -> list[str]:
    """Printed numbers, empty where they are missing."""
    return ["" if pd.isna(value) else format(factor * value, form) for value in values]


def full_columns(text: pd.DataFrame) -> str:
    """Strings as a table in Markdown, without columns whose cells are all empty; those of numbers align right."""
    shown = text.loc[:, (text != "").any()]
    return pipe_table(shown, right=[place for place, name in enumerate(shown) if _numbers(shown[name])])


def _numbers(column: pd.Series) -> bool:
    """Whether all cells begin like a number, or are empty."""
    return all(re.match(r"[+−<-]?\s?\d", cell) for cell in column if cell)
