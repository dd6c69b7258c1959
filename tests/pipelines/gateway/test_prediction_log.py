from __future__ import annotations

import json
import stat
import time
from datetime import UTC, datetime

import pyarrow.parquet as pq

from pipelines.gateway.prediction_log import SCHEMA, Answered, prediction_log


def answered(count=1, status=200, model="demo"):
    cells = {"town": ["Łódź"] * count, "n": list(range(count))}
    outputs = {"prediction": ["yes"] * count, "probability": [0.5] * count} if status == 200 else {}
    return Answered("r1", datetime(2026, 3, 1, 23, tzinfo=UTC), model, 4, status, 1.5, count, cells, outputs)


def test_every_instance_is_one_row_and_files_are_private(tmp_path):
    log = prediction_log(tmp_path)
    log.add(answered(3))
    log.add(answered(0, status=503))
    log.add(answered(1, status=400))
    log.flush()
    (path,) = tmp_path.rglob("*.parquet")
    assert path.parent == tmp_path / "predictions" / "demo" / "2026-03-01"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    table = pq.read_table(path, page_checksum_verification=True)
    assert table.schema.equals(SCHEMA)
    rows = table.to_pylist()
    assert [row["status"] for row in rows] == [200, 200, 200, 503, 400]
    assert json.loads(rows[2]["instance"]) == {"town": "Łódź", "n": 2}
    assert json.loads(rows[2]["prediction"])["probability"] == 0.5
    assert (rows[3]["instance"], rows[3]["prediction"], rows[4]["prediction"]) == (None, None, None)


def test_it_is_bounded_and_counts_what_it_drops(tmp_path):
    log = prediction_log(tmp_path, max_rows=5)
    assert log.add(answered(4))
    assert not log.add(answered(2))
    assert log.add(answered(1))
    assert log.dropped == 2
    log.flush()
    assert log.add(answered(5))


def test_it_writes_by_itself_and_at_close(tmp_path):
    log = prediction_log(tmp_path, flush_seconds=0.1)
    log.start()
    log.add(answered())
    deadline = time.monotonic() + 5
    while not log.written and time.monotonic() < deadline:
        time.sleep(0.02)
    assert log.written == 1
    log.add(answered())
    log.close()
    assert log.written == 2


def test_a_place_it_cannot_write_to_costs_rows_not_the_service(tmp_path):
    folder = tmp_path / "a-file"
    folder.write_text("")
    log = prediction_log(folder)
    log.add(answered(3))
    log.flush()
    assert log.dropped == 3
