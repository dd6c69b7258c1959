"""What gives the target away is named with its evidence; what does not is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.errors import GateError
from pipelines.splitting.columns import key_hashes, labels_of, numbers_of
from pipelines.splitting.leaks import find_leaks, judge_leaks
from pipelines.splitting.spec import SplitSpec
from pipelines.storage import dataset, write_table

ROWS = 2_000
Look = Callable[..., list[dict[str, Any]]]
RNG = np.random.default_rng(4)
SIGNAL = RNG.normal(size=ROWS)
LABEL = np.where(SIGNAL + RNG.normal(size=ROWS) > 0.8, "yes", "no")


@pytest.fixture
def look(tmp_path: Path, make_night: Any) -> Look:
    def build(
        columns: dict[str, Any], y: Any = LABEL, nulls: Any = None, model: dict[str, Any] | None = None, **spec: Any
    ) -> list[dict[str, Any]]:
        count = len(y)
        times = columns.pop("_time", pa.nulls(count, pa.timestamp("us", "UTC")))
        stamps = {
            "_key": pa.array([f"k{number}" for number in range(count)]),
            "_time": times,
            "_sealed": pa.array(np.arange(count) % 10 == 0),
            "_y": pa.array(y),
        }
        folder = tmp_path / f"t{len(list(tmp_path.iterdir()))}"
        write_table(pa.table({**stamps, **columns}), folder)
        table = dataset(folder)
        sealed = numbers_of(table, "_sealed", np.bool_)
        regression = np.asarray(y).dtype.kind == "f"
        target, labels = (numbers_of(table, "_y", np.float64), []) if regression else labels_of(table)
        task = "regression" if regression else "multiclass" if len(labels) > 2 else "binary"
        night = make_night(**{"task": task, **(model or {})})
        return find_leaks(
            table, SplitSpec(**spec), night, target, labels, ~sealed, sealed, key_hashes(table), nulls or {}
        )

    return build


def kinds(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(leak["column"], leak["kind"]) for leak in found]


def test_honest_columns_are_left_alone(look: Look) -> None:
    honest = {
        "signal": SIGNAL,
        "noise": RNG.normal(size=ROWS),
        "unique": [f"u{number}" for number in range(ROWS)],
        "number": np.arange(float(ROWS)),
        "constant": np.ones(ROWS),
        "empty": pa.nulls(ROWS, pa.float64()),
        "few": pa.array(RNG.choice(["a", "b", None], ROWS).tolist(), pa.string()),
        "strong": np.where(LABEL == "yes", 1.0, 0.0) + RNG.normal(scale=0.5, size=ROWS),
    }
    assert look(dict(honest)) == []
    assert look(dict(honest), y=SIGNAL * 3 + RNG.normal(scale=1.0, size=ROWS)) == []


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (LABEL, "copy"),
        (np.where(LABEL == "yes", "ja", "nein"), "copy"),
        (np.where(LABEL == "yes", 7.0, 3.0), "copy"),
        (np.where(RNG.random(ROWS) < 0.002, "yes", LABEL), "alone"),
        (np.where(LABEL == "yes", 5.0, RNG.normal(size=ROWS)), "alone"),
        (np.where(LABEL == "yes", SIGNAL, np.nan), "alone"),
        (np.where(LABEL == "yes", RNG.choice([-3.0, 3.0], ROWS), 0.0) + 0.1 * SIGNAL, "alone"),
        (np.where(LABEL == "yes", np.char.add("paid ", RNG.integers(0, 50, ROWS).astype(str)), "open"), "alone"),
    ],
)
def test_copies_and_near_copies_of_labels_are_named(look: Look, column: Any, kind: str) -> None:
    found = look({"honest": SIGNAL, "given": column})
    assert kinds(found) == [("given", kind)]
    assert found[0]["action"] == "refused"
    with pytest.raises(GateError, match="column 'given' gives the target away") as caught:
        judge_leaks(found, SplitSpec())
    assert "drop=('given',)" in caught.value.cure
    assert caught.value.faults[0].startswith("given: ")


def test_a_column_that_knows_one_of_many_classes_is_fine(look: Look) -> None:
    classes = RNG.choice(["a", "b", "c", "d"], ROWS)
    knows = np.where(classes == "a", 9.0, RNG.normal(size=ROWS))
    assert look({"one": knows}, y=classes) == []
    codes = np.searchsorted(["a", "b", "c", "d"], classes) + RNG.normal(scale=0.05, size=ROWS)
    assert kinds(look({"all": codes}, y=classes)) == [("all", "alone")]


@pytest.mark.parametrize(
    "make",
    [
        lambda y: y,
        lambda y: 1000 * y + 3,
        np.exp,
        lambda y: np.round(np.exp(y), 4),
        lambda y: np.exp(2 * y),
        lambda y: y + RNG.normal(scale=0.05, size=ROWS),
    ],
)
def test_copies_of_numbers_are_named(look: Look, make: Callable[[Any], Any]) -> None:
    y = SIGNAL * 3
    assert [leak["column"] for leak in look({"honest": SIGNAL + RNG.normal(size=ROWS), "given": make(y)}, y=y)] == [
        "given"
    ]


def test_parts_of_a_sum_are_named_together(look: Look) -> None:
    parts = RNG.gamma(2.0, size=(3, ROWS))
    columns = {"casual": parts[0], "registered": parts[1], "members": parts[2], "wind": SIGNAL}
    found = look(dict(columns), y=parts.sum(axis=0))
    assert kinds(found) == [("casual + registered + members", "sum")]
    with pytest.raises(GateError, match="columns give") as caught:
        judge_leaks(found, SplitSpec())
    assert caught.value.where == "casual, registered, members"
    allowed = look(dict(columns), y=parts.sum(axis=0), leaks_allowed=("casual", "registered", "members"))
    assert [leak["action"] for leak in allowed] == ["allowed"]


def test_what_is_empty_until_the_label_is_known_is_named(look: Look) -> None:
    def seen(labelled: float, unlabelled: float | None, rows: int = 500) -> dict[str, Any]:
        return {"labelled": labelled, "unlabelled": unlabelled, "labelled_rows": 9_000, "unlabelled_rows": rows}

    columns = dict.fromkeys(("repaid", "tail", "sparse", "filled", "fresh"), SIGNAL)
    nulls = {
        "repaid": seen(0.001, 0.9),
        "tail": seen(0.0, 0.3),
        "sparse": seen(0.4, 0.9),
        "filled": seen(0.0, 0.0),
        "fresh": seen(0.0, None, 0),
    }
    found = look(dict(columns), nulls=nulls)
    assert kinds(found) == [("repaid", "late")]
    assert "90.0% of 500 rows without label" in found[0]["evidence"]
    assert look(dict(columns), nulls={"repaid": seen(0.0, 1.0, 12)}) == []


def test_dates_after_the_rows_moment_are_named(look: Look) -> None:
    moment = pd.Timestamp("2025-06-01 10:00") + pd.to_timedelta(np.arange(ROWS), "h")
    columns = {
        "_time": pa.array(moment, pa.timestamp("us", "UTC")),
        "paid_at": pa.array(moment + pd.Timedelta("3D"), pa.timestamp("us")),
        "opened": pa.array(moment - pd.Timedelta("9D"), pa.timestamp("us")),
        "day": pa.array(moment.floor("D"), pa.timestamp("us")),
    }
    found = look(dict(columns), model={"time": "moment"})
    assert kinds(found) == [("paid_at", "future")]
    assert "100.0%" in found[0]["evidence"]
    day = {**columns, "_time": pa.array(moment.floor("D"), pa.timestamp("us", "UTC"))}
    same_day = {**day, "paid_at": pa.array(moment, pa.timestamp("us"))}
    assert look(same_day, model={"time": "moment"}) == []
    undated = {"paid_at": columns["paid_at"], "far": pa.array(moment + pd.Timedelta("9999D"), pa.timestamp("us"))}
    assert kinds(look(undated)) == [("far", "future")]


def test_undeclared_entities_are_warned_of(look: Look) -> None:
    found = look({"customer_id": np.arange(ROWS) // 8.0, "age": np.arange(ROWS) // 8.0})
    assert [(leak["column"], leak["action"]) for leak in found] == [("customer_id", "warned")]
    judge_leaks(found, SplitSpec())


def test_the_engineer_decides(look: Look) -> None:
    given = {"given": LABEL}
    assert [leak["action"] for leak in look(dict(given), leaks="warn")] == ["warned"]
    allowed = look(dict(given), leaks_allowed=("given",))
    assert [leak["action"] for leak in allowed] == ["allowed"]
    judge_leaks(allowed, SplitSpec())


def test_tiny_tables_prove_nothing(look: Look) -> None:
    y = np.array(["yes", "no"] * 9)
    assert look({"x": np.arange(18.0) % 2}, y=y) == []
