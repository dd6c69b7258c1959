from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cleaning import duplicates
from pipelines.cleaning.clean import clean, clean_parts
from pipelines.cleaning.parts import FolderParts, TableParts
from pipelines.cleaning.spec import CleanSpec
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
PLAIN = ModelSpec(name="demo", task="binary", target="label", positive="yes")


def stamped(frame: pd.DataFrame) -> pa.Table:
    stamps = {
        "_key": pa.array(frame["id"].astype("str"), pa.string()),
        "_time": pa.array(frame.get("when", pd.Series([pd.NaT] * len(frame))), pa.timestamp("us", "UTC")),
        "_sealed": pa.array(np.zeros(len(frame), dtype=bool)),
        "_weight": pa.array(np.ones(len(frame))),
    }
    return pa.table({**{name: pa.array(frame[name], from_pandas=True) for name in frame if name != "when"}, **stamps})


ROWS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(["yes", "no", None]),
        st.sampled_from([None, "2026-01-01", "2026-01-02"]),
        st.sampled_from(["1", "2", None, "bad"]),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=30)
@given(ROWS)
def test_the_row_that_stands_is_the_labelled_then_latest_then_last(rows: list[tuple[object, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["id", "label", "when", "x"])
    frame["when"] = pd.to_datetime(frame["when"])
    # rows of which something is left, and both labels, whatever was drawn
    sure = pd.DataFrame({"id": [98, 99] + [90] * 30, "label": ["yes", "no"] * 16, "x": ["7"] * 32, "when": pd.NaT})
    frame = pd.concat([frame, sure], ignore_index=True)
    spec = CleanSpec(kinds={"x": "number"}, max_quarantined=1.0)
    result = clean(stamped(frame), MODEL, spec)
    usable = frame.assign(row=frame.index, known=frame["label"].notna())[frame["x"] != "bad"]
    usable["when"] = usable["when"].fillna(pd.Timestamp("1700-01-01"))
    winners = usable.sort_values(["known", "when", "row"]).drop_duplicates("id", keep="last")
    assert result.report["duplicates"] == len(usable) - len(winners)
    assert result.report["quarantined"] == int((frame["x"] == "bad").sum())
    labelled = winners[winners["known"]].sort_values("row")
    assert result.table["_key"].to_pylist() == labelled["id"].astype("str").tolist()
    numbers = [None if pd.isna(value) else float(value) for value in labelled["x"]]
    assert result.table["x"].to_pylist() == numbers


def test_what_was_filled_counts_for_required_values_and_filters() -> None:
    frame = pd.DataFrame(
        {"id": [1, 1, 2, 2, 3], "a": [5.0, None, -5.0, None, None], "label": ["yes", "yes", "no", "no", "no"]}
    )
    frame = pd.concat([frame, pd.DataFrame({"id": [4], "a": [1.0], "label": ["no"]})], ignore_index=True)
    spec = CleanSpec(merge="fill", require=("a",), filters=("a > 0",))
    result = clean(stamped(frame), MODEL, spec)
    assert result.table.select(["_key", "a"]).to_pylist() == [{"_key": "1", "a": 5.0}, {"_key": "4", "a": 1.0}]
    assert (result.report["filtered"], result.report["duplicates"]) == (2, 2)
    assert result.report["filtered_by"] == {"column 'a' is required and missing": 1, "filter 'a > 0' is false": 1}


def test_older_rows_fill_the_gaps_of_the_newest() -> None:
    frame = pd.DataFrame(
        {
            "id": [1, 1, 1, 2, 2, 3, 4],
            "when": pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-02", "2026-01-01", None, None]),
            "a": ["1", None, None, None, "5", "6", "7"],
            "b": ["x", "y", None, "z", "w", None, "v"],
            "day": ["2026-05-01", None, "2026-05-03", None, "2026-05-05", None, "2026-05-07"],
            "label": ["yes", "no", "no", "yes", "yes", "no", "yes"],
        }
    )
    result = clean(stamped(frame), MODEL, CleanSpec(merge="fill", kinds={"a": "number"}))
    assert result.table["_key"].to_pylist() == ["1", "2", "3", "4"]
    assert result.table["a"].to_pylist() == [1.0, 5.0, 6.0, 7.0]
    assert result.table["b"].to_pylist() == ["y", "z", None, "v"]
    assert [str(day)[:10] for day in result.table["day"].to_pylist()] == [
        "2026-05-03",
        "2026-05-05",
        "None",
        "2026-05-07",
    ]
    assert (result.report["duplicates"], result.report["filled"]) == (3, 4)
    newest = clean(stamped(frame), MODEL, CleanSpec(kinds={"a": "number"}))
    assert newest.table["a"].to_pylist() == [None, None, 6.0, 7.0]


def test_equal_rows_are_counted_or_dropped_but_for_one() -> None:
    frame = pd.DataFrame(
        {"id": [1, 2, 1, 1, 3], "x": [1.0, None, 1.0, 1.5, None], "label": ["yes", "no", "yes", "no", "no"]}
    )
    counted = clean(stamped(frame), PLAIN, CleanSpec())
    assert (counted.report["exact_duplicates"], counted.report["duplicates"], counted.table.num_rows) == (1, 0, 5)
    dropped = clean(stamped(frame), PLAIN, CleanSpec(exact_duplicates="drop"))
    assert (dropped.report["exact_duplicates"], dropped.report["duplicates"]) == (1, 1)
    assert dropped.table["_key"].to_pylist() == ["1", "2", "1", "3"]


def test_hashes_that_occur_twice() -> None:
    assert duplicates.repeated(np.array([5, 1, 5, 2, 2], np.uint64)).tolist() == [True, False, True, True, True]
    assert not duplicates.repeated(np.empty(0, np.uint64)).any()
    wide = pa.table({f"c{index}": [1, 2, 1] for index in range(450)})
    with duckdb.connect() as connection:
        first, second, third = duplicates.row_hash(connection, wide).tolist()
    assert first == third != second


def test_results_do_not_depend_on_partitions(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    count = 400
    frame = pd.DataFrame(
        {
            "id": draw.integers(0, 300, count),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(draw.integers(0, 20, count), unit="D"),
            "x": draw.choice(["1", " 2.5", "?", "x", "4000"], count, p=[0.4, 0.3, 0.2, 0.01, 0.09]),
            "c": draw.choice(["Red", "red.", "BLUE", None], count),
            "day": draw.choice(["01/02/2026", "13/02/2026", "?"], count),
            "label": draw.choice(["yes", "no", None], count),
        }
    )
    table = stamped(frame)
    spec = CleanSpec.model_validate(
        {
            "repair": {"*": ("case", "dots")},
            "outliers": {"x": {"by": "quantiles", "quantiles": (0.0, 0.9)}},
            "rules": {"r": "x < 3000"},
            "merge": "fill",
        }
    )
    whole = clean(table, MODEL, spec.model_copy(update={"max_quarantined": 0.5}))
    for size in (37, 100):
        folder = tmp_path / str(size)
        folder.mkdir()
        pq.write_table(table, folder / "part-00000.parquet", row_group_size=size, write_page_checksum=True)
        for parts in (FolderParts(folder, size), TableParts(table, size)):
            kept: dict[int, tuple[pa.Table, pa.Table]] = {}
            work = folder / f"work{type(parts).__name__}"
            work.mkdir()
            outcome = clean_parts(
                parts,
                MODEL,
                spec.model_copy(update={"max_quarantined": 0.5}),
                lambda index, clean_rows, held, kept=kept: kept.__setitem__(index, (clean_rows, held)),
                work,
            )
            assert pa.concat_tables([kept[index][0] for index in sorted(kept)]).equals(whole.table)
            assert pa.concat_tables([kept[index][1] for index in sorted(kept)]).equals(whole.quarantine)
            assert outcome.recipe == whole.recipe
            assert outcome.examples.equals(whole.examples)
            assert outcome.report == whole.report
