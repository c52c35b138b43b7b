"""What the tables of this project hold: declared once for each, and checked wherever one is read.

A checksum says that a file is as somebody wrote it, and not that its values make sense.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from longtail.files.sealed_json import REMEDY
from longtail.files.text import printable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

KINDS = {"text": "text", "whole": "whole numbers", "number": "numbers", "truth": "true and false"}
Kind = Literal["text", "whole", "number", "truth"]


@dataclass(frozen=True)
class Column:
    """The values that a column takes.

    Attributes:
        least, most: the limits of numbers.
        among: the texts that there are; empty, any.
        like: the pattern of the texts; empty, any.
        gaps: whether a value may be missing.
        finite: whether numbers have to be finite.
        optional: whether a table may lack the column.
    """

    kind: Kind
    least: float = -math.inf
    most: float = math.inf
    among: tuple[str, ...] = ()
    like: str = ""
    gaps: bool = False
    finite: bool = True
    optional: bool = False

    def __str__(self) -> str:
        limits = [f"from {self.least:g}"] * (self.least > -math.inf) + [f"to {self.most:g}"] * (
            self.most < math.inf
        )
        named = ", ".join(repr(text) for text in self.among)
        limits += [f"like {self.like}"] * bool(self.like)
        return " ".join([KINDS[self.kind], *limits]) + (f" among {named}" if named else "")

    def odd(self, values: "pd.Series") -> "np.ndarray":
        """Whether each value is none that the column takes: bool, as many as there are values."""
        import numpy as np
        from pandas import StringDtype
        from pandas.api.types import is_bool_dtype, is_integer_dtype, is_numeric_dtype

        if self.kind == "text":
            if isinstance(values.dtype, StringDtype):  # holds nothing else, except gaps
                odd = values.isna().to_numpy()
            else:
                odd = np.fromiter((not isinstance(value, str) for value in values), bool, len(values))
            if self.among:
                return odd | ~values.isin(self.among).to_numpy()
            if self.like:
                odd = odd | ~values.astype(str).str.match(self.like).to_numpy(bool, na_value=False)
            return odd
        truth = is_bool_dtype(values)
        fits = truth if self.kind == "truth" else is_numeric_dtype(values)
        if self.kind == "whole" and not self.gaps:
            fits = is_integer_dtype(values)
        if not fits or truth != (self.kind == "truth"):
            return np.ones(len(values), bool)
        if self.kind == "truth":
            return values.isna().to_numpy()
        # A missing number, which is NA in pandas' own types (Int64, Float64), becomes NaN.
        numbers = values.to_numpy(float, na_value=np.nan)
        odd = ~np.isfinite(numbers) if self.finite else np.isnan(numbers)
        odd |= (numbers < self.least) | (numbers > self.most)
        return odd | (numbers % 1 != 0) if self.kind == "whole" else odd


@dataclass(frozen=True)
class Table:
    """The columns of a table, and what holds between its rows.

    Attributes:
        columns: by name; a table may have others besides.
        key: columns whose values together name a row, so that no two rows share them.
        one: for a column, the column each of whose values has one value of it: a label has one name.
        empty: whether it may have no row.
        remedy: what to do about a table that is not like this.
    """

    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    one: Mapping[str, str] = field(default_factory=dict)
    empty: bool = False
    remedy: str = REMEDY

    def read(self, path: str | Path, needed: Sequence[str] | None = None) -> "pd.DataFrame":
        """The table in a parquet or a csv file, after its values were checked.

        Args:
            needed: the columns that it must have; by default, all that are not optional.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, of another program, or not as declared; names file, column, value and remedy.
        """
        from longtail.files.csv import read_csv
        from longtail.files.parquet import read_parquet

        return self.checked(
            read_csv(path) if Path(path).suffix == ".csv" else read_parquet(path), path, needed
        )

    def checked(
        self, frame: "pd.DataFrame", path: str | Path, needed: Sequence[str] | None = None
    ) -> "pd.DataFrame":
        """The frame, which was read from `path`, after its values were checked as `read` does it.

        Raises:
            ValueError: it is not as declared.
        """
        if needed is None:
            needed = [name for name, column in self.columns.items() if not column.optional]
        if fault := self._fault(frame, needed):
            raise ValueError(f"{path} {fault}. {self.remedy}")
        return frame

    def _fault(self, frame: "pd.DataFrame", needed: Sequence[str]) -> str:
        """What is wrong with a frame; empty if nothing is."""
        if absent := [name for name in needed if name not in frame]:
            found = ", ".join(map(str, frame.columns))
            return f"lacks the columns {', '.join(absent)}; it has {found}"
        if not self.empty and not len(frame):
            return "holds no row"
        for name in (name for name in self.columns if name in frame):
            column, values = self.columns[name], frame[name]
            values = values.dropna() if column.gaps and values.hasnans else values
            odd = column.odd(values)
            if odd.any():
                row = values.index[odd.argmax()]
                return f"has {_shown(values[row])} in the column {name}, row {row + 1}; it takes {column}"
        if self.key and set(self.key) <= set(frame):
            twice = frame.duplicated(list(self.key))
            if twice.any():
                return f"has two rows of {_named(frame[list(self.key)][twice].iloc[0])}"
        for name, by in self.one.items():
            if {name, by} <= set(frame):
                pairs = frame[[by, name]].drop_duplicates()
                twice = pairs.duplicated(by)
                if twice.any():
                    return f"has more than one {name} of {_named(pairs[[by]][twice].iloc[0])}"
        return ""


def _shown(value: Any) -> str:
    text = printable(repr(getattr(value, "tolist", lambda: value)()))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _named(values: "pd.Series") -> str:
    return printable(", ".join(f"{name} {value}" for name, value in values.items()))
