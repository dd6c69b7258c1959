from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from backups import chunk_files, old_backup, stored
from calls import operate

from pipelines import secret_files
from pipelines import settings as configuration
from pipelines.artifacts import night_slug
from pipelines.backup.backup import backup, list_backups
from pipelines.backup.restore import restore, verify_backup
from pipelines.backup.spec import BackupSpec
from pipelines.errors import BackupError, SpecError
from pipelines.inference.manifest import verify_manifest, write_manifest
from pipelines.ingestion.history.store import History
from pipelines.ledger import Ledger
from pipelines.locks import deletion_lock
from pipelines.mart.origin import Origin
from pipelines.mart.publish import Wish, publish
from pipelines.mart.tables import TABLE, known_version
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings
from pipelines.storage import adopt_model, read_table, write_table

SPEC = BackupSpec(free_share=0)


def add_version(home: Settings, number: int) -> Path:
    """Publish one small signed model directory and its ledger rows."""
    source = home.run_dir / f"model-{number}"
    (source / "members").mkdir(parents=True)
    (source / "model.json").write_text(f'{{"format": 1, "number": {number}}}')
    (source / "members" / "0-linear.npz").write_bytes(bytes(range(256)) * (number + 1))
    write_manifest(source, signing_key(home).read_bytes())
    uri, digest = adopt_model(home, source, "demo")
    led = Ledger.open(home)
    night = night_slug(f"night-{number}")
    led.reserve("demo", night, 1)
    led.assign_version("demo", night, 1)
    led.advance("demo", night, 1, state="registered", model_uri=uri, model_digest=digest)
    led.close()
    return home.storage / uri


