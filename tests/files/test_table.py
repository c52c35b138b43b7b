"""Tables whose values are not as declared."""

import pandas as pd
import pytest

from longtail.files.table import Column, Table


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        ("whole", [1, None], "Int64"),
        ("number", [0.5, None], "Float64"),
        ("truth", [True, None], "boolean"),
        ("text", ["a", None], "string"),
    ],
)
def test_a_missing_value_of_pandas_own_types_is_refused_where_none_may_be_missing(kind, values, dtype):
    frame = pd.DataFrame({"x": pd.Series(values, dtype=dtype)})
    with pytest.raises(ValueError, match=r"a\.parquet has .+ in the column x, row 2; it takes"):
        Table({"x": Column(kind)}).checked(frame, "a.parquet")
    Table({"x": Column(kind, gaps=True)}).checked(frame, "a.parquet")
