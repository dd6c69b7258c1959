"""Recent rows, volume strata, allocations, whole keys: on Parquet, without the stage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import SpecError
from pipelines.sampling import key_groups as together
from pipelines.sampling import scratch, strata, stratum_thresholds, volume
from pipelines.sampling.allocation import allocate_equally, allocate_named
from pipelines.sampling.numbers import log_clocks, ordered, unordered
from pipelines.sampling.sample import Sampler
from pipelines.sampling.spec import SampleSpec
from pipelines.storage import dataset, write_table

Draw = Callable[..., tuple[pa.Table, list[dict[str, Any]]]]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    def build(table: pa.Table, together: bool = False, **spec: Any) -> tuple[pa.Table, list[dict[str, Any]]]:
        folder = tmp_path / f"t{len(list(tmp_path.iterdir()))}"
        write_table(table, folder)
        work = folder / "work"
        work.mkdir()
        time = "_time" if "_time" in table.column_names else None
        sample = Sampler(dataset(folder), SampleSpec(**spec), work, sealed=None, time=time, together=together).draw()
        return pa.Table.from_batches(sample.batches()), sample.strata()

    return build


def test_equal_and_named_allocations() -> None:
    assert allocate_equally([1000, 500, 3], 0.2) == [149, 149, 3]
    assert allocate_equally([10, 10], 0.01) == [1, 1]
    assert allocate_named([100, 10], ["a", "b"], {"b": 0.5, "a": 40}, 0.1, 20) == [18, 2]


def test_strata_get_equal_shares_and_their_weights_restore_the_whole(draw: Draw) -> None:
    count = 5_000
    label = np.where(np.arange(count) % 50 == 0, "rare", "common")
    table = pa.table({"label": label, "_key": [f"k{number}" for number in range(count)]})
    found, report = draw(table, fraction=0.1, by=("label",), allocation="equal")
    assert report == [{"stratum": "common", "rows": 4900, "kept": 400}, {"stratum": "rare", "rows": 100, "kept": 100}]
    assert np.sum(found["_weight"].to_numpy()) == pytest.approx(count)
    named = draw(table, fraction=0.1, by=("label",), allocation={"rare": 1.0, "common": 200})[1]
    assert [one["kept"] for one in named] == [200, 100]
    with pytest.raises(SpecError, match="name their columns"):
        SampleSpec(allocation="equal")


def test_recent_rows_are_preferred_and_their_fate_is_stable(draw: Draw) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    count = 20_000
    rng = np.random.default_rng(1)
    days = rng.integers(0, 200, count)
    value = rng.normal(10, 1, count) + days / 100
    table = pa.table(
        {
            "value": value,
            "_key": [f"k{number}" for number in range(count)],
            "_time": pa.array([start + timedelta(days=int(day)) for day in days], pa.timestamp("us", "UTC")),
        }
    )
    found, _ = draw(table, fraction=0.1, half_life_days=20)
    assert found.num_rows == 2_000
    age = np.array([200 - (moment - start).days for moment in found["_time"].to_pylist()])
    young, old = np.mean(age < 20), np.mean(age > 120)
    assert young > 0.35
    assert old < 0.06
    weights = found["_weight"].to_numpy()
    assert np.average(found["value"].to_numpy(), weights=weights) == pytest.approx(value.mean(), abs=0.15)
    assert weights.sum() == pytest.approx(count, rel=0.3)
    # a week on, with new rows: those known before keep their order
    new = pa.table(
        {
            "value": value[:700],
            "_key": [f"n{number}" for number in range(700)],
            "_time": pa.array(
                [start + timedelta(days=200 + number // 100) for number in range(700)], pa.timestamp("us", "UTC")
            ),
        }
    )
    later = set(draw(pa.concat_tables([table, new]), max_rows=2_000, half_life_days=20)[0]["_key"].to_pylist())
    before = set(found["_key"].to_pylist())
    assert {key for key in later if key.startswith("k")} < before
    assert len(before & later) > 1_500


def test_half_lives_give_the_stated_preference(draw: Draw) -> None:
    """Two ages one half-life apart: of a small sample, the younger rows are twice as many."""
    count = 40_000
    moments = [datetime(2026, 1, 1 + 10 * (number % 2), tzinfo=UTC) for number in range(count)]
    table = pa.table(
        {"_key": [f"k{number}" for number in range(count)], "_time": pa.array(moments, pa.timestamp("us", "UTC"))}
    )
    found, _ = draw(table, fraction=0.02, half_life_days=10)
    young = sum(moment.day == 11 for moment in found["_time"].to_pylist())
    assert 1.75 < young / (found.num_rows - young) < 2.3
    assert found["_weight"].to_numpy().sum() == pytest.approx(count, rel=0.08)


def test_rows_without_a_moment_are_kept_for_cleaning_to_judge(draw: Draw) -> None:
    moments = [None, *[datetime(2026, 1, 1, tzinfo=UTC)] * 99]
    table = pa.table(
        {"_key": [f"k{number}" for number in range(100)], "_time": pa.array(moments, pa.timestamp("us", "UTC"))}
    )
    found, _ = draw(table, fraction=0.1, half_life_days=10)
    assert found["_key"][0].as_py() == "k0"
    assert found["_weight"][0].as_py() == 1.0


@pytest.mark.parametrize("at_once", [4_000_000, 2_000])
def test_volume_strata_part_large_entities_from_small_ones(
    draw: Draw, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume, "ENTITIES", at_once)
    monkeypatch.setattr(scratch, "PART", 1_000)
    customers = ["whale"] * 3_000 + [f"mid{number % 30}" for number in range(3_000)]
    customers += [f"small{number}" for number in range(3_000)]
    order = np.random.default_rng(0).permutation(9_000)
    table = pa.table({"customer": [customers[index] for index in order], "_key": [f"k{index}" for index in order]})
    found, report = draw(table, fraction=0.1, by_volume=("customer",), volume_strata=3, allocation="equal")
    assert report == [
        {"stratum": "1 rows", "rows": 3000, "kept": 300},
        {"stratum": "100 rows", "rows": 3000, "kept": 300},
        {"stratum": "3000 rows", "rows": 3000, "kept": 300},
    ]
    assert found.num_rows == 900


def test_rows_of_a_declared_key_stay_together(draw: Draw) -> None:
    keys = [f"k{number // 7}" for number in range(7_000)]
    table = pa.table({"n": list(range(7_000)), "_key": keys})
    found, report = draw(table, together=True, fraction=0.3)
    times = {key: found["_key"].to_pylist().count(key) for key in set(found["_key"].to_pylist())}
    assert set(times.values()) == {7}
    assert abs(report[0]["kept"] - 2_100) <= 3
    assert found["_weight"].to_numpy().sum() == pytest.approx(7_000)
    one = pa.table({"n": [1, 2, 3], "_key": ["same"] * 3})
    assert draw(one, together=True, fraction=0.1)[0].num_rows == 3


def test_cutoffs_are_exact_whatever_the_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    numbers = np.concatenate(
        [
            rng.integers(0, 2**64, 3_000, np.uint64, endpoint=False),
            np.full(500, 7, np.uint64),
            np.arange(500, dtype=np.uint64) + np.uint64(2**63),
            np.full(3, 2**64 - 1, np.uint64),
        ]
    )
    codes = rng.integers(0, 4, len(numbers)).astype(np.uint32)
    sizes = np.bincount(codes)
    wanted = np.array([sizes[0], 1, sizes[2] - 1, sizes[3] // 2])
    for bits, candidates in ((20, 10**6), (3, 10), (8, 0)):
        monkeypatch.setattr(stratum_thresholds, "BITS", bits)
        monkeypatch.setattr(stratum_thresholds, "CANDIDATES", candidates)
        columns = scratch.Scratch(tmp_path / "n", "u8"), scratch.Scratch(tmp_path / "c", "u4")
        for column, values in zip(columns, (numbers, codes), strict=True):
            column.append(values)
            column.finish()
        cut = stratum_thresholds.find_cutoffs(*columns, sizes, wanted, together=False)
        inside = cut.included(numbers, codes)
        for code in range(4):
            mine = np.sort(numbers[codes == code])
            if wanted[code] == sizes[code]:
                assert inside[codes == code].all()
                continue
            value = mine[wanted[code]]
            assert cut.value[code] == value
            assert cut.ties[code] == wanted[code] - (mine < value).sum()
            got = inside[codes == code].sum()
            assert got == (mine < value).sum() + (cut.ties[code] if cut.ties[code] == (mine == value).sum() else 0)


def test_numbers_keep_the_order_of_floats_and_clocks_that_of_hashes() -> None:
    values = np.array([-np.inf, -1e300, -2.5, -1e-300, 0.0, 1e-300, 3.0, np.inf])
    assert (np.diff(ordered(values).astype(object)) > 0).all()
    np.testing.assert_array_equal(unordered(ordered(values)), values)
    clocks = log_clocks(np.array([0, 1 << 40, 1 << 63, 2**64 - 1], np.uint64))
    assert np.isfinite(clocks).all()
    assert (np.diff(clocks) > 0).all()


def test_too_many_strata_are_refused(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strata, "MAX_STRATA", 50)
    table = pa.table({"id": list(range(100)), "_key": [f"k{number}" for number in range(100)]})
    with pytest.raises(SpecError, match="too many strata"):
        draw(table, fraction=0.5, by=("id",))


def test_strata_by_lists_or_bytes_are_refused(draw: Draw) -> None:
    keys = [f"k{number}" for number in range(9)]
    for column in (pa.array([[1]] * 9), pa.array([b"\xff"] * 9)):
        with pytest.raises(SpecError, match="no single values") as caught:
            draw(pa.table({"_key": keys, "odd": column}), fraction=0.5, by=("odd",))
        assert "'odd'" in caught.value.seen


@pytest.mark.parametrize("at_once", [4_000_000, 700])
@pytest.mark.parametrize(
    "spec",
    [{"allocation": {"yes": 1.0}}, {"allocation": "equal"}, {"half_life_days": 5.0}, {"allocation": "proportional"}],
)
def test_a_key_is_in_with_all_its_rows_whatever_their_strata(
    draw: Draw, spec: dict[str, Any], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "AT_ONCE", at_once)
    monkeypatch.setattr(scratch, "PART", 3_000)
    count = 8_000
    rng = np.random.default_rng(3)
    before = np.where(rng.random(count) < 0.2, "yes", "no")
    after = np.where(rng.random(count) < 0.5, "no", before)  # half of the yes are taken back a few days later
    days = np.concatenate([rng.integers(0, 20, count), np.full(count, 22)])
    keys = [f"k{number}" for number in range(count)] * 2
    table = pa.table(
        {
            "_key": keys,
            "label": np.concatenate([before, after]),
            "_time": pa.array(days * 86_400_000_000, pa.timestamp("us", "UTC")),
        }
    ).take(rng.permutation(2 * count))
    found, report = draw(table, together=True, fraction=0.1, by=("label",), **spec)
    frame = found.to_pandas().sort_values("_time")
    sizes = frame.assign(w=frame["_weight"].round(6)).groupby("_key")["w"].agg(["size", "nunique"])
    assert (sizes["size"] == 2).all()
    assert sum(one["kept"] for one in report) == len(frame)
    newest = frame.drop_duplicates("_key", keep="last")
    assert newest["_weight"].sum() == pytest.approx(count, rel=0.06)
    yes = newest["_weight"][newest["label"] == "yes"].sum() / newest["_weight"].sum()
    assert yes == pytest.approx((after == "yes").mean(), abs=0.03)
    if spec != {"allocation": "proportional"}:
        assert (sizes["nunique"] == 1).all()
