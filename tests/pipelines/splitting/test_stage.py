from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome
from pipelines.errors import DataError, GateError, SpecError
from pipelines.settings import Settings
from pipelines.splitting import stage
from pipelines.splitting.spec import SplitSpec
from pipelines.splitting.train_holdout import check_judges

Split = Callable[..., tuple[Outcome, pa.Table, pa.Table, dict[str, Any]]]


def table(count: int = 100) -> pa.Table:
    return pa.table(
        {
            "_key": [f"k{index}" for index in range(count)],
            "_time": pa.nulls(count, pa.timestamp("us", "UTC")),
            "_sealed": [index % 10 == 0 for index in range(count)],
            "_weight": [1.0] * count,
            "_y": ["lone" if index == 0 else "yes" if index % 3 else "no" for index in range(count)],
            "x": [float(index) for index in range(count)],
        }
    )


@pytest.fixture
def split(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night], publish_stage: Callable[..., Artifact]
) -> Split:
    def build(
        rows: pa.Table, model: dict[str, Any] | None = None, **spec: Any
    ) -> tuple[Outcome, pa.Table, pa.Table, dict[str, Any]]:
        staging = storage.stage_folder(home, "t")
        storage.write_table(rows, staging / "cleaned")
        cleaned = publish_stage("clean", staging, rows.num_rows)
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        out.mkdir()
        night = make_night(**(model or {}))
        outcome = stage.run(SplitSpec(**spec), night=night, settings=home, out=out, cleaned=cleaned)
        train, sealed = storage.read_table(out / "train"), storage.read_table(out / "sealed")
        return outcome, train, sealed, json.loads((out / "report.json").read_text())

    return build


def test_divides_and_folds(split: Split) -> None:
    outcome, train, sealed, report = split(table(), folds=3)
    assert train.column_names == [*table().column_names, "_fold"]
    assert train.schema.field("_fold").type == pa.int8()
    assert (outcome.rows, train.num_rows, sealed.num_rows) == (90, 90, 9)
    assert sealed.column_names == table().column_names
    assert train.drop_columns(["_fold"]).equals(table().filter(pc.invert(table()["_sealed"])))
    assert report["folds"] == {"0": 30, "1": 30, "2": 30}
    assert report["sealed_labels_never_trained"] == {"lone": 1}
    assert report["leaks"] == []


def test_sealed_rows_of_a_class_that_is_no_longer_trained_stay_where_there_are_many(split: Split) -> None:
    _, train, sealed, report = split(table(), {"task": "multiclass", "positive": None}, folds=3)
    assert (train.num_rows, sealed.num_rows, report["sealed"]) == (90, 10, 10)
    assert "lone" in sealed["_y"].to_pylist()
    assert report["sealed_labels_never_trained"] == {"lone": 1}


def test_a_key_on_both_sides_is_named(split: Split) -> None:
    rows = pa.concat_tables([table(), table().slice(29, 1).set_column(2, "_sealed", pa.array([True]))])
    with pytest.raises(GateError, match="both sides") as caught:
        split(rows)
    assert caught.value.where == "'k29'"
    assert caught.value.faults == ["key 'k29'"]


def test_sealed_rows_that_cannot_judge_stop_the_night_before_the_search(make_night: Callable[..., Night]) -> None:
    model = make_night().model
    with pytest.raises(DataError, match="sealed rows hold too few") as caught:
        check_judges(["no", "yes"], ["yes"], (90, 7), model)
    assert caught.value.seen == "7 sealed rows, labels 'yes'"
    with pytest.raises(DataError, match="training rows hold too few"):
        check_judges(["yes"], ["no", "yes"], (90, 10), model)
    check_judges(["no", "yes"], ["yes"], (90, 10), model.model_copy(update={"metric": "log_loss"}))
    with pytest.raises(DataError, match="too few sealed rows for a model without target"):
        check_judges([], [], (90, 2), make_night(task="clustering", target="").model)


def test_an_empty_side_is_a_data_error(split: Split) -> None:
    with pytest.raises(DataError, match="no sealed rows"):
        split(table().slice(1, 9))
    with pytest.raises(DataError, match="no training rows"):
        split(table().slice(0, 1))


def customers(count: int = 400) -> pa.Table:
    rows = table(count)
    return rows.append_column("customer", pa.array([f"c{index // 4}" if index else None for index in range(count)]))


