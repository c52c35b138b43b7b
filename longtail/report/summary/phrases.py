"""Numbers as they stand in the sentences and tables of the summary."""

import pandas as pd

from longtail.report.pages import p_value


def p_is(p: float) -> str:
    """p with its sign of relation, to stand after "p"."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def percent(share: float) -> str:
    """A fraction in percent; empty if it is missing."""
    return "" if pd.isna(share) else f"{100 * share:.1f} %"


def interval(row: pd.Series) -> str:
    """A difference (columns difference, low, high; fractions) in percentage points, with its interval."""
    if pd.isna(row["difference"]):
        return "missing"
    return f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def spread(values: pd.Series) -> str:
    """Published values in percent: the one, or the least and the largest; empty if there is none."""
    if values.empty:
        return ""
    low, high = values.min(), values.max()
    return f"{low:.1f} %" if low == high else f"{low:.1f} to {high:.1f} % ({len(values)} sources)"


def column(values: pd.Series, factor: float, form: str) -> list[str]:
    """Printed numbers, empty where they are missing."""
    return ["" if pd.isna(value) else format(factor * value, form) for value in values]
