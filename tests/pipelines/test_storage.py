from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import storage
from pipelines.errors import DataError
from pipelines.storage import DiskFullError

CELLS = {
    "i": st.one_of(st.none(), st.integers(-(2**60), 2**60)),
    "f": st.one_of(st.none(), st.floats()),
    "s": st.one_of(st.none(), st.text(max_size=5)),
    "b": st.one_of(st.none(), st.booleans()),
}
TYPES = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "b": pa.bool_()}
TABLES = st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=12)


def table_of(rows):
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()})


def digest(table, chunk=100):
    return storage.table_digest(table.to_batches(max_chunksize=chunk), table.schema)


@given(TABLES, st.integers(1, 5))
def test_digest_ignores_batches_and_string_encoding(rows, chunk):
    table = table_of(rows)
    coded = table.set_column(2, "s", table["s"].dictionary_encode())
    wide = table.set_column(2, "s", table["s"].cast(pa.large_string()))
    assert digest(table, chunk) == digest(table) == digest(coded, chunk) == digest(wide, chunk)


@given(TABLES, st.data())
def test_digest_sees_every_cell(rows, data):
    table = table_of(rows)
    row = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(sorted(CELLS)))
    changed = data.draw(CELLS[name])
    same = repr(changed) == repr(rows[row][name])
    other = [dict(item) for item in rows]
    other[row][name] = changed
    assert (digest(table_of(other)) == digest(table)) == same


def test_digest_sees_names_types_order_and_row_order():
    table = pa.table({"a": [1, 2], "b": [1, 2]})
    others = [
        table.rename_columns(["a", "c"]),
        table.set_column(0, "a", table["a"].cast(pa.int32())),
        table.select(["b", "a"]),
        table.take([1, 0]),
        pa.table({"a": pa.array([1, 2]), "b": pa.array([1, None])}),
    ]
    assert len({digest(item) for item in [table, *others]}) == len(others) + 1


def test_digest_covers_other_types():
    table = pa.table(
        {
            "t": pa.array([0, None], pa.timestamp("us", "UTC")),
            "d": pa.array([1, None], pa.date32()),
            "l": pa.array([[1], None], pa.list_(pa.int64())),
            "n": pa.nulls(2),
            "x": pa.array([b"a", None], pa.binary()),
        }
    )
    assert digest(table, 1) == digest(table, 2)
    assert digest(table.set_column(2, "l", pa.array([[2], None], pa.list_(pa.int64())))) != digest(table)


def staged(home, value=1, rows=10):
    folder = storage.stage_folder(home, "demo")
    table = pa.table({"a": np.arange(rows) * value, "s": [str(n) for n in range(rows)]})
    storage.write_table(table, folder / "raw")
    (folder / "report.json").write_text("{}")
    return folder


def test_publish_gives_a_whole_verified_folder(home):
    folder, target = staged(home), storage.resolve(home, "nights/demo/n/ingest-1")
    digest_ = storage.publish(folder, target, stage="ingest", rows=10)
    manifest = storage.verify(target)
    assert manifest["digest"] == digest_
    assert manifest["rows"] == 10
    assert set(manifest["files"]) == {"raw/part-00000.parquet", "raw/_table.json", "report.json"}
    assert not folder.exists()
    assert storage.read_table(target / "raw").num_rows == 10


def test_digest_of_a_folder_ignores_how_parquet_is_cut(home):
    one, two = staged(home), staged(home)
    table = pq.read_table(two / "raw")
    (two / "raw" / "part-00000.parquet").unlink()
    pq.write_table(table.slice(0, 3), two / "raw" / "part-00000.parquet", row_group_size=2)
    pq.write_table(table.slice(3), two / "raw" / "part-00001.parquet")
    assert storage.describe(one)[0] == storage.describe(two)[0]


def test_publish_again_adopts_the_same_and_refuses_another(home):
    target = storage.resolve(home, "nights/demo/n/ingest-1")
    first = storage.publish(staged(home), target, stage="ingest")
    assert storage.publish(staged(home), target, stage="ingest") == first
    with pytest.raises(DataError, match="already published"):
        storage.publish(staged(home, value=2), target, stage="ingest")
    assert storage.verify(target)["digest"] == first


def test_verify_names_every_fault(home):
    target = storage.resolve(home, "nights/demo/n/ingest-1")
    storage.publish(staged(home), target, stage="ingest")
    (target / "report.json").unlink()
    (target / "extra.txt").write_text("x")
    part = target / "raw" / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[10] ^= 1
    part.write_bytes(content)
    with pytest.raises(DataError) as caught:
        storage.verify(target)
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "report.json",
        "extra.txt",
        "raw/part-00000.parquet",
    ]


def test_verify_without_manifest_is_a_data_error(home):
    with pytest.raises(DataError, match="no readable manifest"):
        storage.verify(home.storage / "nowhere")


@pytest.mark.parametrize("uri", ["../x", "/etc/passwd", "nights/../../x", "", "."])
def test_resolve_refuses_what_leads_out(home, uri):
    with pytest.raises(DataError, match="out of the storage root"):
        storage.resolve(home, uri)


def test_resolve_refuses_a_link_that_leads_out(home, tmp_path):
    (home.storage / "link").symlink_to(tmp_path)
    with pytest.raises(DataError):
        storage.resolve(home, "link/x")


def test_full_disk_is_one_clear_error(tmp_path):
    with pytest.raises(DiskFullError) as caught, storage.disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "free" in caught.value.seen
    assert caught.value.exit_code == 1


def test_write_table_of_a_stream_needs_its_schema(tmp_path):
    with pytest.raises(TypeError):
        storage.write_table(iter(()), tmp_path / "t")
    schema = pa.schema([("a", pa.int64())])
    assert storage.write_table(iter(()), tmp_path / "t", schema) == 0
    assert storage.read_table(tmp_path / "t").schema.names == ["a"]


def test_read_table_of_garbage_is_a_data_error(tmp_path: Path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "part-00000.parquet").write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        storage.read_table(tmp_path / "t")


def test_adopt_model_copies_once(home, tmp_path):
    source = tmp_path / "model"
    (source / "members").mkdir(parents=True)
    (source / "manifest.json").write_text('{"files": {}}')
    (source / "members" / "0.txt").write_text("tree")
    uri, digest_ = storage.adopt_model(home, source, "demo")
    assert uri == f"models/demo/{digest_}"
    assert storage.adopt_model(home, source, "demo") == (uri, digest_)
    assert (storage.resolve(home, uri) / "members" / "0.txt").read_text() == "tree"
    assert not list(home.staging.iterdir())
