"""A stage is one folder and one entry: added to a copy of the product, Airflow runs it with no other change."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.ledger import Ledger
from pipelines.local.inprocess import run_in_process
from pipelines.settings import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LAST = ")  # fmt: skip\n\nOPERATIONS"
ENTRY = '    Stage("count", "counting", "CountSpec", "Count the rows.", {"raw": "rows"}),\n'
SPEC = """
from pipelines.spec import Spec


class CountSpec(Spec):
    times: int = 1
"""
STAGE = """
import logging

import pyarrow as pa

from pipelines import storage
from pipelines.artifacts import Outcome
from pipelines.counting.spec import CountSpec

log = logging.getLogger(__name__)


def run(spec, *, night, settings, out, raw):
    rows = storage.dataset(raw.path / "raw").count_rows() * spec.times
    log.info(f"counted {rows}")
    storage.write_table(pa.table({"rows": [rows]}), out / "counted")
    return Outcome(rows=1, meta={"counted": rows})
"""
DAG = """
from aimass_airflow import count, ingest, retrain_dag

from pipelines.counting.spec import CountSpec
from pipelines.ingestion.spec import IngestSpec
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
COUNT = CountSpec()
with retrain_dag(MODEL, doc_md="# demo", specs=(COUNT,)) as dag:
    count(COUNT, ingest(IngestSpec(source={source!r})))
"""


def test_a_new_stage_is_one_folder_and_one_entry(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    for source in ("pipelines", "plugins/aimass_airflow"):
        shutil.copytree(ROOT / source, copy / source, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "pipelines" / "counting").mkdir()
    for name, text in (("__init__", ""), ("spec", SPEC), ("stage", STAGE)):
        (copy / "pipelines" / "counting" / f"{name}.py").write_text(text)
    listed = copy / "pipelines" / "stages.py"
    assert LAST in listed.read_text()
    listed.write_text(listed.read_text().replace(LAST, ENTRY + LAST))
    rows = tmp_path / "rows.csv"
    rows.write_text("id,label\n" + "".join(f"{n},{'yes' if n % 3 else 'no'}\n" for n in range(30)))
    dag_file = tmp_path / "dags" / "retrain_demo.py"
    dag_file.parent.mkdir()
    dag_file.write_text(DAG.format(source=str(rows)))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{copy}:{copy / 'plugins'}")
    log = tmp_path / "log"
    with log.open("wb") as stream:
        night = run_in_process(home, dag_file, datetime(2026, 3, 1, 2, tzinfo=UTC), {"count__times": 2}, log=stream)
    with Ledger.open(home) as ledger:
        row = {row.stage: row for row in ledger.stages("demo", night.night)}["count"]
    assert (row.state, row.spec, row.rows) == ("done", {"times": 2}, 1), log.read_text()[-2000:]
    assert row.ref is not None
    assert row.ref["meta"] == {"counted": 60}
    assert storage.read_table(storage.resolve(home, row.ref["uri"]) / "counted")["rows"].to_pylist() == [60]
    assert f"INFO count demo {night.night}: counted 60" in log.read_text()
