"""What is judged of a column as a whole is judged of that very column."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipelines.storage import write_table
from pipelines.validation.table_checks import Whole


def test_names_that_differ_in_case_are_two_columns(tmp_path: Path) -> None:
    write_table(
        pa.table({"Age": [1.0, 2.0, 2.0], "age": [7.0, float("nan"), 9.0], 'a"b': ["x", "y", "y"]}), tmp_path / "t"
    )
    with Whole(tmp_path / "t", tmp_path / "spill", 1) as whole:
        kind = "expect_column_max_to_be_between"
        assert whole.metrics(kind, {"column": "Age"}) == {"column.max": 2.0}
        assert whole.metrics(kind, {"column": "age"}) == {"column.max": 9.0}
        assert whole.repeated(["Age"])[1] == 2
        assert whole.repeated(["age"])[1] == 0
        assert whole.repeated(['a"b', "Age"])[1:] == (2, [{'a"b': "y", "Age": 2.0}])
        assert sorted(whole.distinct("age")["age"]) == [7.0, 9.0]
