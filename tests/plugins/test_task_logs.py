"""Logs of tasks reach the storage, whatever it is, and are read there by another machine."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from aimass_airflow.task_logs import LOGGING_CONFIG, REMOTE_TASK_LOG, address_of

from pipelines.housekeeping.leftovers import old_logs
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings, load
from pipelines.storage import remote_of

PATH = "dag_id=retrain_demo/run_id=manual__2026-03-01T02:00:00+00:00/task_id=train.tune/attempt=1.log"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log in this machine's folder of logs."""
    import airflow.sdk.configuration

    monkeypatch.setattr(airflow.sdk.configuration, "conf", SimpleNamespace(get=lambda *_: str(tmp_path / "logs")))
    path = tmp_path / "logs" / PATH
    path.parent.mkdir(parents=True)
    path.write_text('{"event": "first"}\n')
    return path


def test_a_log_is_stored_in_a_folder(home: Settings, written: Path) -> None:
    assert REMOTE_TASK_LOG.read(PATH)[1] is None
    REMOTE_TASK_LOG.upload(PATH)
    written.write_text('{"event": "first"}\n{"event": "second"}\n')
    REMOTE_TASK_LOG.upload(PATH)
    (where,), (text,) = REMOTE_TASK_LOG.read(PATH)
    assert text.count("event") == 2
    assert where == f"task_logs/{PATH} in the storage"
    assert stat.S_IMODE((home.storage / "task_logs" / PATH).stat().st_mode) == 0o600
    REMOTE_TASK_LOG.upload("dag_id=retrain_demo/none.log")  # a task that wrote nothing


def test_a_log_is_stored_in_an_object_store(
    home: Settings, written: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMASS_STORAGE", f"s3://{bucket}/of/aimass")
    REMOTE_TASK_LOG.upload(PATH)
    assert REMOTE_TASK_LOG.read(PATH)[1] == [written.read_text()]
    settings = load()
    assert [each.key for each in remote_of(settings).store.list()] == [f"task_logs/{PATH}"]
    with Ledger.open(settings) as ledger:
        found = partial(old_logs, settings, HousekeepingSpec(log_days=30), ledger=ledger)
        now = datetime.now(UTC)
        assert [each.kind for each in found(now=now + timedelta(days=29))] == []
        (item,) = found(now=now + timedelta(days=31))
        assert item.what == f"s3://{bucket}/of/aimass/task_logs/{PATH.partition('/task_id')[0]}"
        assert item.remove()
    assert REMOTE_TASK_LOG.read(PATH)[1] is None


@pytest.mark.parametrize("path", ["/etc/passwd", "../secrets/key", "a/../../b"])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not the path of a log"):
        address_of(path)


def test_airflow_finds_it() -> None:
    from airflow._shared.logging.remote import RemoteLogIO, discover_remote_log_handler
    from airflow._shared.module_loading import import_string

    found, connection = discover_remote_log_handler("aimass_airflow.task_logs.LOGGING_CONFIG", "", import_string)
    assert found is REMOTE_TASK_LOG
    assert connection is None
    assert {"processors", "upload", "read"} <= set(dir(RemoteLogIO)) & set(dir(found))
    assert isinstance(LOGGING_CONFIG, dict)