def test_declared_groups_share_a_side_and_a_fold(split: Split) -> None:
    with pytest.raises(GateError, match="judged on them") as caught:
        split(customers(), group=("customer",))
    assert "customer = 'c2'" in caught.value.faults
    _, train, sealed, report = split(customers(), group=("customer",), group_policy="exclude")
    assert report["groups"]["both_sides"] == 39
    assert not set(train["customer"].to_pylist()) & set(sealed["customer"].to_pylist())
    assert sealed.num_rows == 39
    folds = train.group_by("customer").aggregate([("_fold", "count_distinct")])
    assert set(folds["_fold_count_distinct"].to_pylist()) == {1}


def test_an_entity_that_was_stamped_needs_no_column(split: Split) -> None:
    """Such a column may be one that the learner never sees; the seal was by it already."""
    rows = customers().drop_columns(["customer"])
    rows = rows.append_column("_group", pa.array([f"c{index // 4}" if index else None for index in range(400)]))
    rows = rows.set_column(2, "_sealed", pa.array([index // 4 in (3, 40, 77) for index in range(400)]))
    outcome, train, sealed, report = split(rows, group=("customer",))
    assert outcome.meta["sealed_by"] == ["customer"]
    assert (train.num_rows, sealed.num_rows, report["groups"]["both_sides"]) == (388, 12, 0)
    folds = train.filter(train["_group"].is_valid()).group_by("_group").aggregate([("_fold", "count_distinct")])
    assert set(folds["_fold_count_distinct"].to_pylist()) == {1}
    torn = rows.set_column(2, "_sealed", pa.array([index % 4 == 1 for index in range(400)]))
    torn = torn.set_column(torn.schema.get_field_index("_group"), "_group", pa.array(["a\x1f1"] * 400))
    with pytest.raises(GateError) as caught:
        split(torn, group=("customer", "shop"))
    assert caught.value.faults == ["customer, shop = 'a | 1'"]


def test_new_entities_judge(split: Split) -> None:
    rows = customers()
    fresh = rows.slice(0, 8).set_column(2, "_sealed", pa.array([True] * 8))
    fresh = fresh.set_column(0, "_key", pa.array([f"n{index}" for index in range(8)]))
    fresh = fresh.set_column(6, "customer", pa.array(["new"] * 8))
    _, train, sealed, report = split(pa.concat_tables([rows, fresh]), group=("customer",), group_policy="judge_new")
    assert train.num_rows == 360
    assert set(sealed["customer"].to_pylist()) <= {"new", None}
    assert report["groups"]["left_out"] == 39


@pytest.mark.parametrize(("policy", "side"), [("exclude", "training"), ("judge_new", "sealed")])
def test_a_policy_that_leaves_nothing_of_a_side_says_so(split: Split, policy: Any, side: str) -> None:
    rows = table(400).append_column("shop", pa.array([f"s{index % 5}" for index in range(400)]))
    rows = rows.set_column(2, "_sealed", pa.array([index % 7 == 0 for index in range(400)]))
    with pytest.raises(
        DataError, match=f"no {side} rows are left, because all are of entities on both sides"
    ) as caught:
        split(rows, group=("shop",), group_policy=policy)
    assert caught.value.seen == "5 of 5 entities on both sides"


def test_a_group_may_be_part_of_the_key(split: Split) -> None:
    rows = customers().set_column(0, "_key", pa.array([f"s{index // 4}\x1f{index}" for index in range(400)]))
    model = {"key": ("shop", "n")}
    _, train, sealed, _ = split(rows, model, group=("shop",), group_policy="exclude")
    shops = [{key.split("\x1f")[0] for key in side["_key"].to_pylist()} for side in (train, sealed)]
    assert not shops[0] & shops[1]
    with pytest.raises(SpecError, match="cannot group") as caught:
        split(rows, model, group=("shopp",))
    assert "'shopp'" in caught.value.seen


def test_dated_rows_are_split_in_blocks_with_an_embargo(split: Split) -> None:
    rows = table(400)
    moments = [86_400_000_000 * (20_000 + index // 10) for index in range(400)]
    rows = rows.set_column(1, "_time", pa.array(moments, pa.timestamp("us", "UTC")))
    rows = rows.set_column(2, "_sealed", pa.array([index >= 360 for index in range(400)]))
    outcome, train, _, report = split(rows, {"time": "x"}, folds=3, embargo_days=1)
    assert outcome.stats["how"] == "blocks of days"
    assert (train.num_rows, report["embargo"], report["early"]) == (300, 60, 130)
    assert train["_fold"].to_pylist() == sorted(train["_fold"].to_pylist())
