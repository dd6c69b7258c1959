"""Sealing by entity: declared in any form, across files and nights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DataError, SpecError
from pipelines.ingestion.holdout.groups import group_texts
from pipelines.ingestion.spec import IngestSpec
from pipelines.ingestion.stage import fingerprint
from pipelines.ledger import Ledger
from pipelines.settings import Settings

TakeIn = Callable[..., Any]


def record(home: Settings, night: Any, stats: dict[str, Any]) -> None:
    ledger = Ledger.open(home)
    ledger.open_night(night, "local")
    fence = ledger.begin_stage(night.model.name, night.night, "ingest")
    ledger.finish_stage(night.model.name, night.night, "ingest", fence, state="done", stats=stats)
    ledger.close()


def visits(path: Path, patients: int, each: int = 10, label: Callable[[int, int], str] | None = None) -> str:
    label = label or (lambda patient, visit: "yes" if (patient + visit) % 2 else "no")
    lines = [f"{p}-{v},S{p},{p * v % 17},{label(p, v)}" for p in range(patients) for v in range(each)]
    path.write_text("visit,subject,x,label\n" + "\n".join(lines) + "\n")
    return str(path)


def sides(table: pa.Table, column: str = "subject") -> tuple[set[Any], set[Any]]:
    rows = table.select([column, "_sealed"]).to_pylist()
    return {row[column] for row in rows if row["_sealed"]}, {row[column] for row in rows if not row["_sealed"]}


@pytest.mark.parametrize("model", [{"key": ("visit",)}, {"key": ("visit", "subject")}, {}, {"drop": ("subject",)}])
@pytest.mark.parametrize("patients", [3, 12, 100])
def test_whole_entities_are_sealed_and_both_sides_keep_most_rows(
    take_in: TakeIn, make_night: Any, tmp_path: Path, model: dict[str, Any], patients: int
) -> None:
    night = make_night(**model)
    found = take_in(night, source=visits(tmp_path / "v.csv", patients), seal_group=("subject",))
    sealed, trained = sides(found.raw)
    assert sealed
    assert trained
    assert not sealed & trained
    assert len(sealed) <= max(1, 0.2 * patients)
    assert found.raw["_group"].to_pylist() == found.raw["subject"].to_pylist()
    assert found.outcome.meta["seal_group"] == ["subject"]
    assert any("sealed by 'subject'" in notice for notice in found.report["notices"])
    again = take_in(night, source=str(tmp_path / "v.csv"), seal_group=("subject",))
    assert again.raw.equals(found.raw)


def test_an_entity_is_one_whether_it_comes_as_number_or_text(take_in: TakeIn, make_night: Any, tmp_path: Path) -> None:
    numbers = pa.table({"id": range(300), "who": pa.array([n % 30 for n in range(300)], pa.int64())})
    texts = pa.table({"id": range(300, 600), "who": [f" {n % 30}.0 " if n % 2 else str(n % 30) for n in range(300)]})
    floats = pa.table({"id": range(600, 900), "who": pa.array([n % 30 for n in range(300)], pa.float64())})
    for name, table in (("a", numbers), ("b", texts), ("c", floats)):
        labels = pa.array(["yes" if n % 3 else "no" for n in range(300)])
        pq.write_table(table.append_column("label", labels), tmp_path / f"{name}.parquet")
    found = take_in(make_night(key=("id",)), source=str(tmp_path / "*.parquet"), seal_group=("who",))
    sealed, trained = sides(found.raw, "_group")
    assert not sealed & trained
    assert sealed | trained == {str(n) for n in range(30)}


def test_entities_of_several_columns_and_rows_without_one() -> None:
    ward = pa.array(["a", "a", "b", None, None, ""])
    bed = pa.array([1, 2, 1, 1, None, None], pa.int64())
    assert group_texts([ward, bed]).to_pylist() == ["a\x1f1", "a\x1f2", "b\x1f1", "\x00\x1f1", None, None]
    assert group_texts([pa.array([1.0, float("nan"), None])]).to_pylist() == ["1", None, None]


def test_rows_without_an_entity_are_sealed_by_their_keys(take_in: TakeIn, make_night: Any, tmp_path: Path) -> None:
    lines = [f"{n},{'' if n % 2 else n % 40},{'yes' if n % 3 else 'no'}" for n in range(2_000)]
    (tmp_path / "a.csv").write_text("id,who,label\n" + "\n".join(lines) + "\n")
    found = take_in(make_night(key=("id",)), source=str(tmp_path / "a.csv"), seal_group=("who",))
    lone = [row["_sealed"] for row in found.raw.to_pylist() if row["_group"] is None]
    assert len(lone) == 1_000
    assert 60 < sum(lone) < 140


def test_a_huge_entity_is_left_to_training(take_in: TakeIn, make_night: Any, tmp_path: Path) -> None:
    lines = [f"{n},{'huge' if n < 700 else n},{'yes' if n % 3 else 'no'}" for n in range(1_000)]
    (tmp_path / "a.csv").write_text("id,who,label\n" + "\n".join(lines) + "\n")
    for name in ("demo", "other", "third"):  # another name is another salt
        found = take_in(make_night(name=name, key=("id",)), source=str(tmp_path / "a.csv"), seal_group=("who",))
        sealed, trained = sides(found.raw, "_group")
        assert "huge" in trained
        assert 50 <= len(sealed) <= 200


def test_the_days_of_a_dated_model_judge_whatever_the_entity(take_in: TakeIn, make_night: Any, tmp_path: Path) -> None:
    lines = [f"{n},S{n % 10},2026-01-{1 + n // 20:02},{'yes' if n % 3 else 'no'}" for n in range(400)]
    (tmp_path / "a.csv").write_text("id,who,when,label\n" + "\n".join(lines) + "\n")
    night = make_night(key=("id",), time="when")
    found = take_in(night, source=str(tmp_path / "a.csv"), seal_group=("who",))
    assert found.outcome.stats["seal_start"] == "2026-01-19"
    assert sides(found.raw, "who")[0] == sides(found.raw, "who")[1]
    assert found.raw["_group"].to_pylist() == found.raw["who"].to_pylist()
    assert "seal_group" not in found.outcome.meta


def test_a_later_night_keeps_what_trained_on_its_side(
    home: Settings, take_in: TakeIn, make_night: Any, tmp_path: Path
) -> None:
    source = visits(tmp_path / "v.csv", 8)
    first = take_in(make_night("n1", key=("visit",)), source=source, seal_group=("subject",))
    record(home, make_night("n1", key=("visit",)), first.outcome.stats)
    for night, patients in (("n2", 9), ("n3", 60), ("n4", 300)):
        visits(tmp_path / "v.csv", patients)
        later = take_in(make_night(night, key=("visit",)), source=source, seal_group=("subject",))
        record(home, make_night(night, key=("visit",)), later.outcome.stats)
        assert not sides(later.raw)[0] & sides(first.raw)[1]
        assert sides(later.raw)[0]
        first = later


def test_a_home_that_sealed_by_key_begins_anew_and_says_so(
    home: Settings, take_in: TakeIn, make_night: Any, tmp_path: Path
) -> None:
    source = visits(tmp_path / "v.csv", 50)
    before = take_in(make_night("n1", key=("visit",)), source=source)
    record(home, make_night("n1", key=("visit",)), before.outcome.stats)
    spec = {"source": source, "seal_group": ("subject",)}
    told = "by something else before"
    assert not any(told in notice for notice in before.report["notices"])
    for night, tells in (("n2", True), ("n3", False)):
        found = take_in(make_night(night, key=("visit",)), **spec)
        assert any(told in notice for notice in found.report["notices"]) is tells
        record(home, make_night(night, key=("visit",)), found.outcome.stats)
    back = take_in(make_night("n4", key=("visit",)), source=source)
    assert not any(told in notice for notice in back.report["notices"]), "nights by key are known"
    assert back.outcome.stats["seal_threshold"] == before.outcome.stats["seal_threshold"]


def test_what_a_result_depends_on_holds_the_entity_and_what_was_sealed(
    home: Settings, make_night: Any, tmp_path: Path
) -> None:
    spec = IngestSpec(source=visits(tmp_path / "v.csv", 20), seal_group=("subject",))
    night = make_night("n2", key=("visit",))
    seen = [fingerprint(spec, night, home)]
    stats = {"seal_threshold": 0.5, "seal_group": ["subject"], "seal_passed": [0.2], "seal_extra": [0.7]}
    record(home, make_night("n0", key=("visit",)), {**stats, "seal_group": ["ward"]})
    assert fingerprint(spec, night, home) == seen[0], "another entity sets no bounds"
    record(home, make_night("n1", key=("visit",)), stats)
    found = json.loads(fingerprint(spec, night, home))
    assert (found["seal_threshold"], found["seal_passed"], found["seal_extra"]) == (0.5, [0.2], [0.7])


@pytest.mark.fault
def test_columns_that_are_not_there_are_named(take_in: TakeIn, make_night: Any, tmp_path: Path) -> None:
    source = visits(tmp_path / "v.csv", 5)
    with pytest.raises(SpecError, match="cannot be grouped") as caught:
        take_in(make_night(), source=source, seal_group=("Subjct", "label"))
    assert caught.value.where == "SplitSpec.group"
    assert "nearest is 'subject'" in caught.value.faults[0]
    assert "is the target" in caught.value.faults[1]


@pytest.mark.fault
def test_a_single_entity_cannot_judge(take_in: TakeIn, make_night: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no entity can be sealed") as caught:
        take_in(make_night(), source=visits(tmp_path / "v.csv", 1, each=50), seal_group=("subject",))
    assert caught.value.where == "SplitSpec.group: 'subject'"
    assert "1 entities" in caught.value.seen


def test_a_rare_class_of_a_first_night_is_sealed(take_in: TakeIn, make_night: Any, tmp_path: Path) -> None:
    names = [f"SKU-{n:02}" for n in range(40)]
    lines = [f"{n},{names[n % 40]}" for n in range(480)]
    (tmp_path / "a.csv").write_text("id,label\n" + "\n".join(lines) + "\n")
    night = make_night(key=("id",), task="multiclass", positive=None)
    found = take_in(night, source=str(tmp_path / "a.csv"))
    rows = found.raw.select(["label", "_sealed"]).to_pylist()
    assert {row["label"] for row in rows if row["_sealed"]} == {*names}
    assert {row["label"] for row in rows if not row["_sealed"]} == {*names}
    assert found.outcome.stats["seal_extra"]
