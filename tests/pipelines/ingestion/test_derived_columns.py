"""Derived columns: computed as they are read, used as target, time and key, refused together when they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DataError, SpecError
from pipelines.holdout import canonical_key
from pipelines.ingestion import derived_columns
from pipelines.ingestion.files.read import connect, load
from pipelines.ingestion.spec import Derived, Files

ROWS = "n,y,m,d,delay,who\n1,2026,1,5,20,a\n2,2026,1,6,?,b\n3,2026,2,30,3,\n"


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "a.csv").write_text(ROWS)
    return str(tmp_path / "a.csv")


def test_target_time_and_key_may_be_derived(take_in: Any, make_night: Any, source: str) -> None:
    found = take_in(
        make_night(target="late", positive="true", time="day", key=("who_when",)),
        source=source,
        derived=(
            Derived(name="late", expression="delay >= 15", serve="never"),
            Derived(name="day", expression="moment(y, m, d)"),
            Derived(name="who_when", expression="concat(who, '-', n)"),
            Derived(name="late_twice", expression="1 if late else 0", serve="never"),
            Derived(name="one", expression="1"),
        ),
    )
    assert found.rows("late", "late_twice", "one") == [(True, 1.0, 1.0), (None, None, 1.0), (False, 0.0, 1.0)]
    assert [when and when.isoformat() for when in found.raw["_time"].to_pylist()] == [
        "2026-01-05T00:00:00+00:00",
        "2026-01-06T00:00:00+00:00",
        None,
    ]
    assert found.raw["_key"].to_pylist()[:2] == ["a-1", "b-2"]
    assert found.enrichment.hidden == ("late", "late_twice")
    assert found.report["derived"]["late"] == "delay >= 15"


def test_faults_of_all_expressions_are_told_at_once(take_in: Any, make_night: Any, source: str) -> None:
    with pytest.raises(SpecError, match="cannot be computed") as spec:
        take_in(
            make_night(),
            source=source,
            derived=(Derived(name="a", expression="import os"), Derived(name="b", expression="n +")),
        )
    assert [fault.split(":")[0] for fault in spec.value.faults] == ["a", "b"]
    with pytest.raises(DataError, match="missing") as data:
        take_in(
            make_night(),
            source=source,
            derived=(Derived(name="a", expression="delays > 1"), Derived(name="b", expression="a and whom == 'x'")),
        )
    assert data.value.faults == [
        "derived 'a': 'delays' is not there; nearest is 'delay'",
        "derived 'b': 'whom' is not there; nearest is 'who'",
    ]


def test_keys_have_the_text_that_serving_looks_up(tmp_path: Path) -> None:
    cells = [
        "1",
        " 1.0",
        "1e0",
        "007",
        "-0",
        "+5",
        " a b ",
        "é",
        "x y",
        "0",
        ".50",
        "1_0",
        "TRUE",
        "12345678901234567890",
    ]
    (tmp_path / "a.csv").write_text("k,one\n" + "\n".join(f'"{cell}",7' for cell in cells) + "\n,7\n")
    connection = connect(tmp_path / "work")
    try:
        source = load(connection, [tmp_path / "a.csv"], Files(path="x"))
        found = connection.execute(f"SELECT {derived_columns.key(source, ['k', 'one'])} FROM source").fetchall()
    finally:
        connection.close()
    assert [key for (key,) in found] == [*(canonical_key([cell, 7]) for cell in cells), None]
