from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import pyarrow.parquet as pq
import pytest
from gateways import running

from pipelines.gateway import parquet_log
from pipelines.gateway.prediction_log import SCHEMA, Answered, prediction_log
from pipelines.ledger import Ledger


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


def test_it_is_bounded_in_bytes_too(tmp_path):
    log = prediction_log(tmp_path, max_bytes=1 << 20)
    huge = replace(answered(), cells={"town": ["x" * 600_000]})
    assert log.add(huge)
    assert not log.add(huge)
    assert not log.add(replace(answered(2), cells={"tags": [["y" * 300_000], {"z": "y" * 300_000}]}))
    assert log.add(answered())
    assert log.dropped == 3
    log.flush()
    assert log.add(huge), "what is written is no longer held"
    assert not log.add(replace(answered(), cells={"town": ["Ł" * 600_000]})), "two bytes each"


def test_what_it_holds_is_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_log, "WRITE_BYTES", 2_000)
    log = prediction_log(tmp_path)
    for _ in range(7):
        log.add(answered(3))
    log.flush()
    (path,) = tmp_path.rglob("*.parquet")
    file = pq.ParquetFile(path)
    assert (file.metadata.num_rows, log.written) == (21, 21)
    assert file.metadata.num_row_groups > 1


LIMITED = """
import json, resource, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_prediction_log import answered
from pipelines.gateway.prediction_log import prediction_log
log = prediction_log(Path(sys.argv[1]))
log.add(answered(50))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
log.flush()
full = log.dropped
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.add(answered(2))
log.flush()
print(json.dumps([full, log.dropped, log.written]))
"""


def test_a_disk_that_takes_no_more_costs_rows_and_leaves_no_piece(tmp_path):
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), here, str(Path(__file__).parents[2] / "helpers")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [50, 50, 2]
    assert "50 rows of predictions are lost" in done.stderr
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".parquet"]


@pytest.mark.slow
def test_a_full_disk_costs_log_rows_and_no_request(served):
    folder = served.settings.storage / "predictions"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k,mode=0700", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        headers = {"Authorization": f"Bearer {served.ledger.issue_token('full', ['predict', 'metrics'], 1)}"}
        with running(served.settings, Ledger.open(served.settings)) as client:
            (folder / "filler").write_bytes(b"x" * 12_288)
            rows = [{"amount": number, "town": token_hex(20), "age": 30} for number in range(100)]
            for _ in range(3):
                reply = client.post("/v1/models/demo:predict", json={"instances": rows}, headers=headers)
                assert reply.status_code == 200
            dropped = "aimass_log_dropped_rows 300.0"
            deadline = time.monotonic() + 15
            while dropped not in client.get("/metrics", headers=headers).text and time.monotonic() < deadline:
                time.sleep(0.2)
            assert dropped in client.get("/metrics", headers=headers).text
            (folder / "filler").unlink()
            assert client.post("/v1/models/demo:predict", json={"instances": rows[:1]}, headers=headers).is_success
        (path,) = folder.rglob("*.parquet")
        assert pq.read_table(path).num_rows == 1
        assert not list(folder.rglob("*.partial"))
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a reader may close its file a moment later
