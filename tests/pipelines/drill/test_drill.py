from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from backups import chunk_files
from gateways import running

from pipelines.backup.backup import backup
from pipelines.backup.shelf import stamped
from pipelines.backup.spec import BackupSpec
from pipelines.drill import stage
from pipelines.drill.drill import champions, check_live, drill
from pipelines.drill.requests import logged_requests
from pipelines.drill.spec import DrillSpec
from pipelines.errors import BackupError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import resolve

SPEC = BackupSpec(free_share=0)


@pytest.fixture(scope="module")
def kept(served: SimpleNamespace) -> SimpleNamespace:
    """A live version with three logged requests, and a backup."""
    opened = ModelDirectory.open(
        resolve(served.settings, served.ledger.version("demo", 1).model_uri), public_key(served.settings)
    )
    rows = opened.golden["rows"]
    with running(served.settings, served.ledger) as gateway:
        token = served.ledger.issue_token("drill", ["predict"], 1)
        gateway.headers["Authorization"] = f"Bearer {token}"
        for part in (rows[:7], rows[7:8], rows[8:60]):
            assert gateway.post("/v1/models/demo:predict", json={"instances": part}).status_code == 200
    served.opened, served.report = opened, backup(served.settings, SPEC)
    return served


def test_the_newest_backup_is_restored_served_and_repeats_what_is_stored(kept: SimpleNamespace) -> None:
    report = drill(kept.settings)
    assert report.backup == kept.report.name
    assert report.recovery_point_hours < 0.5
    assert 0 < report.restore_seconds <= report.recovery_seconds
    (proved,) = report.proved
    golden = len(kept.opened.golden["rows"])
    assert (proved["model"], proved["version"], proved["golden"]) == ("demo", 1, golden)
    assert (proved["logged"], proved["rows"]) == (3, golden + 60)
    assert proved["artifacts"] > 0
    assert not list(kept.settings.staging.glob("drill-*"))
    assert stamped(kept.report.path)["whole"] is True


def test_logged_requests_are_whole_and_as_they_were_sent(kept: SimpleNamespace) -> None:
    found = logged_requests(kept.settings.storage, kept.opened, 1, 10)
    assert sorted(len(stored.rows) for stored in found) == [1, 7, 52]
    assert [len(stored.predictions) for stored in found] == [len(stored.rows) for stored in found]
    assert len(logged_requests(kept.settings.storage, kept.opened, 1, 2)) == 2
    assert logged_requests(kept.settings.storage, kept.opened, 2, 10) == []


def test_without_a_backup_or_with_an_old_one_it_fails(home: Settings, kept: SimpleNamespace) -> None:
    Ledger.open(home).close()
    with pytest.raises(BackupError, match="no backup"):
        drill(home)
    late = datetime.now(UTC) + timedelta(hours=40)
    with pytest.raises(BackupError, match="too old") as caught:
        drill(kept.settings, now=late)
    assert "36 h" in caught.value.expected


def test_a_new_installation_has_nothing_to_prove(home: Settings, kept: SimpleNamespace, tmp_path: Path) -> None:
    assert "nothing was ever live" in stage.run(DrillSpec(), settings=home).stats["skipped"]
    without = kept.settings.model_copy(update={"backups_folder": tmp_path / "none"})
    with pytest.raises(BackupError, match="no backup"):  # something is live
        stage.run(DrillSpec(), settings=without)


def test_another_prediction_fails_it_and_names_the_row(kept: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = json.loads(json.dumps(kept.opened.golden))
    first = golden["answers"][3]
    name = next(iter(first["probabilities"])) if "probabilities" in first else next(iter(first))
    cells = first.get("probabilities", first)
    cells[name] = cells[name] + 1e-15 if isinstance(cells[name], float) else cells[name] + "x"
    monkeypatch.setattr(ModelDirectory, "golden", property(lambda _: golden))
    with pytest.raises(BackupError, match="another prediction") as caught:
        drill(kept.settings, DrillSpec(requests=0))
    assert caught.value.faults[0].startswith("golden row 3, ")
    assert len(caught.value.faults) == 1
    assert not list(kept.settings.staging.glob("drill-*"))


def test_artifacts_that_the_backup_lacks_fail_it(kept: SimpleNamespace) -> None:
    later = backup(kept.settings, SPEC.model_copy(update={"artifacts": False}))
    try:
        with pytest.raises(BackupError, match="artifacts"):
            drill(kept.settings)
    finally:
        for path in later.path.iterdir():
            path.unlink()
        later.path.rmdir()


def test_a_damaged_backup_fails_it(kept: SimpleNamespace) -> None:
    chunk = max(chunk_files(kept.settings.backups), key=lambda path: path.stat().st_size)
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-1])
    try:
        with pytest.raises(BackupError, match="damaged"):
            drill(kept.settings)
    finally:
        chunk.with_name(f"{chunk.name}.damaged").unlink(missing_ok=True)
        chunk.write_bytes(content)


def test_a_backup_without_what_was_live_fails_it(kept: SimpleNamespace) -> None:
    check_live(kept.settings, champions(kept.ledger), datetime.now(UTC))
    check_live(kept.settings, [], datetime.now(UTC) - timedelta(days=1))  # it went live since
    with pytest.raises(BackupError, match="lacks versions") as caught:
        check_live(kept.settings, [], datetime.now(UTC))
    assert caught.value.expected == "demo version 1"


def test_a_home_without_a_live_version_is_restored_and_says_so(
    home: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    Ledger.open(home).close()
    backup(home, SPEC)
    report = drill(home)
    assert (report.proved, report.versions) == ((), 0)
    assert "nothing was served" in caplog.text


def test_it_needs_no_network(kept: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    send = httpx.Client.send

    def note(client: httpx.Client, request: httpx.Request, **options: object) -> httpx.Response:
        asked.append(request.url.host)
        return send(client, request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.Client, "send", note)
    drill(kept.settings, DrillSpec(requests=1))
    assert set(asked) <= {"127.0.0.1", "localhost", "service"}


@pytest.mark.slow
def test_a_backup_in_a_bucket_is_proved_as_well(kept: SimpleNamespace, bucket: str, s3_endpoint: str) -> None:
    away = kept.settings.model_copy(update={"backups_folder": f"s3://{bucket}/b", "s3_endpoint": s3_endpoint})
    made = backup(away, SPEC)
    report = drill(away)
    assert report.backup == made.name
    assert [(proved["version"], proved["logged"]) for proved in report.proved] == [(1, 3)]
