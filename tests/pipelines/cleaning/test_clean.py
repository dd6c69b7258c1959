from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.cleaning.clean import clean
from pipelines.cleaning.learn import learn
from pipelines.cleaning.spec import CleanSpec
from pipelines.cleaning.target import read_target
from pipelines.errors import DataError, SpecError
from pipelines.inference.recipe.row_recipe import RowRecipe
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
PLAIN = ModelSpec(name="demo", task="binary", target="label", positive="yes")


def raw_table(
    columns: dict[str, list[Any]], times: list[str] | None = None, sealed: list[bool] | None = None
) -> pa.Table:
    count = len(next(iter(columns.values())))
    keys = columns.get("id") or [str(number) for number in range(count)]
    moments = pd.to_datetime(pd.Series(times)) if times else pd.Series([pd.NaT] * count)
    stamps = {
        "_key": pa.array([str(key) for key in keys], pa.string()),
        "_time": pa.array(moments, pa.timestamp("us", "UTC")),
        "_sealed": pa.array(sealed or [False] * count, pa.bool_()),
        "_weight": pa.array(np.ones(count)),
    }
    return pa.table({**{name: pa.array(cells) for name, cells in columns.items()}, **stamps})


def many(bad: dict[int, str] | None = None, count: int = 40) -> dict[str, list[Any]]:
    amounts = [(bad or {}).get(index, f" {index}.5") for index in range(count)]
    return {
        "id": [str(index) for index in range(count)],
        "amount (k/€)": amounts,
        "colour": ["red", " blue "] * (count // 2),
        "label": [" yes", "no "] * (count // 2),
    }


def test_every_row_has_one_outcome() -> None:
    columns = many({3: "oops", 7: "?"})
    columns["id"][5] = "4"
    columns["label"][9] = " ?"
    result = clean(raw_table(columns), MODEL, CleanSpec())
    report = result.report
    counts = [report[part] for part in ("in", "clean", "quarantined", "duplicates", "filtered", "unlabelled")]
    assert counts == [40, 37, 1, 1, 0, 1]
    assert result.table.column_names == ["_key", "_time", "_sealed", "_weight", "_y", "amount (k/€)", "colour"]
    assert result.quarantine["_reason"].to_pylist() == ["column 'amount (k/€)' cannot be read as a number: 'oops'"]
    assert result.quarantine["id"].to_pylist() == ["3"]
    assert set(result.table["_y"].to_pylist()) == {"yes", "no"}
    assert set(result.table["colour"].to_pylist()) == {"red", "blue"}
    assert report["labels"] == {"no": 18, "yes": 19} or report["labels"] == {"yes": 19, "no": 18}


def test_a_resent_row_with_its_label_replaces_the_one_without() -> None:
    columns = many()
    columns["id"][:4] = ["a", "a", "b", "b"]
    columns["label"][:4] = ["yes", "", "yes", "no"]
    columns["amount (k/€)"][:4] = ["1", "2", "3", "4"]
    times = ["2026-01-01", "2026-01-02", "2026-01-05", "2026-01-01", *["2026-01-03"] * 36]
    result = clean(raw_table(columns, times), MODEL, CleanSpec())
    kept = dict(zip(result.table["_key"].to_pylist(), result.table["amount (k/€)"].to_pylist(), strict=True))
    assert (kept["a"], kept["b"]) == (1.0, 3.0)
    assert result.report["duplicates"] == 2


def test_of_equal_times_the_last_row_stays() -> None:
    columns = many()
    columns["id"][:2] = ["a", "a"]
    result = clean(raw_table(columns), MODEL, CleanSpec())
    assert 1.5 in result.table["amount (k/€)"].to_pylist()
    assert 0.5 not in result.table["amount (k/€)"].to_pylist()


def test_without_key_exact_duplicates_are_counted_and_kept() -> None:
    columns = many()
    for cells in columns.values():
        cells[2] = cells[0]
    del columns["id"]
    result = clean(raw_table(columns), PLAIN, CleanSpec())
    assert (result.report["exact_duplicates"], result.report["duplicates"], result.table.num_rows) == (1, 0, 40)


def test_a_row_without_its_key_is_held_back() -> None:
    columns = many()
    columns["id"][4] = " "
    result = clean(raw_table(columns), MODEL, CleanSpec())
    assert result.quarantine["_reason"].to_pylist() == ["column 'id' is missing, but is part of the key"]


def test_several_bad_cells_are_all_named() -> None:
    columns = {**many({3: "oops"}), "when": ["2026-01-01"] * 40}
    columns["when"][3] = "soon"
    result = clean(raw_table(columns), MODEL, CleanSpec())
    assert result.quarantine["_reason"].to_pylist() == [
        "column 'amount (k/€)' cannot be read as a number: 'oops'; column 'when' cannot be read as a date: 'soon'"
    ]


def test_required_values_filter() -> None:
    columns = many({3: "", 4: "NA"})
    result = clean(raw_table(columns), MODEL, CleanSpec(require=("amount (k/€)",)))
    assert (result.report["filtered"], result.table.num_rows) == (2, 38)


def test_too_many_bad_rows_stop_the_night() -> None:
    table = raw_table(many(dict.fromkeys(range(10), "oops")))
    with pytest.raises(DataError, match="too many rows") as caught:
        clean(table, MODEL, CleanSpec(kinds={"amount (k/€)": "number"}))
    assert "10 × column 'amount (k/€)' cannot be read as a number" in caught.value.faults
    assert clean(table, MODEL, CleanSpec(kinds={"amount (k/€)": "number"}, max_quarantined=0.25)).table.num_rows == 30


@pytest.mark.parametrize(
    ("labels", "what"),
    [(["yes"] * 40, "one class"), (["a", "b"] * 20, "positive"), (["yes", "no", "maybe", "no"] * 10, "exactly two")],
)
def test_labels_that_do_not_fit_are_listed(labels: list[str], what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        clean(raw_table({**many(), "label": labels}), MODEL, CleanSpec())
    assert all(repr(label) in caught.value.seen for label in set(labels))


def test_no_rows_and_no_labels() -> None:
    with pytest.raises(DataError, match="no rows"):
        clean(raw_table(many()).slice(0, 0), MODEL, CleanSpec())
    with pytest.raises(DataError, match="no row is left"):
        clean(raw_table({**many(), "label": [""] * 40}), MODEL, CleanSpec())


def test_missing_columns_and_unknown_names_are_reported_together() -> None:
    columns = many()
    del columns["label"], columns["id"]
    with pytest.raises(DataError) as caught:
        clean(raw_table(columns), MODEL, CleanSpec())
    assert caught.value.faults == ["target column 'label' is missing", "key column 'id' is missing"]
    with pytest.raises(SpecError) as wrong:
        clean(raw_table(many()), MODEL, CleanSpec(kinds={"x": "number"}, require=("y",)))
    assert wrong.value.faults == ["clean.kinds: 'x'", "clean.require: 'y'"]


def test_reserved_names_are_refused() -> None:
    with pytest.raises(DataError, match="reserved"):
        clean(raw_table({**many(), "_y": ["1"] * 40}), MODEL, CleanSpec())


def test_regression_target() -> None:
    model = ModelSpec(name="demo", task="regression", target="y")
    columns = {"x": ["a", "b"] * 20, "y": ["1.5", "2", "bad", "", *["3"] * 36]}
    result = clean(raw_table(columns), model, CleanSpec())
    assert (result.report["quarantined"], result.report["unlabelled"]) == (1, 1)
    assert result.table["_y"].to_pylist()[:3] == [1.5, 2.0, 3.0]
    with pytest.raises(DataError, match="one value"):
        clean(raw_table({"x": ["a", "b"], "y": ["1", "1"]}), model, CleanSpec())


def test_typed_labels() -> None:
    recipe = RowRecipe(())
    truth = ModelSpec(name="demo", task="binary", target="y", positive="True")
    assert read_target(pa.chunked_array([[True, False, None]]), truth, recipe).y.tolist()[:2] == ["True", "false"]
    spelled = read_target(pa.chunked_array([["True ", "False", "?"]]), truth, recipe).y
    assert (spelled.tolist()[:2], int(spelled.isna().sum())) == (["True", "False"], 1)
    many_classes = ModelSpec(name="demo", task="multiclass", target="y")
    assert read_target(pa.chunked_array([[1.0, 2.0, None]]), many_classes, recipe).y.tolist()[:2] == ["1", "2"]
    assert read_target(pa.chunked_array([["None", "a"]]), many_classes, recipe).y.tolist() == ["None", "a"]


def test_learned_kinds() -> None:
    columns = {
        "whole": ["1", "2", "?", "None"],
        "word": ["None", "x", "y", "z"],
        "iso": ["2020-01-02", "2020-01-03", "", "-"],
        "us": ["1/2/2020", "1/31/2020", "1/2/2020", "1/2/2020"],
        "unclear": ["1/2/2020", "1/3/2020", "1/2/2020", "1/2/2020"],
        "flag": [True, False, None, True],
        "float": [1.0, 2.0, None, 3.0],
        "nested": [[1], [2], [3], [4]],
        "empty": ["", "", "?", ""],
        "label": ["yes", "no", "yes", "no"],
    }
    recipe, notes = learn(raw_table(columns), PLAIN, CleanSpec())
    kinds = {column.name: column.kind for column in recipe.columns}
    assert kinds == {
        "whole": "number",
        "word": "category",
        "iso": "date",
        "us": "date",
        "unclear": "category",
        "flag": "category",
        "float": "number",
        "nested": "dropped",
        "empty": "category",
        "label": "dropped",
    }
    assert {column.name: column.formats for column in recipe.columns}["us"] == ("%m/%d/%Y",)
    assert len(notes) == 2
    declared, _ = learn(raw_table(columns), PLAIN, CleanSpec(dates={"unclear": "%d/%m/%Y"}, missing=("x",)))
    assert {column.name: column.formats for column in declared.columns}["unclear"] == ("%d/%m/%Y",)
    assert "x" in declared.missing


def test_an_unclear_time_column_is_read_as_ingestion_read_it() -> None:
    columns = {"when": ["1/2/2020", "1/3/2020"], "label": ["yes", "no"]}
    model = ModelSpec(name="demo", task="binary", target="label", positive="yes", time="when")
    recipe, _ = learn(raw_table(columns, ["2020-02-01", "2020-03-01"]), model, CleanSpec())
    assert recipe.columns[0].formats == ("%d/%m/%Y",)


def test_a_time_column_that_cannot_be_read_is_a_data_error() -> None:
    columns = {"when": ["soon", "later"], "label": ["yes", "no"]}
    model = ModelSpec(name="demo", task="binary", target="label", positive="yes", time="when")
    with pytest.raises(DataError, match="dates of column 'when'"):
        learn(raw_table(columns), model, CleanSpec())


def test_the_recipe_is_learned_from_unsealed_rows_only() -> None:
    columns = {"x": ["1"] * 20 + ["word"] * 20, "label": ["yes", "no"] * 20}
    table = raw_table(columns, sealed=[False] * 20 + [True] * 20)
    with pytest.raises(DataError, match="too many rows"):
        clean(table, PLAIN, CleanSpec())


def test_examples_are_raw_unsealed_clean_rows_with_their_dirt() -> None:
    columns = many({3: "oops", 7: " ? "}, count=600)
    table = raw_table(columns, sealed=[index % 2 == 0 for index in range(600)])
    result = clean(table, MODEL, CleanSpec())
    assert result.examples.num_rows == 200
    assert result.examples.column_names == list(columns)
    assert " ? " in result.examples["amount (k/€)"].to_pylist()
    assert all(int(key) % 2 for key in result.examples["id"].to_pylist())
    assert "3" not in result.examples["id"].to_pylist()
