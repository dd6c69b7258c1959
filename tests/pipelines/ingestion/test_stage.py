"""The stage ``ingest``: stamps, the seal across nights, what is known when, errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.artifacts import Night, Outcome
from pipelines.errors import DataError, SpecError
from pipelines.holdout import seal_score
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.ingestion.stage import fingerprint, run
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.storage import read_table

Ingest = Callable[..., tuple[Outcome, pa.Table]]


@pytest.fixture
def ingest(home: Settings, tmp_path: Path) -> Ingest:
    def build(night: Night, record: bool = False, **spec: Any) -> tuple[Outcome, pa.Table]:
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        out.mkdir()
        outcome = run(IngestSpec(**spec), night=night, settings=home, out=out)
        if record:
            ledger = Ledger.open(home)
            ledger.open_night(night, "local")
            fence = ledger.begin_stage(night.model.name, night.night, "ingest")
            ledger.finish_stage(night.model.name, night.night, "ingest", fence, state="done", stats=outcome.stats)
        assert sorted(path.name for path in out.iterdir()) == ["raw", "report.json"]
        return outcome, read_table(out / "raw")

    return build


def write_rows(path: Path, rows: int, seed: int = 0) -> Path:
    lines = [f"k{seed}-{n},{n % 7},{'yes' if n % 3 else 'no'}" for n in range(rows)]
    path.write_text("id,x,label\n" + "\n".join(lines) + "\n")
    return path


def test_declared_keys_and_their_seal(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", 2_000)
    outcome, table = ingest(make_night(key=("id",)), source=str(path))
    assert table.schema.names == ["id", "x", "label", "_key", "_time", "_sealed"]
    assert table["_key"].to_pylist() == table["id"].to_pylist()
    assert table["_sealed"].to_pylist() == [seal_score("demo", key) < 0.1 for key in table["_key"].to_pylist()]
    assert outcome.rows == 2_000
    assert 120 < outcome.stats["sealed"] < 280


def test_several_key_columns_are_canonical(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,label\n1,x,yes\n 1.0 , x,no\n01,x,no\n")
    _, table = ingest(make_night(key=("a", "b")), source=str(tmp_path / "a.csv"))
    assert table["_key"].to_pylist() == ["1\x1fx", "1\x1fx", "01\x1fx"]


def test_without_a_key_equal_features_share_a_side_in_text_and_parquet(
    ingest: Ingest, make_night: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("n,t,label\n1,u,yes\n 1.0,u ,no\n2,u,no\n,,no\n")
    _, text = ingest(make_night(), source=str(tmp_path / "a.csv"))
    keys = text["_key"].to_pylist()
    assert keys[0] == keys[1] != keys[2]
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)
    pq.write_table(
        pa.table({"n": [1, 2, None], "t": ["u", "u", None], "label": ["a", "b", "c"]}), tmp_path / "b.parquet"
    )
    _, typed = ingest(make_night(night="other"), source=str(tmp_path / "b.parquet"))
    assert typed["_key"].to_pylist() == [keys[0], keys[2], keys[3]]


def test_the_share_sinks_to_the_row_limit_and_stays_there(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", 3_000)
    first, _ = ingest(make_night(key=("id",)), record=True, source=str(path), seal_max_rows=100)
    assert first.stats["sealed"] == 100
    write_rows(path, 900)
    later, table = ingest(make_night(night="n2", key=("id",)), source=str(path), seal_max_rows=100)
    assert later.stats["seal_threshold"] == first.stats["seal_threshold"]
    assert later.stats["sealed"] == sum(table["_sealed"].to_pylist()) < 60


def dated(path: Path, days: int, unlabelled: int = 2) -> str:
    lines = ["id,when,label"]
    for offset in range(days):
        day = date(2026, 1, 1) + timedelta(days=offset)
        label = "" if offset >= days - unlabelled else ("yes", "no")[offset % 2]
        lines += [f"{offset}-{n},{day.month}/{day.day}/{day.year},{label}" for n in range(10)]
    path.write_text("\n".join([*lines, "z,soon,yes", "y,,no"]) + "\n")
    return str(path)


def test_dated_models_seal_the_last_labelled_days(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    source = dated(tmp_path / "a.csv", 30)
    outcome, table = ingest(make_night(key=("id",), time="when"), source=source)
    assert outcome.stats["seal_start"] == "2026-01-26"  # 28 labelled days, three hold a tenth
    assert outcome.stats["untimed"] == 2
    sealed = [row["_time"].day for row in table.select(["_time", "_sealed"]).to_pylist() if row["_sealed"]]
    assert sorted(set(sealed)) == [26, 27, 28, 29, 30]


def test_the_window_never_moves_back_and_backfills_know_only_their_past(
    ingest: Ingest, make_night: Any, tmp_path: Path
) -> None:
    source = dated(tmp_path / "a.csv", 30)
    model = {"key": ("id",), "time": "when"}
    first, _ = ingest(make_night("n1", "2026-02-01", **model), record=True, source=source)
    later, _ = ingest(make_night("n2", "2026-02-02", **model), source=source, seal_share=0.4)
    assert later.stats["seal_start"] == first.stats["seal_start"]
    backfill, table = ingest(make_night("n3", "2026-01-11", **model), source=source)
    assert backfill.stats["seal_start"] == "2026-01-10"
    assert max(when for when in table["_time"].to_pylist() if when).date() == date(2026, 1, 11)
    assert backfill.stats["not_yet_known"] == 190


def test_files_dated_before_the_night_are_read(home: Settings, ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    for day in (1, 2, 3):
        write_rows(tmp_path / f"f-2026-01-0{day}.csv", 5, day)
    spec = {"source": Files(path=str(tmp_path / "f-*.csv"), file_date="f-%Y-%m-%d.csv")}
    night = make_night("n1", "2026-01-03T02:00:00", key=("id",))
    outcome, _ = ingest(night, **spec)
    assert (outcome.stats["files"], outcome.rows) == (2, 10)
    before = fingerprint(IngestSpec(**spec), night, home)
    (tmp_path / "f-2026-01-03.csv").write_text("changed")
    assert fingerprint(IngestSpec(**spec), night, home) == before
    (tmp_path / "f-2026-01-02.csv").write_text("changed")
    assert fingerprint(IngestSpec(**spec), night, home) != before
    with pytest.raises(DataError, match="dated before"):
        ingest(make_night("n2", "2026-01-01", key=("id",)), **spec)
    (tmp_path / "f-latest.csv").write_text("x")
    with pytest.raises(DataError, match="without a date") as error:
        ingest(night, **spec)
    assert error.value.faults == ["f-latest.csv"]


def test_missing_columns_are_all_named_with_the_nearest(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", 5)
    with pytest.raises(DataError, match="3 missing columns") as error:
        ingest(make_night(target="Labels", key=("idd",), drop=("zzzz",)), source=str(path))
    assert error.value.faults == [
        "target 'Labels': not in the source; nearest is 'label'",
        "key 'idd': not in the source; nearest is 'id'",
        "drop 'zzzz': not in the source",
    ]


def test_a_private_column_that_is_not_there_is_named(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", 5)
    with pytest.raises(DataError, match="missing column") as error:
        ingest(make_night(private={"labell": "hash", "id": "drop"}), source=str(path))
    assert error.value.faults == ["private 'labell': not in the source; nearest is 'label'"]


def test_unreadable_times_stop_the_night(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    source = dated(tmp_path / "a.csv", 10)
    with pytest.raises(DataError, match="time column cannot be read") as error:
        ingest(make_night(key=("id",), time="when"), source=source, time_formats=("%Y-%m-%d",))
    assert "%Y-%m-%d" in error.value.expected
    with pytest.raises(DataError, match="time column cannot be read"):
        ingest(make_night(key=("id",), time="label", target="when"), source=source)
    (tmp_path / "b.csv").write_text("id,when,label\n1,2027-01-01,yes\n")
    with pytest.raises(DataError, match="no row is known yet"):
        ingest(make_night(key=("id",), time="when"), source=str(tmp_path / "b.csv"))


def test_absent_and_unknown_sources(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no source file"):
        ingest(make_night(), source=str(tmp_path / "nothing-*.csv"))
    with pytest.raises(SpecError, match="of this kind"):
        ingest(make_night(), source="ftp://host/x.csv")
    with pytest.raises(SpecError, match="wrong setting"):
        Files(path="x", header=False)


def test_the_same_source_gives_the_same_bytes(ingest: Ingest, make_night: Any, tmp_path: Path) -> None:
    source = dated(tmp_path / "a.csv", 30)
    tables = [ingest(make_night(key=("id",), time="when"), source=source)[1] for _ in range(2)]
    assert tables[0].equals(tables[1])


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("source", "model", "rows", "sealed"),
    [
        ("telco_churn/*.csv.gz", {"target": "Churn", "key": ("customerID",)}, 7_043, 696),
        ("dry_bean/*.gz", {"target": "Class", "task": "multiclass"}, 13_611, 1_324),
        ("california_housing/*.gz", {"target": "median_house_value", "task": "regression"}, 20_640, 2_106),
        ("bike_sharing/*.gz", {"target": "cnt", "task": "regression", "time": "dteday"}, 17_379, 1_760),
    ],
)
def test_shared_data(
    ingest: Ingest, make_night: Any, shared_data: Path, source: str, model: dict[str, Any], rows: int, sealed: int
) -> None:
    outcome, _ = ingest(make_night(**model), source=str(shared_data / source))
    assert (outcome.rows, outcome.stats["untimed"]) == (rows, 0)
    assert abs(outcome.stats["sealed"] - 0.1 * rows) < 0.02 * rows
