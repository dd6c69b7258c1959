"""B1: backups while others publish and delete: all verify, nothing dangles, and no writer waits.

Run as a script, this file is one writer.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import settings as configuration
from pipelines.backup.backup import backup, list_backups
from pipelines.backup.copying import copy_database, database_faults
from pipelines.backup.restore import restore
from pipelines.backup.spec import BackupSpec
from pipelines.backup.verify import verify_backups
from pipelines.inference.manifest import verify_manifest, write_manifest
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings
from pipelines.storage import adopt_model

pytestmark = pytest.mark.fault

FULL = bool(os.environ.get("AIMASS_FULL"))
BACKUPS = 20 if FULL else 4
WRITERS = 8
SPEC = BackupSpec(free_share=0, keep=1000)


def write(home: Path, worker: str) -> None:
    """Publish versions with a run in MLflow, and delete each third, until the file ``stop`` is there."""
    settings = configuration.load(home=home)
    number = 0
    with Ledger.open(settings) as ledger:
        while not (home / "stop").exists():
            number += 1
            name, night = f"model{worker}", f"night-{number}"
            source = settings.run_dir / f"{name}-{number}"
            source.mkdir(parents=True)
            (source / "model.json").write_text(f'{{"format": 1, "of": "{name} {number}"}}')
            (source / "weights.bin").write_bytes(os.urandom(5_000))
            write_manifest(source, signing_key(settings).read_bytes())
            uri, digest = adopt_model(settings, source, name)
            shutil.rmtree(source)
            run = f"{name}-{number}"
            artifacts = settings.mlflow_dir / "artifacts" / name / run / "artifacts"
            artifacts.mkdir(parents=True)
            (artifacts / "card.html").write_text(run)
            with closing(sqlite3.connect(settings.mlflow_dir / "mlflow.db", timeout=30)) as mlflow, mlflow:
                mlflow.execute("INSERT INTO runs VALUES (?, ?)", (run, artifacts.as_uri()))
            ledger.reserve(name, night, 1)
            ledger.assign_version(name, night, 1)
            ledger.advance(name, night, 1, state="registered", model_uri=uri, model_digest=digest, mlflow_run=run)
            if number % 3 == 0:
                with ledger.transaction() as connection:
                    connection.exec_driver_sql("DELETE FROM publications WHERE model_uri = ?", (uri,))
                shutil.rmtree(settings.storage / uri)


def test_backups_while_eight_publish_and_delete_verify_and_nothing_dangles(home: Settings, tmp_path: Path) -> None:
    Ledger.open(home).close()
    signing_key(home)
    with closing(sqlite3.connect(home.mlflow_dir / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE runs (run_uuid, artifact_uri)")
    writers = [
        subprocess.Popen([sys.executable, __file__, str(home.home), str(worker)], stderr=subprocess.PIPE)
        for worker in range(WRITERS)
    ]
    try:
        while len(list((home.storage / "models").glob("*/*"))) < WRITERS:
            assert all(writer.poll() is None for writer in writers)
            time.sleep(0.1)
        for _ in range(BACKUPS):
            backup(home, SPEC)
    finally:
        (home.home / "stop").touch()
        ends = [(writer.communicate(timeout=60)[1], writer.returncode) for writer in writers]
    assert [code for _, code in ends] == [0] * WRITERS, ends[0][0]
    found = verify_backups(home, list_backups(home))
    assert len(found) == BACKUPS
    assert not any(found.values()), found
    for folder in list_backups(home)[:: 1 if FULL else 2]:
        into = tmp_path / folder.name
        assert restore(home, folder.name, into).notices == ()
        with Ledger.open(configuration.load(home=into)) as ledger:
            models = {path.name for path in (into / "storage" / "models").iterdir()}
            versions = [row for model in models for row in ledger.versions(model) if row.model_uri]
        assert versions
        for row in versions:
            assert verify_manifest(into / "storage" / row.model_uri, public_key(home)) == row.model_digest
            card = into / "mlflow" / "artifacts" / row.model / str(row.mlflow_run) / "artifacts" / "card.html"
            assert card.read_text() == row.mlflow_run
        with closing(sqlite3.connect(into / "mlflow" / "mlflow.db")) as connection:
            runs = dict(connection.execute("SELECT run_uuid, artifact_uri FROM runs"))
        assert {row.mlflow_run for row in versions} <= runs.keys()
        assert all(address.startswith(into.as_uri()) for address in runs.values())


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_no_writer_is_held_for_more_than_200_ms(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("CREATE TABLE rows (number INTEGER, text BLOB)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", ((n, os.urandom(4_000)) for n in range(25_000)))
    stop, waits = threading.Event(), []

    def writes() -> None:
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")  # so that waits for the disk are not counted
            while not stop.is_set():
                started = time.monotonic()
                connection.execute("UPDATE rows SET number = number + 1 WHERE rowid = 7")
                waits.append(time.monotonic() - started)
                time.sleep(0.005)

    writer = threading.Thread(target=writes)
    writer.start()
    try:
        time.sleep(0.2)
        copy_database(path, tmp_path / "copy.db")
    finally:
        stop.set()
        writer.join()
    assert database_faults(tmp_path / "copy.db") == []
    assert len(waits) > 20
    assert max(waits) <= 0.2, sorted(waits)[-5:]


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
