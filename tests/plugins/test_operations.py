from __future__ import annotations

import json
from datetime import timedelta

import pytest
from aimass_airflow.assets import DRIFTED, VERSION_LIVE
from aimass_airflow.operations import OperationFailed, OperationOperator, ask_to_retrain, operation_dag
from airflow.sdk import AssetOrTimeSchedule
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors
from receivers import WebServer, serving

from pipelines.backup.backup import list_backups
from pipelines.backup.spec import BackupSpec
from pipelines.drill.spec import DrillSpec
from pipelines.errors import BackupError
from pipelines.ledger import Ledger
from pipelines.monitoring.spec import MonitorSpec
from pipelines.settings import Settings


def backup_task(**spec: float) -> OperationOperator:
    return OperationOperator(task_id="backup", operation="backup", spec=BackupSpec(free_share=0, **spec))


def test_backup_runs_as_a_process_that_knows_nothing_of_airflow(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
    Ledger.open(home).close()
    backup_task().execute({})
    assert len(list_backups(home)) == 1


def test_typed_error_is_raised_again_with_all_it_says(home: Settings) -> None:
    with pytest.raises(BackupError, match="nothing to back up") as caught:
        backup_task().execute({})
    assert "AIMASS_HOME" in str(caught.value)


def test_failure_is_one_alert_and_success_resolves_it(home: Settings) -> None:
    failed = OperationFailed("backup")
    for _ in range(2):
        failed({"exception": BackupError("disk full", where="/backups")})
    led = Ledger.open(home)
    assert [(row.model, row.kind, row.message) for row in led.alerts()] == [
        (None, "backup", "backup failed: disk full")
    ]
    backup_task().execute({})
    assert led.alerts() == []
    led.close()
    lines = [json.loads(line) for line in (home.logs / "alerts.log").read_text().splitlines()]
    assert [line["state"] for line in lines] == ["firing", "resolved"]


def test_a_drill_of_a_new_installation_is_skipped(home: Settings) -> None:
    with pytest.raises(AirflowSkipException, match="nothing was ever live"):
        OperationOperator(task_id="restore_drill", operation="restore_drill", spec=DrillSpec()).execute({})


def test_monitor_runs_on_an_empty_home(home: Settings) -> None:
    OperationOperator(task_id="monitor", operation="monitor", spec=MonitorSpec(probe_seconds=0.5)).execute({})
    led = Ledger.open(home)
    assert [row.kind for row in led.alerts()] == ["gateway"]
    led.close()


def test_dag_of_an_operation() -> None:
    dag = operation_dag(
        "monitor",
        spec=MonitorSpec(),
        schedule="*/15 * * * *",
        timeout=timedelta(minutes=5),
        doc_md="# monitor\n\nLooks at all.",
    )
    assert dag.task_ids == ["monitor"]
    assert dag.description == "Looks at all."


def test_an_operation_may_follow_an_asset_as_well_as_the_clock() -> None:
    dag = operation_dag(
        "backup",
        spec=BackupSpec(),
        schedule="30 3 * * *",
        after=VERSION_LIVE,
        timeout=timedelta(minutes=5),
        doc_md="# backup",
    )
    assert isinstance(dag.schedule, AssetOrTimeSchedule)
    assert dag.max_active_runs == 1


def test_drift_that_matters_is_told_of_once_a_day_and_model(home: Settings) -> None:
    told = OutletEventAccessors()
    wanted = [{"model": "loans", "why": "a probe"}, {"model": "churn", "why": "a probe"}]
    for _ in range(2):
        ask_to_retrain({"outlet_events": told}, wanted)
    events = told[DRIFTED].asset_alias_events
    assert [(event.dest_asset_key.name, event.extra) for event in events] == [
        ("aimass_drift_loans", {"why": "a probe"}),
        ("aimass_drift_churn", {"why": "a probe"}),
    ]
    dag = operation_dag("monitor", spec=MonitorSpec(), schedule=None, timeout=timedelta(minutes=5), doc_md="# x")
    assert dag.get_task("monitor").outlets == [DRIFTED]


def test_a_failure_goes_through_the_channels_at_once(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(WebServer()) as web:
        monkeypatch.setenv("AIMASS_ALERT_WEBHOOK", f"{web.address}/hook")
        OperationFailed("backup")({"exception": BackupError("disk full", where="/backups")})
        assert "backup failed: disk full" in web.posts[0][2]["text"]
