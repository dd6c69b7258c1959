"""A home with versions is moved to PostgreSQL and another folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from here import aimass
from moto_store import keys_of
from postgres import postgres

from pipelines import settings as configuration
from pipelines import storage
from pipelines.errors import BackupError, SpecError
from pipelines.inference.manifest import write_manifest
from pipelines.ledger import Ledger
from pipelines.ledger.moving import ledger_facts
from pipelines.migration import migrate as module
from pipelines.migration.migrate import migrate
from pipelines.migration.target import read_values
from pipelines.secret_files import signing_key

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with a live version, a bento, a token, alerts and logs; the token's text."""
    old = configuration.load(home=tmp_path_factory.mktemp("made") / "old").ensure()
    folder = old.run_dir / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    write_manifest(folder, signing_key(old).read_bytes())
    uri, digest = storage.adopt_model(old, folder, "demo")
    with Ledger.open(old) as ledger:
        ledger.reserve("demo", "night-1", 1)
        ledger.advance("demo", "night-1", 1, state="registered", model_uri=uri, model_digest=digest)
        ledger.assign_version("demo", "night-1", 1)
        ledger.want("demo", 1, "serve")
        ledger.observe("demo", 1, "ready", address="unix:/run/old", pid=7)
        ledger.switch("demo", 1, 0, "first", "test")
        token = ledger.issue_token("caller", ["predict"], 1)
        for key in ("one", "two"):
            ledger.alert("demo", "drift", f"of {key}", key=key)
    for path in (
        old.storage / "predictions" / "demo" / "2026-03-01" / "100000000000-aa.parquet",
        old.bentoml_home / "bentos" / "demo" / "v1-abc" / "bento.yaml",
        old.secrets / "private_columns",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PAR1" * 1000)
    return old.home, token


@pytest.fixture
def world(made: tuple[Path, str], tmp_path: Path) -> SimpleNamespace:
    """The old home, and the settings of a new place whose ledger is a file."""
    old = configuration.load(home=shutil.copytree(made[0], tmp_path / "old"))
    url = f"sqlite:///{tmp_path / 'new.db'}"
    path = tmp_path / "cluster.env"
    path.write_text(f"# the cluster\nAIMASS_HOME={tmp_path / 'new'}\nexport AIMASS_LEDGER_URL='{url}'\n")
    new = configuration.load(home=tmp_path / "new", ledger_url=url)
    return SimpleNamespace(old=old, new=new, path=path, said=[], token=made[1], ledger_url=url)


@pytest.fixture
def postgresql(world: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """The same with a ledger in PostgreSQL."""
    with postgres() as address:
        world.path.write_text(world.path.read_text().replace(world.ledger_url, address))
        world.new = configuration.load(home=world.new.home, ledger_url=address)
        yield world


def digests(folder: Path) -> dict[str, str]:
    """Return the content of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))  # whoever reads SQLite's file makes them
    }


def test_all_of_it_arrives_and_the_old_home_stays_as_it_is(postgresql):
    world = postgresql
    before = digests(world.old.home)
    dry = aimass("migrate", "--to", str(world.path), "--dry-run", AIMASS_HOME=str(world.old.home))
    assert dry.returncode == 0, dry.stderr
    assert "storage" in dry.stdout
    assert not world.new.home.exists(), "it only tells"

    done = aimass("migrate", "--to", str(world.path), AIMASS_HOME=str(world.old.home))
    assert done.returncode == 0, done.stderr
    assert "1 versions verified" in done.stdout
    assert "hash chain of 1 switches verified" in done.stderr
    assert digests(world.old.home) == before

    old, new = Ledger.open(world.old), Ledger.open(world.new)
    with old, new:
        assert ledger_facts(new) == ledger_facts(old)
        assert new.broken_history() is None
        assert new.route("demo") == 1
        assert new.check_token(world.token).name == "caller"
        (row,) = new.serving("demo")
        assert (row.desired, row.actual, row.address) == ("serve", "absent", None), "nothing of it runs there yet"
        assert new.alert("demo", "drift", "of three", key="three"), "numbers go on after those that were copied"
        assert [each.id for each in new.alerts()] == [1, 2, 3]
    moved = digests(world.new.storage)
    assert {name: digest for name, digest in before.items() if name.startswith("storage/models")} == {
        f"storage/{name}": digest for name, digest in moved.items() if name.startswith("models")
    }
    assert "predictions/demo/2026-03-01/100000000000-aa.parquet" in moved
    assert (world.new.bentoml_home / "bentos" / "demo" / "v1-abc" / "bento.yaml").is_file()
    assert (world.new.secrets / "signing_key.pem").stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o077 for path in world.new.home.rglob("*")} == {0}

    again = aimass("migrate", "--to", str(world.path), AIMASS_HOME=str(world.old.home))
    assert again.returncode == 0
    assert "nothing was copied" in again.stdout
    with Ledger.open(world.new) as ledger:
        assert len(ledger.alerts()) == 3, "what came since is left alone"


def test_a_call_that_was_killed_is_gone_on_with(world, monkeypatch):
    copied = []

    def dies(*arguments):
        copied.append(arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "copy_ledger_rows", dies)
        with pytest.raises(KeyboardInterrupt):
            migrate(world.old, world.path, world.said.append)
    assert len(copied) == 1
    found = migrate(world.old, world.path, world.said.append)
    assert (found.already, found.files, found.models) == (False, 0, 1), "the files had arrived"
    assert json.loads((world.new.home / "migration.json").read_text())["state"] == "done"


def test_the_data_of_another_installation_is_left_alone(world, tmp_path):
    with Ledger.open(world.new) as ledger:
        ledger.alert("other", "drift", "of another", key="x")
    shutil.rmtree(world.new.home)
    with pytest.raises(BackupError, match="holds other data"):
        migrate(world.old, world.path, world.said.append)
    assert not (world.new.storage / "models").exists(), "no file was copied"

    shutil.rmtree(world.new.home)
    (world.new.storage / "models").mkdir(parents=True)
    with pytest.raises(BackupError, match="another installation"):
        migrate(world.old, world.path, world.said.append)


def test_a_damaged_version_stops_the_move_before_the_ledger(world):
    with Ledger.open(world.old) as ledger:
        folder = world.old.storage / ledger.version("demo", 1).model_uri
    with (folder / "model.json").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BackupError, match="model directories are damaged") as caught:
        migrate(world.old, world.path, world.said.append)
    assert caught.value.faults[0].startswith("demo version 1")
    with Ledger.open(world.new) as ledger:
        assert ledger.publication("demo", "night-1") is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "missing"),
        ("AIMASS_LEDGER_URL=postgresql://x/y\n", "no home"),
        ("AIMASS_HOME\n", "no NAME=VALUE"),
        ("AIMASS_HOME={old}\n", "is the old one"),
        ("AIMASS_HOME={old}/deeper\n", "is the old one"),
        ("AIMASS_HOME={old}-new\nAIMASS_LEDGER_URL=sqlite:///{old}/ledger.db\n", "ledger is the old one"),
        ("AIMASS_HOME={old}-new\nAIMASS_LEDGER=postgresql://x/y\n", "AIMASS_LEDGER"),
        ("AIMASS_HOME={old}-new\nAIMASS_GATEWAY_PORT=7\n", "Settings"),
    ],
)
def test_wrong_settings_say_what_is_wrong(home, tmp_path, text, what):
    path = tmp_path / "wrong.env"
    path.write_text(text.replace("{old}", str(home.home)))
    with pytest.raises(SpecError) as caught:
        migrate(home, path, lambda _: None)
    assert what in str(caught.value)


def test_a_home_without_a_night_has_nothing_to_move(home, tmp_path):
    path = tmp_path / "new.env"
    path.write_text(f"AIMASS_HOME={tmp_path / 'new'}\n")
    with pytest.raises(SpecError, match="nothing to move"):
        migrate(home, path, lambda _: None)
    assert read_values(path) == {"AIMASS_HOME": str(tmp_path / "new")}


def test_storage_is_moved_into_an_object_store(world, bucket, s3_endpoint):
    publish_night(world.old)
    prefix = f"s3://{bucket}/aimass"
    with world.path.open("a") as stream:
        stream.write(f"AIMASS_STORAGE={prefix}\nAIMASS_S3_ENDPOINT={s3_endpoint}\n")
        stream.write("AIMASS_MLFLOW_ADDRESS=https://10.0.0.5:5000\n")
    card = world.old.mlflow_dir / "artifacts" / "demo" / "card.html"
    card.parent.mkdir(parents=True)
    card.write_text("<p>demo</p>")
    found = migrate(world.old, world.path, world.said.append)
    assert (found.already, found.models) == (False, 1)
    keys = keys_of(s3_endpoint, bucket, "aimass/")
    assert "aimass/predictions/demo/2026-03-01/100000000000-aa.parquet" in keys
    assert "aimass/nights/demo/one/raw/published.json" in keys
    assert "aimass/mlflow/demo/card.html" in keys, "that is where MLflow's server looks for it"
    new = configuration.load(home=world.new.home, ledger_url=world.ledger_url, storage_address=prefix)
    with Ledger.open(new) as ledger:
        uri = ledger.version("demo", 1).model_uri
    for name in (uri, "nights/demo/one/raw"):
        shutil.rmtree(new.storage / name, ignore_errors=True)
        assert digests(storage.resolve(new, name)) == digests(world.old.storage / name)
    note = world.new.home / "migration.json"
    note.write_text(note.read_text().replace('"done"', '"begun"'))
    shutil.rmtree(world.new.secrets)
    again = migrate(world.old, world.path, world.said.append)
    assert keys_of(s3_endpoint, bucket, "aimass/") == keys
    assert again.files > 0, "the secrets"

    shutil.rmtree(world.new.home)
    with pytest.raises(BackupError, match="another installation"):
        migrate(world.old, world.path, world.said.append)
    assert keys_of(s3_endpoint, bucket, "aimass/") == keys, "nobody tells whose that is"


def publish_night(old: configuration.Settings) -> None:
    """Publish the result of a stage."""
    staging = storage.stage_folder(old, "raw")
    (staging / "rows.csv").write_text("a\n1\n")
    storage.publish(staging, old.storage / "nights" / "demo" / "one" / "raw", stage="ingest")