@pytest.fixture
def lived_in(home: Settings) -> Settings:
    """A home with two versions, an MLflow database, DAG files, a suite and secrets."""
    for number in range(2):
        add_version(home, number)
    with closing(sqlite3.connect(home.mlflow_dir / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")
        connection.commit()
    home.dags.mkdir(parents=True, exist_ok=True)
    (home.dags / "retrain_demo.py").write_text('"""demo"""\n')
    (home.dags.parent / "expectations" / "demo").mkdir(parents=True, exist_ok=True)
    (home.dags.parent / "expectations" / "demo" / "suite.json").write_text("{}")
    secret_files.secret(home, "airflow_password")
    add_increment(home, 1)
    return home


def add_increment(home: Settings, day: int) -> Path:
    """Keep what a night read from a database."""
    table = pa.table({"n": list(range(100 * day))})
    kept = History(home, "demo", "orders")
    as_of = datetime(2026, 3, day, tzinfo=UTC)
    added = kept.add(lambda folder: write_table(table, folder), as_of=as_of, watermark=day)
    kept.looked(as_of)
    assert added is not None
    return added.folder


def test_a_backup_waits_until_what_is_being_deleted_is_gone(lived_in: Settings) -> None:
    with ThreadPoolExecutor(1) as pool:
        with deletion_lock(lived_in.run_dir):
            going = pool.submit(backup, lived_in, SPEC)
            with pytest.raises(TimeoutError):
                going.result(0.5)
            assert list_backups(lived_in) == []
        assert going.result(30).models == 2
    with deletion_lock(lived_in.run_dir):
        pass  # and lets go of it


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "bit":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


def test_backup_holds_databases_models_and_project_but_no_secret(lived_in: Settings) -> None:
    report = backup(lived_in, SPEC)
    names = set(stored(lived_in, report.path))
    assert set(report.databases) == {"home/ledger.db", "home/mlflow/mlflow.db"}
    assert report.absent == ("airflow/airflow.db",)
    assert report.models == 2
    assert {"project/dags/retrain_demo.py", "project/expectations/demo/suite.json"} <= names
    assert not [name for name in names if "secret" in name or name.endswith((".pem", "-wal", "-shm"))]
    secrets = [path.read_bytes().strip() for path in lived_in.secrets.iterdir()]
    assert not [name for name, content in stored(lived_in, report.path).items() if any(s in content for s in secrets)]
    assert list_backups(lived_in) == [report.path]
    assert verify_backup(lived_in, report.path) == []


def test_everything_is_private_at_any_umask(lived_in: Settings) -> None:
    before = os.umask(0o000)
    try:
        report = backup(lived_in, SPEC)
        restore(lived_in, report.name, lived_in.home.parent / "again")
    finally:
        os.umask(before)
    for root in (lived_in.backups, lived_in.home.parent / "again"):
        for path in (root, *root.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_restored_home_has_the_same_rows_and_loads_the_same_models(lived_in: Settings, tmp_path: Path) -> None:
    report = backup(lived_in, SPEC)
    into = tmp_path / "elsewhere" / "home"
    assert restore(lived_in, "latest", into).files == report.files
    again = configuration.load(home=into)
    before, after = Ledger.open(lived_in), Ledger.open(again)
    assert before.versions("demo") == after.versions("demo")
    for row in after.versions("demo"):
        assert files_of(again.storage / row.model_uri) == files_of(lived_in.storage / row.model_uri)
        assert verify_manifest(again.storage / row.model_uri, public_key(again)) == row.model_digest
    assert (into / "project" / "dags" / "retrain_demo.py").read_text() == '"""demo"""\n'
    before.close()
    after.close()


def test_the_history_is_restored_and_goes_on(lived_in: Settings, tmp_path: Path) -> None:
    add_increment(lived_in, 2)
    backup(lived_in, SPEC)
    restore(lived_in, "latest", tmp_path / "again")
    before, after = (
        History(home, "demo", "orders") for home in (lived_in, configuration.load(home=tmp_path / "again"))
    )
    day = datetime(2026, 3, 2, tzinfo=UTC)
    assert after.digest(day) == before.digest(day)
    assert [read_table(table).num_rows for table in after.tables(day)] == [100, 200]
    assert after.watermark(day) == 2
    assert after.is_past(datetime(2026, 3, 1, tzinfo=UTC))
    left_out = backup(lived_in, SPEC.model_copy(update={"history": False})).path
    assert not [name for name in stored(lived_in, left_out) if "/history/" in name]


def test_published_tables_are_restored(lived_in: Settings, tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2]})
    with Ledger.open(lived_in) as ledger:
        row, _ = publish(lived_in, ledger, "visits", Origin(table.schema, table.to_batches(), {}), Wish(), "test")
    backup(lived_in, SPEC)
    restore(lived_in, "latest", tmp_path / "again")
    again = configuration.load(home=tmp_path / "again")
    assert known_version(again, "mart:visits", datetime.now(UTC)) == row
    assert read_table(again.storage / row.uri / TABLE)["n"].to_pylist() == [1, 2]


def test_a_damaged_increment_is_named_and_the_rest_is_kept(lived_in: Settings) -> None:
    whole = add_increment(lived_in, 2)
    damaged = next((lived_in.storage / "history" / "demo" / "orders").glob("20260301*"))
    damage(next(damaged.glob("rows/*.parquet")), "bit")
    with pytest.raises(BackupError, match="increments are not in it") as caught:
        backup(lived_in, SPEC)
    assert caught.value.faults == [f"history demo/orders/{damaged.name}: a published folder is damaged"]
    folder = list_backups(lived_in)[-1]
    held = {str(Path(name).parents[1]) for name in stored(lived_in, folder) if name.endswith(".parquet")}
    assert f"home/{whole.relative_to(lived_in.home)}" in held
    assert f"home/{damaged.relative_to(lived_in.home)}" not in held
    assert verify_backup(lived_in, folder) == []


@pytest.mark.parametrize("how", ["bit", "truncated", "empty", "gone"])
def test_every_damaged_file_is_found_before_anything_is_written(lived_in: Settings, tmp_path: Path, how: str) -> None:
    good = backup(lived_in, SPEC)
    aside = tmp_path / "copy"
    shutil.copytree(lived_in.backups, aside)
    bad = aside / good.name
    for path in [*chunk_files(aside), *(path for path in bad.iterdir())]:
        content = path.read_bytes()
        damage(path, how)
        with pytest.raises(BackupError) as caught:
            restore(lived_in, bad, tmp_path / "into")
        assert caught.value.faults, path
        assert good.name in caught.value.cure
        assert not (tmp_path / "into").exists()
        assert verify_backup(lived_in, bad)
        path.with_name(f"{path.name}.damaged").unlink(missing_ok=True)
        path.write_bytes(content)
    assert verify_backup(lived_in, bad) == []


@pytest.mark.parametrize("how", ["bit", "truncated", "empty", "gone"])
def test_every_damaged_file_of_an_old_backup_is_found(lived_in: Settings, tmp_path: Path, how: str) -> None:
    bad = old_backup(lived_in)
    good = backup(lived_in, SPEC)
    for name, content in files_of(bad).items():
        damage(bad / name, how)
        with pytest.raises(BackupError) as caught:
            restore(lived_in, bad, tmp_path / "into")
        assert caught.value.faults, name
        assert good.name in caught.value.cure
        assert not (tmp_path / "into").exists()
        (bad / name).write_bytes(content)


def test_all_faults_are_named_at_once(lived_in: Settings, tmp_path: Path) -> None:
    bad = old_backup(lived_in)
    model = next((bad / "home" / "storage" / "models" / "demo").glob("*/model.json"))
    (bad / "home" / "extra.txt").write_text("x")
    (bad / "home" / "link").symlink_to("/etc/hostname")
    damage(bad / "home" / "ledger.db", "truncated")
    model.unlink()
    with pytest.raises(BackupError) as caught:
        restore(lived_in, bad.name, tmp_path / "into")
    text = "\n".join(caught.value.faults)
    for part in ("extra.txt: not in the manifest", "link: a symbolic link", "ledger.db", "model.json: missing"):
        assert part in text
    assert "no other good backup" in caught.value.cure


def test_backup_signed_by_another_home_is_refused(lived_in: Settings, tmp_path: Path) -> None:
    report = backup(lived_in, SPEC)
    stranger = configuration.load(home=tmp_path / "stranger").ensure()
    with pytest.raises(BackupError, match="damaged") as caught:
        restore(stranger, report.path, tmp_path / "into")
    assert "signature" in caught.value.faults[0]


def test_nothing_is_restored_over_something(lived_in: Settings, tmp_path: Path) -> None:
    report = backup(lived_in, SPEC)
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "mine.txt").write_text("keep")
    with pytest.raises(BackupError, match="not empty"):
        restore(lived_in, report.name, tmp_path / "into")
    assert files_of(tmp_path / "into") == {"mine.txt": b"keep"}
    (tmp_path / "into" / "mine.txt").unlink()
    assert restore(lived_in, report.name, tmp_path / "into").files == report.files
    assert not list(tmp_path.glob(".into.*"))


