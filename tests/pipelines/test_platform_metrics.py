"""The figures for Prometheus say what the ledger says; the guide's rules and dashboard name figures that exist."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.gateway.metrics import Metrics
from pipelines.ledger import Ledger
from pipelines.monitoring.heartbeat import beat
from pipelines.platform_metrics import exposition
from pipelines.settings import Settings

GUIDE = Path(__file__).parents[2] / "docs" / "guides"
TOOK = {"cpu_seconds": 2.0, "gpu_seconds": 0.5, "peak_memory": 5000, "bytes_read": None, "bytes_written": 7}


@pytest.fixture
def ledger(home: Settings, make_night):
    with Ledger.open(home) as opened:
        night = make_night("n1", name="demo")
        opened.open_night(night, "platform")
        opened.close_night("demo", "n1", "success", {})
        for fence, state in ((1, "failed"), (2, "done")):
            where = {"model": "demo", "night": "n1", "fence": fence}
            opened.add_task_usage("tune", state=state, seconds=4.0, usage=TOOK, **where)
        opened.add_task_usage("backup", state="failed", seconds=1.0, usage=TOOK)
        opened.want("demo", 3, "serve")
        opened.observe_serving("demo", 3, "p", cpu_seconds=2.5, rows=10, memory=7)
        opened.observe_serving("demo", 0, "g", cpu_seconds=0.5, rows=10, memory=7)
        opened.alert("demo", "drift", "x", "check:drift")
        opened.alert(None, "disk", "x", "check:disk")
        window = {"columns": {"amount": {"psi": 0.25}, "town": {"psi": None}}, "verdict": {}}
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        opened.add_window("demo", "inputs", started_at=moment, ended_at=moment, rows=500, figures=window)
        process = {"processes": {}, "saturation": 0.5, "memory": 1000}
        opened.add_window("demo", "process", started_at=moment, ended_at=moment, rows=1, figures=process)
        beat(home, moment)
        (home.backups / "20260301T020000.000000Z").mkdir()
        (home.backups / "20260301T020000.000000Z" / "manifest.sig").touch()
        yield opened


def samples(text: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(text.decode())
    return {
        f"{sample.name}{','.join(sample.labels.values())}": sample.value
        for family in families
        for sample in family.samples
    }


def test_figures_are_those_of_the_ledger(home: Settings, ledger: Ledger) -> None:
    found = samples(exposition(home, ledger))
    expected = {
        "aimass_stage_cpu_secondsdemo,tune": 2.0,
        "aimass_stage_succeededdemo,tune": 1.0,
        "aimass_stage_succeeded,backup": 0.0,
        "aimass_stage_written_bytesdemo,tune": 7.0,
        "aimass_night_succeededdemo": 1.0,
        "aimass_service_readydemo,3": 0.0,
        "aimass_serving_cpu_seconds_totaldemo,3": 2.5,
        "aimass_serving_cpu_seconds_totaldemo,gateway": 0.5,
        "aimass_serving_rows_totaldemo,3": 10.0,
        "aimass_service_saturationdemo": 0.5,
        "aimass_open_alertsdrift,demo": 1.0,
        "aimass_open_alertsdisk,": 1.0,
        "aimass_drift_psiamount,demo": 0.25,
        "aimass_monitor_last_timestamp_seconds": datetime(2026, 3, 1, tzinfo=UTC).timestamp(),
        "aimass_backup_last_timestamp_seconds": datetime(2026, 3, 1, 2, tzinfo=UTC).timestamp(),
    }
    assert {name: found.get(name) for name in expected} == expected
    ended = ledger.night("demo", "n1").finished_at.timestamp()
    assert found["aimass_night_last_success_timestamp_secondsdemo"] == pytest.approx(ended, abs=1)
    assert not [name for name in found if "read_bytes" in name or "town" in name], "what is not known is left out"
    assert found["aimass_disk_free_bytesstorage"] > 0


def test_an_empty_ledger_has_figures_too(home: Settings) -> None:
    with Ledger.open(home) as ledger:
        assert samples(exposition(home, ledger)).keys() == {
            "aimass_disk_free_bytesstorage", "aimass_disk_free_bytesbackups",
        }  # fmt: skip


def test_rules_and_dashboard_ask_for_figures_that_exist(home: Settings, ledger: Ledger) -> None:
    gateway = Metrics()
    gateway.observe("demo", 500, 0.1, 1, {"a": {"unseen": 1}})
    gateway.observe("demo", 200, 0.1, 1)
    families = text_string_to_metric_families((exposition(home, ledger) + gateway.text()).decode())
    known = {sample.name for family in families for sample in family.samples}
    known |= {"aimass_stage_read_bytes", "aimass_in_flight", "aimass_log_dropped_rows"}
    page = (GUIDE / "observability.md").read_text()
    asked = set(re.findall(r"aimass_\w+", "".join(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))))
    board = json.loads((GUIDE / "observability-dashboard.json").read_text())
    asked |= {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"aimass_\w+", target["expr"])
    }
    assert len(asked) > 12
    assert asked <= known, sorted(asked - known)
