"""B7: a drill that proves nothing fails its run and alerts: no backups, a stale one, a wrong golden file, damage."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from aimass_airflow.operations import OperationFailed, OperationOperator
from backups import chunk_files

from pipelines.backup.backup import backup
from pipelines.backup.shelf import name_at
from pipelines.backup.spec import BackupSpec
from pipelines.drill.spec import DrillSpec
from pipelines.errors import BackupError
from pipelines.inference.manifest import write_manifest
from pipelines.secret_files import signing_key
from pipelines.settings import Settings
from pipelines.storage import resolve

pytestmark = pytest.mark.fault

SPEC = BackupSpec(free_share=0)


@pytest.fixture
def installed(served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A live version; stages find its home."""
    monkeypatch.setenv("AIMASS_HOME", str(served.settings.home))
    for folder in served.settings.backups.glob("*Z"):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return served


def run_drill(settings: Settings, **spec: float) -> None:
    """Run the drill's task, and its DAG's callback if it fails, as Airflow does."""
    assert settings.home.is_dir()
    try:
        OperationOperator(task_id="restore_drill", operation="restore_drill", spec=DrillSpec(**spec)).execute({})
    except Exception as error:
        OperationFailed("restore_drill")({"exception": error})
        raise


def alerts(installed: SimpleNamespace) -> list[str]:
    return [row.message for row in installed.ledger.alerts() if row.kind == "restore_drill"]


def test_each_broken_drill_fails_and_alerts_and_a_good_one_resolves(installed: SimpleNamespace) -> None:
    settings: Settings = installed.settings
    with pytest.raises(BackupError, match="no backup to restore"):
        run_drill(settings)
    assert alerts(installed) == ["restore_drill failed: there is no backup to restore"]

    report = backup(settings, SPEC, now=datetime.now(UTC) - timedelta(hours=40))
    with pytest.raises(BackupError, match="too old"):
        run_drill(settings)
    assert len(alerts(installed)) == 1  # it is the same condition

    fresh = report.path.with_name(name_at(datetime.now(UTC)))
    report.path.rename(fresh)
    chunk = max(chunk_files(settings.backups), key=lambda path: path.stat().st_size)
    content = chunk.read_bytes()
    chunk.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(BackupError, match="damaged"):
        run_drill(settings)
    assert alerts(installed)

    backup(settings, SPEC)  # stores again what was set aside
    run_drill(settings)
    assert alerts(installed) == []


def test_a_wrong_golden_file_fails_and_alerts(installed: SimpleNamespace) -> None:
    settings: Settings = installed.settings
    folder = resolve(settings, installed.ledger.version("demo", 1).model_uri)
    path = folder / "golden.json"
    right = path.read_bytes()
    golden = json.loads(right)
    golden["answers"][0] = next(answer for answer in golden["answers"] if answer != golden["answers"][0])
    key = signing_key(settings).read_bytes()
    for each in (folder, path, folder / "manifest.json", folder / "manifest.sig"):
        each.chmod(0o700)
    try:
        path.write_text(json.dumps(golden))
        write_manifest(folder, key)
        backup(settings, SPEC)
        with pytest.raises(BackupError, match="another prediction") as caught:
            run_drill(settings)
        assert "golden row 0" in str(caught.value)
        assert alerts(installed)
    finally:
        path.write_bytes(right)
        write_manifest(folder, key)