def test_the_last_n_are_kept(lived_in: Settings) -> None:
    spec = BackupSpec(keep=2, daily=0, weekly=0, monthly=0, free_share=0)
    reports = [backup(lived_in, spec, now=datetime(2026, 3, day, tzinfo=UTC)) for day in (1, 2)]
    assert verify_backup(lived_in, reports[1].path) == []
    reports.append(backup(lived_in, spec, now=datetime(2026, 3, 3, tzinfo=UTC)))
    assert list_backups(lived_in) == [reports[1].path, reports[2].path]
    assert reports[2].removed == (reports[0].name,)


def test_partial_backup_is_never_listed_and_is_cleared_by_the_next(lived_in: Settings) -> None:
    partial = lived_in.backups / ".partial-20260301T000000.000000Z"
    partial.mkdir()
    (partial / "manifest.json").write_text("{}")
    assert list_backups(lived_in) == []
    report = backup(lived_in, SPEC)
    assert sorted(path.name for path in lived_in.backups.iterdir()) == sorted(
        [".lock", ".verified", "chunks", report.name]
    )


def test_damaged_model_directory_is_reported_and_the_sound_rest_is_kept(lived_in: Settings) -> None:
    broken = add_version(lived_in, 2)
    (broken / "model.json").write_text("{}")
    with pytest.raises(BackupError, match="1 model directories") as caught:
        backup(lived_in, SPEC)
    assert broken.name in caught.value.faults[0]
    (kept,) = list_backups(lived_in)
    assert verify_backup(lived_in, kept) == []
    assert len([name for name in stored(lived_in, kept) if name.endswith("/model.json")]) == 2


