"""A table is published whole, in versions, with private columns masked; conflicts and bad wishes are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.artifacts import Night
from pipelines.errors import DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.mart.origin import of_night, of_source
from pipelines.mart.publish import Wish, publish
from pipelines.mart.tables import TABLE, as_one_file, files_of, find, preview, write_one
from pipelines.private_columns import hashed, hashing_key
from pipelines.settings import Settings

ROWS = "id,city,email\n1,rome,a@b\n2,oslo,\n3,,a@b\n"


def test_a_version_is_named_digested_described_and_previewed(home: Settings, ledger: Ledger, put) -> None:
    row, new = put(ROWS, description="Visits of a day")
    assert (row.address, row.rows, row.description, new) == ("mart:visits@1", 3, "Visits of a day", True)
    assert [(each["name"], each["type"], each["missing"]) for each in row.columns] == [
        ("id", "string", 0.0), ("city", "string", 0.333333), ("email", "string", 0.333333),
    ]  # fmt: skip
    assert preview(home, row) == [["1", "rome", "a@b"], ["2", "oslo", None], ["3", None, "a@b"]]
    manifest = json.loads((home.storage / row.uri / "manifest.json").read_text())
    assert (manifest["stage"], manifest["rows"], manifest["facts"]["name"]) == ("mart", 3, "visits")
    assert storage.read_table(home.storage / row.uri / TABLE).to_pylist()[1] == {
        "id": "2",
        "city": "oslo",
        "email": None,
    }
    assert list(home.staging.iterdir()) == []
    assert put(ROWS) == (row, False)  # the same content is no new version
    second, _ = put(ROWS + "4,bonn,\n")
    assert (second.version, second.description) == (2, "Visits of a day")
    assert find(ledger, "mart:visits") == second
    assert [each.version for each in ledger.mart_tables("visits")] == [1, 2]


def test_a_night_is_published_without_what_stages_add_and_without_what_is_private(
    home: Settings, ledger: Ledger, cleaned: Night
) -> None:
    with of_night(home, ledger, "demo", None, "clean") as origin:
        row, _ = publish(home, ledger, "people", origin, Wish(), "test")
    table = storage.read_table(home.storage / row.uri / TABLE)
    assert table.schema.names == ["email", "x", "label"]
    assert table["label"].to_pylist() == ["yes", "no", "yes"]
    key = hashing_key(home)
    assert table["email"].to_pylist() == [hashed("a@b", key), hashed("c@d", key), None]
    assert row.columns[1]["missing"] == pytest.approx(1 / 3, abs=1e-6)  # NaN counts
    assert row.origin["private"] == {
        "email": {"rule": "hash", "by": "the model's spec"},
        "phone": {"rule": "drop", "by": "the model's spec"},
        "loud": {"rule": "drop", "by": "computed from email"},
    }
    assert (row.origin["model"], row.origin["night"], row.origin["stage"]) == ("demo", "n1", "clean")
    assert set(row.origin["left_out"]) == {"_key", "_time", "_sealed", "_weight"}
    written = b"".join(path.read_bytes() for path in (home.storage / row.uri).rglob("*") if path.is_file())
    assert b"a@b" not in written


@pytest.mark.slow
def test_features_made_of_private_columns_are_left_out(home: Settings, ledger: Ledger, make_night, tmp_path) -> None:
    from small_night import data_stages

    from pipelines.ingestion.spec import IngestSpec

    lines = [f"{i},{'a' if i % 3 else 'b'},{i % 7},{'yes' if i % 2 else 'no'}" for i in range(200)]
    (tmp_path / "t.csv").write_text("id,secret,x,label\n" + "\n".join(lines))
    night = make_night("n1", key=["id"], private={"secret": "hash"})
    ledger.open_night(night, "local")
    made = data_stages(tmp_path / "out", home, night, IngestSpec(source=str(tmp_path / "t.csv")))
    uri = "nights/demo/n1/features-1"
    storage.publish(made["features"].path, home.storage / uri, stage="features")
    fence = ledger.begin_stage("demo", "n1", "features")
    ledger.finish_stage("demo", "n1", "features", fence, state="done", ref={"uri": uri}, made_of=None)
    with of_night(home, ledger, "demo", "n1", "features") as origin:
        row, _ = publish(home, ledger, "features", origin, Wish(), "test")
    assert [each["name"] for each in row.columns] == ["x", "label"]
    assert row.origin["private"]["secret"] == {"rule": "drop", "by": "made of secret"}


def test_columns_are_dropped_and_hashed_on_demand(home: Settings, put) -> None:
    row, _ = put(ROWS, drop=("city",), hash=("email",))
    table = storage.read_table(home.storage / row.uri / TABLE)
    assert table.schema.names == ["id", "email"]
    first, gap, again = table["email"].to_pylist()
    assert first == again
    assert first.startswith("hmac-sha256:")
    assert gap is None
    assert row.columns[1]["private"] == "hash"
    with pytest.raises(SpecError, match="cannot be made private") as caught:
        put(ROWS, drop=("citty", "email"), hash=("email",))
    assert caught.value.faults == [
        "'citty': no such column; did you mean 'city'?", "'email': to be dropped and hashed",
    ]  # fmt: skip
    with pytest.raises(SpecError, match="no column of the table is left"):
        put(ROWS, drop=("id", "city", "email"))


def test_what_the_spec_drops_is_not_hashed_instead(home: Settings, ledger: Ledger, cleaned: Night) -> None:
    with of_night(home, ledger, "demo", "n1", "clean") as origin, pytest.raises(SpecError) as caught:
        publish(home, ledger, "people", origin, Wish(hash=("phone",)), "test")
    assert caught.value.faults == ["'phone': private, the spec has it dropped"]
    assert ledger.mart_tables() == []


def test_a_schema_conflict_is_refused_unless_it_is_wanted(home: Settings, ledger: Ledger, put, tmp_path: Path) -> None:
    put(ROWS)
    put("id,city,email,more\n1,rome,a@b,x\n")  # a further column breaks nobody
    with pytest.raises(DataError, match="schema conflicts") as caught:
        put("id,city\n1,rome\n")
    assert caught.value.faults == ["'email': gone, was string", "'more': gone, was string"]
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "city": "x", "email": "e", "more": "m"}\n')
    from pipelines.ingestion.spec import Files

    with of_source(home, Files(path=str(tmp_path / "rows.jsonl"))) as origin:
        with pytest.raises(DataError) as caught:
            publish(home, ledger, "visits", origin, Wish(), "test")
        assert caught.value.faults == ["'id': int64, was string"]
        row, new = publish(home, ledger, "visits", origin, Wish(new_schema=True), "test")
    assert (row.version, new) == (3, True)
    assert list(home.staging.iterdir()) == []


def test_what_cannot_be_published(home: Settings, ledger: Ledger, put, cleaned: Night) -> None:
    for name in ("Visits", "a-b", "../x", ""):
        with pytest.raises(SpecError, match="cannot have this name"):
            put(ROWS, name=name)
    with pytest.raises(DataError, match="no row"):
        put("id,city\n")
    with pytest.raises(SpecError, match="description is too long"):
        put(ROWS, description="x" * 2001)
    for model, night, stage, what in (
        ("demo", "n2", "clean", "no such night"),
        ("demo", "n1", "tune", "a stage without such a table"),
        ("demo", "n1", "split", "no night with such a table"),
    ):
        with pytest.raises(SpecError, match=what), of_night(home, ledger, model, night, stage):
            pass
    shutil.rmtree(home.storage / "nights")
    with pytest.raises(DataError, match="tidied away"), of_night(home, ledger, "demo", "n1", "clean"):
        pass


def test_a_damaged_table_is_noticed(home: Settings, ledger: Ledger, put) -> None:
    row, _ = put(ROWS)
    (part,) = files_of(home, row)
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="damaged"):
        files_of(home, row)


def test_a_table_of_several_parts_goes_out_as_one_file(home: Settings, put, tmp_path: Path) -> None:
    row, _ = put(ROWS)
    (part,) = files_of(home, row)
    write_one([part, part], tmp_path / "both.parquet")
    import pyarrow.parquet as pq

    assert pq.read_table(tmp_path / "both.parquet")["id"].to_pylist() == ["1", "2", "3"] * 2
    with as_one_file(home, row) as path:
        assert pq.read_table(path).num_rows == 3
