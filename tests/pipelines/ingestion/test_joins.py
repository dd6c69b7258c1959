"""Joined tables: which row is found, what is refused, what is counted, and in which order rows come out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DataError, SpecError
from pipelines.ingestion.spec import Derived, Join

ORDERS = "id,customer,when,label\n1,7,2026-01-05 10:00,yes\n2, 8.0 ,2026-01-06 09:00,no\n3,07,2026-01-07,yes\n4,,,no\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], str]:
    def build(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return build


def test_one_number_written_in_three_ways_is_one_key(take_in: Any, make_night: Any, write: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer": [7.0, 8.0, None], "town": ["Bern", "Lyon", "Rome"]}), tmp_path / "c.parquet")
    found = take_in(
        make_night(key=("id",)),
        source=write("orders.csv", ORDERS),
        joins=(Join(name="customers", source=str(tmp_path / "c.parquet"), on=["customer"]),),
    )
    assert found.rows("id", "town") == [("1", "Bern"), ("2", "Lyon"), ("3", None), ("4", None)]
    join = found.report["joins"][0]
    assert (join["name"], join["how"], join["rows"], join["matched"], join["unmatched"]) == (
        "customers",
        "left",
        3,
        2,
        2,
    )


def test_several_keys_and_renamed_columns(take_in: Any, make_night: Any, write: Any) -> None:
    source = write("a.csv", "x,y,label\n1,a,yes\n1,b,no\n2,a,yes\n")
    other = write("b.csv", "u,w,label,extra\n1,a,p,10\n2.0,a,q,20\n")
    found = take_in(
        make_night(),
        source=source,
        joins=(Join(name="b", source=other, on={"x": "u", "y": "w"}, columns={"label": "kind"}),),
    )
    assert found.rows("x", "y", "kind") == [("1", "a", "p"), ("1", "b", None), ("2", "a", "q")]
    assert found.raw.schema.names == ["x", "y", "label", "kind", "_key", "_time", "_sealed"]


def test_a_joined_column_can_be_the_next_key(take_in: Any, make_night: Any, write: Any) -> None:
    found = take_in(
        make_night(),
        source=write("a.csv", "plane,label\nN1,yes\nN2,no\n"),
        joins=(
            Join(name="planes", source=write("p.csv", "plane,maker\nN1,5\nN2,6\n"), on=["plane"]),
            Join(name="makers", source=write("m.csv", "maker,land\n5,FR\n6,US\n"), on=["maker"]),
        ),
    )
    assert found.rows("plane", "maker", "land") == [("N1", "5", "FR"), ("N2", "6", "US")]


def test_a_join_that_multiplies_rows_is_refused_unless_declared(take_in: Any, make_night: Any, write: Any) -> None:
    source, other = write("a.csv", "k,label\n1,yes\n2,no\n3,no\n"), write("b.csv", "k,v\n1,a\n1.0,b\n2,c\n 1,d\n")
    with pytest.raises(DataError, match="multiply") as error:
        take_in(make_night(), source=source, joins=(Join(name="b", source=other, on=["k"]),))
    assert "1 key(s) on 3 rows" in error.value.seen
    assert "k = '1'" in error.value.seen
    assert "many=True" in error.value.cure
    found = take_in(
        make_night(), source=source, joins=(Join(name="b", source=other, on=["k"], many=True, serve="caller"),)
    )
    assert found.rows("k", "v") == [("1", "a"), ("1", "b"), ("1", "d"), ("2", "c"), ("3", None)]


def test_clashing_columns_are_all_named_with_the_cure(take_in: Any, make_night: Any, write: Any) -> None:
    with pytest.raises(SpecError, match="one name") as error:
        take_in(
            make_night(),
            source=write("a.csv", "k,name,label\n1,x,yes\n"),
            joins=(
                Join(name="b", source=write("b.csv", "k,Name,v\n1,y,2\n"), on=["k"]),
                Join(name="c", source=write("c.csv", "k,v\n1,y\n"), on=["k"]),
            ),
        )
    assert len(error.value.faults) == 2
    assert "the main table" in error.value.faults[0]
    assert "'v' is in b and in c" in error.value.faults[1]
    assert "columns={'v': 'c_v'" in error.value.faults[1]


def test_missing_keys_and_columns_are_all_named(take_in: Any, make_night: Any, write: Any) -> None:
    with pytest.raises(DataError, match="columns of joins") as error:
        take_in(
            make_night(),
            source=write("a.csv", "k,label\n1,yes\n"),
            joins=(Join(name="b", source=write("b.csv", "key,v\n1,y\n"), on={"kk": "keys"}, columns=["vv"]),),
        )
    assert error.value.faults == [
        "join b: key 'kk' is not in the main table; nearest is 'k'",
        "join b: key 'keys' is not in it; nearest is 'key'",
        "join b: column 'vv' is not in it; nearest is 'v'",
    ]


WEATHER = "place,at,temp\nA,2026-01-05 08:00,1\nA,2026-01-05 12:00,2\nA,2026-01-06 08:00,3\nB,2026-01-05 09:00,9\n"


def as_of(source: str, **options: Any) -> Join:
    return Join(name="weather", source=source, on=["place"], time="at", columns=["temp"], **options)


def test_the_latest_row_that_is_not_later_is_taken(take_in: Any, make_night: Any, write: Any) -> None:
    rows = "id,place,when,label\n1,A,2026-01-05 11:59,yes\n2,A,2026-01-05 12:00,no\n3,A,2026-01-05 07:59,no\n"
    rows += "4,A,2026-01-07 00:00,no\n5,B,2026-01-05 10:00,yes\n6,C,2026-01-05 10:00,no\n7,A,,yes\n"
    night = make_night(key=("id",), time="when")
    found = take_in(night, source=write("a.csv", rows), joins=(as_of(write("w.csv", WEATHER)),))
    assert [temp for (temp,) in found.rows("temp")] == ["1", "2", None, "3", "9", None, None]
    aged = take_in(night, source=write("a.csv", rows), joins=(as_of(write("w.csv", WEATHER), max_age_hours=6),))
    assert [temp for (temp,) in aged.rows("temp")] == ["1", "2", None, None, "9", None, None]
    assert aged.report["joins"][0] | {"matched": 3, "unmatched": 4, "how": "as-of"} == aged.report["joins"][0]


def test_rows_later_than_the_night_are_not_known(take_in: Any, make_night: Any, write: Any) -> None:
    rows = "id,place,when,label\n1,A,2026-01-05 13:00,yes\n2,A,2026-01-05 09:00,no\n"
    night = make_night("n", "2026-01-05T10:00:00", key=("id",))
    found = take_in(night, source=write("a.csv", rows), joins=(as_of(write("w.csv", WEATHER), at="when"),))
    assert found.rows("id", "temp") == [("1", "1"), ("2", "1")]
    lookup = found.enrichment.lookups[0]
    assert lookup.table.to_pylist() == [{"_key": "A", "temp": "1"}, {"_key": "B", "temp": "9"}]
    assert (lookup.kind, lookup.as_of) == ("as_of", "2026-01-05T10:00:00+00:00")
    aged = take_in(
        make_night("n", "2026-01-05T10:30:00", key=("id",)),
        source=write("a.csv", rows),
        joins=(as_of(write("w.csv", WEATHER), at="when", max_age_hours=2),),
    )
    assert aged.enrichment.lookups[0].table["_key"].to_pylist() == ["B"]


def test_of_rows_of_one_moment_the_last_counts_and_is_told(take_in: Any, make_night: Any, write: Any) -> None:
    found = take_in(
        make_night(key=("id",), time="when"),
        source=write("a.csv", "id,place,when,label\n1,A,2026-01-05 13:00,yes\n2,A,2026-01-09 13:00,no\n"),
        joins=(as_of(write("w.csv", "place,at,temp\nA,2026-01-05 08:00,old\nA,2026-01-05 08:00,new\n")),),
    )
    assert found.rows("temp") == [("new",), ("new",)]
    assert any("same key and moment" in notice for notice in found.report["notices"])


def test_an_as_of_join_needs_moments(take_in: Any, make_night: Any, write: Any) -> None:
    source, weather = write("a.csv", "id,place,when,label\n1,A,2026-01-05,yes\n"), write("w.csv", WEATHER)
    with pytest.raises(SpecError, match="no moment"):
        take_in(make_night(), source=source, joins=(as_of(weather),))
    with pytest.raises(SpecError, match="gives no moment"):
        take_in(make_night(), source=source, joins=(as_of(weather, at="id + 1"),))
    with pytest.raises(DataError, match="missing"):
        take_in(make_night(), source=source, joins=(as_of(weather, at="moment(year, 1, 1)"),))
    with pytest.raises(DataError, match="cannot be read"):
        take_in(make_night(), source=source, joins=(as_of(weather, at="label"),))


def test_rows_keep_the_order_of_the_main_table(take_in: Any, make_night: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 60_000
    start = np.datetime64("2026-01-01", "us")
    main = pd.DataFrame(
        {
            "id": rng.permutation(rows),
            "place": rng.integers(0, 50, rows).astype(str),
            "when": start + rng.integers(0, 40 * 86_400, rows).astype("timedelta64[s]"),
            "label": rng.choice(["yes", "no"], rows),
        }
    )
    other = pd.DataFrame(
        {
            "place": rng.integers(0, 60, 5_000),
            "at": start + rng.integers(0, 40 * 86_400, 5_000).astype("timedelta64[s]"),
            "temp": rng.random(5_000),
        }
    ).drop_duplicates(["place", "at"])
    main.to_parquet(tmp_path / "a.parquet")
    other.to_parquet(tmp_path / "w.parquet")
    night = make_night(key=("id",), time="when")
    found = take_in(
        night, source=str(tmp_path / "a.parquet"), joins=(as_of(str(tmp_path / "w.parquet"), max_age_hours=12),)
    )
    assert found.raw["id"].to_pylist() == main["id"].tolist()
    right = other.assign(place=other["place"].astype(str)).sort_values("at")
    wanted = (
        pd.merge_asof(
            main.sort_values("when"), right, left_on="when", right_on="at", by="place", tolerance=pd.Timedelta(hours=12)
        )
        .set_index("id")["temp"]
        .loc[main["id"]]
    )
    given = found.raw["temp"].to_pandas()
    assert given.isna().sum() == wanted.isna().sum() > 0
    assert np.array_equal(given.to_numpy(), wanted.to_numpy(), equal_nan=True)
    again = take_in(
        night, source=str(tmp_path / "a.parquet"), joins=(as_of(str(tmp_path / "w.parquet"), max_age_hours=12),)
    )
    assert again.raw.equals(found.raw)


def test_what_serving_adds_is_what_training_saw(take_in: Any, make_night: Any, write: Any) -> None:
    found = take_in(
        make_night(key=("id",)),
        source=write("orders.csv", ORDERS),
        derived=(
            Derived(name="late", expression="label == 'yes'", serve="never"),
            Derived(name="weekday", expression="weekday(when)"),
            Derived(name="size", expression="price * 2"),
        ),
        joins=(
            Join(name="customers", source=write("c.csv", "customer,town\n7,Bern\n8,Lyon\n"), on=["customer"]),
            Join(name="prices", source=write("p.csv", "id,price\n1,5\n2,6\n3,7\n"), on=["id"], serve="caller"),
        ),
    )
    plan = found.enrichment
    assert plan.hidden == ("late",)
    assert plan.requested(["town", "weekday", "size", "label"]) == ["customer", "when", "price", "label"]
    raw = found.raw.drop_columns(["_key", "_time", "_sealed"]).to_pandas()
    served = plan.apply(raw[["id", "customer", "when", "price"]])
    for column in ("town", "weekday", "size"):
        assert (
            served[column].astype(object).where(served[column].notna(), None).tolist()
            == raw[column].astype(object).where(raw[column].notna(), None).tolist()
        )
    assert plan.apply_row({"customer": "8", "when": "2026-01-06", "price": 6})["town"] == "Lyon"
    assert [column["name"] for column in found.report["joins"]] == ["customers", "prices"]


def test_a_table_too_large_to_travel_is_refused(
    take_in: Any, make_night: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.ingestion.enrich.MAX_ROWS", 1)
    join = {"source": write("c.csv", "customer,town\n7,Bern\n8,Lyon\n"), "on": ["customer"], "name": "customers"}
    with pytest.raises(SpecError, match="too large") as error:
        take_in(make_night(key=("id",)), source=write("orders.csv", ORDERS), joins=(Join(**join),))
    assert "serve='caller'" in error.value.cure
    found = take_in(make_night(key=("id",)), source=write("orders.csv", ORDERS), joins=(Join(**join, serve="caller"),))
    assert not (found.out / "enrichment").exists()


@pytest.mark.real_data
def test_flights_find_their_weather_and_planes(
    take_in: Any, make_night: Any, shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "nyc_flights13"
    flights = pd.read_csv(folder / "flights.csv.gz", dtype=str, keep_default_na=False, nrows=30_000)
    flights.to_csv(tmp_path / "flights.csv", index=False)
    night = make_night("n", "2014-02-01T00:00:00", target="late", positive="true", time="scheduled")
    found = take_in(
        night,
        source=str(tmp_path / "flights.csv"),
        derived=(
            Derived(name="scheduled", expression="moment(year, month, day, 12)"),
            Derived(name="late", expression="arr_delay >= 15", serve="never"),
        ),
        joins=(
            Join(
                name="weather",
                source=str(folder / "weather.csv.gz"),
                on=["origin"],
                time="moment(year, month, day, hour)",
                max_age_hours=6,
                columns=["temp"],
                serve="caller",
            ),
            Join(name="planes", source=str(folder / "planes.csv.gz"), on=["tailnum"], columns={"year": "built"}),
        ),
    )
    planes = pd.read_csv(folder / "planes.csv.gz", usecols=["tailnum"])
    assert found.outcome.rows == len(flights)
    counted = {join["name"]: join for join in found.report["joins"]}
    assert counted["planes"]["matched"] == int(flights["tailnum"].isin(planes["tailnum"]).sum())
    assert counted["weather"]["unmatched"] < 0.02 * len(flights)
    assert found.raw["late"].null_count == int((~flights["arr_delay"].str.contains("[0-9]")).sum())
    assert found.raw["tailnum"].to_pylist()[-5:] == flights["tailnum"].tolist()[-5:]
    assert found.raw["_time"][0].as_py() == datetime(2013, 1, 1, 12, tzinfo=UTC)