def test_bentos_that_the_ledger_names_are_in_it_damaged_ones_are_reported(lived_in: Settings) -> None:
    led = Ledger.open(lived_in)
    for number in range(2):
        folder = lived_in.bentoml_home / "bentos" / "demo" / f"v{number}"
        (folder / "src").mkdir(parents=True)
        (folder / "src" / "service.py").write_text("x = 1\n")
        write_manifest(folder, signing_key(lived_in).read_bytes())
        led.advance("demo", night_slug(f"night-{number}"), 1, bento_uri=f"demo:v{number}")
    led.close()
    assert "home/bentoml/bentos/demo/v1/src/service.py" in stored(lived_in, backup(lived_in, SPEC).path)
    (folder / "src" / "service.py").write_text("x = 2\n")
    with pytest.raises(BackupError) as caught:
        backup(lived_in, SPEC)
    assert caught.value.faults[0].startswith("bento demo:v1")
    assert verify_backup(lived_in, list_backups(lived_in)[-1]) == []


def test_model_directory_named_but_gone_is_reported(lived_in: Settings) -> None:
    shutil.rmtree(add_version(lived_in, 2))
    with pytest.raises(BackupError) as caught:
        backup(lived_in, SPEC)
    assert caught.value.faults[0].endswith("missing")


def test_backups_verify_while_others_publish(lived_in: Settings, tmp_path: Path) -> None:
    stop = threading.Event()

    def publish() -> int:
        number = 10
        while not stop.is_set():
            add_version(lived_in, number)
            number += 1
        return number - 10

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(publish)
        try:
            reports = [backup(lived_in, SPEC) for _ in range(4)]
        finally:
            stop.set()
        assert writer.result() > 0
    restore(lived_in, reports[-1].name, tmp_path / "into")
    led = Ledger.open(configuration.load(home=tmp_path / "into"))
    rows = [row for row in led.versions("demo") if row.model_uri]
    led.close()
    assert rows
    for row in rows:
        assert verify_manifest(tmp_path / "into" / "storage" / row.model_uri, public_key(lived_in)) == row.model_digest


def test_unknown_backup_names_the_known_ones(lived_in: Settings, tmp_path: Path) -> None:
    report = backup(lived_in, SPEC)
    with pytest.raises(BackupError) as caught:
        restore(lived_in, "20200101T000000.000000Z", tmp_path / "into")
    assert report.name in caught.value.expected


def test_home_without_ledger_says_so(home: Settings) -> None:
    with pytest.raises(BackupError, match="nothing to back up"):
        backup(home, SPEC)


def test_no_room_is_refused_before_anything_is_written(lived_in: Settings) -> None:
    with pytest.raises(BackupError, match="disk full"):
        backup(lived_in, BackupSpec(free_share=0.999))
    assert list_backups(lived_in) == []


def test_damaged_database_stops_the_backup(lived_in: Settings) -> None:
    (lived_in.mlflow_dir / "mlflow.db").write_bytes(b"no database at all" * 400)
    with pytest.raises(BackupError, match="database"):
        backup(lived_in, SPEC)
    assert list_backups(lived_in) == []
    assert not list(lived_in.backups.glob(".partial-*"))


def test_two_backups_at_once_one_is_refused(lived_in: Settings) -> None:
    import fcntl

    with (lived_in.backups / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup"):
            backup(lived_in, SPEC)


def test_command_reports_by_exit_code(
    lived_in: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AIMASS_HOME", str(lived_in.home))
    assert operate(tmp_path, "backup", free_share=0) == 0
    assert operate(tmp_path, "backup", free_share=0.999) == BackupError.exit_code
    assert operate(tmp_path, "backup", keeep=3) == SpecError.exit_code
    assert capsys.readouterr().out == ""
    assert "keeep" in caplog.text
