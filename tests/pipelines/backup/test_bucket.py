from __future__ import annotations

import json
from pathlib import Path

import pytest
from backups import manifest_of
from moto_store import client, keys_of, proxy

from pipelines import settings as configuration
from pipelines import storage
from pipelines.backup import bucket as backups_bucket
from pipelines.backup.backup import backup, list_backups
from pipelines.backup.bucket import bucket_of, locked
from pipelines.backup.listing import describe_backups
from pipelines.backup.restore import restore
from pipelines.backup.retention import collect_garbage
from pipelines.backup.shelf import reading
from pipelines.backup.spec import BackupSpec
from pipelines.backup.verify import verify_backup, verify_backups
from pipelines.errors import BackupError
from pipelines.inference.manifest import write_manifest
from pipelines.ledger import Ledger
from pipelines.secret_files import signing_key
from pipelines.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def away(home: Settings, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with one version whose backups are in a bucket."""
    monkeypatch.setenv("AIMASS_BACKUPS_FOLDER", f"s3://{bucket}/backups")
    settings = configuration.load().ensure()
    add_version(settings, 1)
    return settings


def add_version(home: Settings, number: int) -> None:
    folder = storage.stage_folder(home, "made")
    (folder / "model.json").write_text(json.dumps({"weights": list(range(2000)), "number": number}))
    write_manifest(folder, signing_key(home).read_bytes())
    uri, digest = storage.adopt_model(home, folder, "demo")
    with Ledger.open(home) as ledger:
        ledger.reserve("demo", f"n{number}", 1)
        ledger.advance("demo", f"n{number}", 1, state="staged", model_uri=uri, model_digest=digest)
        ledger.assign_version("demo", f"n{number}", 1)


def keys(home: Settings) -> list[str]:
    name = home.backups_bucket.split("/")[2]
    return [key.removeprefix("backups/") for key in keys_of(home.s3_endpoint, name)]


def elsewhere(home: Settings, tmp_path: Path) -> Settings:
    """Another machine's home with the same signing key, and nothing of the backups."""
    other = home.model_copy(update={"home": tmp_path / "other"}).ensure()
    signing_key(other).write_bytes(signing_key(home).read_bytes())
    return other


def test_another_machine_restores_what_was_backed_up(away: Settings, tmp_path: Path) -> None:
    report = backup(away)
    assert {f"{report.name}/manifest.bin", f"{report.name}/manifest.sig"} < set(keys(away))
    assert not list(away.backups.rglob("chunks")), "chunks are in the bucket alone"
    other = elsewhere(away, tmp_path)
    assert [path.name for path in list_backups(other)] == [report.name]
    assert verify_backup(other, list_backups(other)[0]) == []
    restored = restore(other, "latest", tmp_path / "into")
    assert restored.files == report.files
    with Ledger.open(away) as one, Ledger.open(configuration.load(home=tmp_path / "into")) as again:
        row = again.version("demo", 1)
        assert row.model_digest == one.version("demo", 1).model_digest
    assert (tmp_path / "into" / "storage" / row.model_uri / "model.json").is_file()
    assert describe_backups(other)[0].verified[:4].isdigit()


def test_the_next_backup_adds_what_is_new(away: Settings) -> None:
    first = backup(away)
    before = [key for key in keys(away) if key.startswith("chunks/")]
    add_version(away, 2)
    second = backup(away)
    added = [key for key in keys(away) if key.startswith("chunks/") and key not in before]
    assert 0 < len(added) < len(before) + 3
    assert second.new_bytes < first.new_bytes
    assert list(verify_backups(away, list_backups(away)).values()) == [[], []]


def test_a_damaged_chunk_is_named_set_aside_and_stored_again(away: Settings) -> None:
    report = backup(away)
    name = next(iter(manifest_of(away, report.path)["files"]["home/ledger.db"]["chunks"]))
    bucket = away.backups_bucket.split("/")[2]
    client(away.s3_endpoint).put_object(Bucket=bucket, Key=f"backups/chunks/{name[:2]}/{name}", Body=b"Pno")
    (fault,) = verify_backup(away, report.path)
    assert fault.startswith("home/ledger.db: chunk")
    assert f"chunks/{name[:2]}/{name}" not in keys(away)
    with pytest.raises(BackupError, match="damaged"):
        restore(away, report.name, away.home.parent / "into")
    again = backup(away)
    assert verify_backup(away, again.path) == []


def test_retention_removes_backups_and_their_chunks(away: Settings) -> None:
    spec = BackupSpec(keep=1, daily=1, weekly=0, monthly=0)
    first = backup(away, spec)
    add_version(away, 2)
    second = backup(away, spec)
    third = backup(away, spec)
    assert (second.removed, third.removed) == ((), (second.name,)), "the first one was read back whole"
    left = keys(away)
    assert not [key for key in left if second.name in key]
    assert [path.name for path in list_backups(away)] == [first.name, third.name]
    named = {name for path in list_backups(away) for name in manifest_of(away, path)["chunks"]}
    assert {key.rsplit("/", 1)[1] for key in left if key.startswith("chunks/")} == named
    assert "lock.json" not in left


def test_nothing_is_removed_while_another_host_reads(away: Settings, tmp_path: Path) -> None:
    spec = BackupSpec(keep=1, daily=0, weekly=0, monthly=0)
    _, second = backup(away, spec), backup(away, spec)
    other = elsewhere(away, tmp_path)
    list_backups(other)
    with reading(other.backups, bucket_of(other)):
        assert backup(away, spec).removed == ()
    assert second.name in backup(away, spec).removed


def test_two_hosts_take_turns_and_a_dead_one_is_succeeded(away: Settings, tmp_path: Path) -> None:
    other = elsewhere(away, tmp_path)
    store = bucket_of(away)
    with locked(store, other.home) as left:
        assert not left
        with pytest.raises(BackupError, match="another backup is running") as caught:
            backup(away)
        assert str(other.home) in caught.value.seen
    store.put(
        backups_bucket.LOCK, json.dumps({"host": "gone", "home": "/x", "at": "2026-01-01T00:00:00+00:00"}).encode()
    )
    assert backup(away).files > 0


def test_a_killed_backup_leaves_no_backup_and_its_chunks_are_swept(
    away: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backups_bucket, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            backup(away)
    assert list_backups(away) == []
    assert [key for key in keys(away) if key.startswith("chunks/")]
    collect_garbage(away)
    assert keys(away) == []
    assert verify_backup(away, backup(away).path) == []


def test_a_full_bucket_is_named_and_nothing_is_kept(away: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(away.s3_endpoint) as between:
        between.refuse = lambda method, path: (
            (507, "InsufficientStorage") if method == "PUT" and "/chunks/" in path else None
        )
        full = away.model_copy(update={"s3_endpoint": between.url})
        with pytest.raises(BackupError, match="bucket is full") as caught:
            backup(full)
    assert caught.value.where.startswith("s3://")
    assert list_backups(away) == []


def test_encrypted_backups_show_nothing(away: Settings, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x" * 40)
    keyed = away.model_copy(update={"backups_key": key})
    report = backup(keyed)
    bucket = away.backups_bucket.split("/")[2]
    for name in keys_of(away.s3_endpoint, bucket):
        if "chunks" in name or name.endswith(".bin"):
            content = client(away.s3_endpoint).get_object(Bucket=bucket, Key=name)["Body"].read()
            assert content[:1] == b"E"
    assert verify_backup(keyed, report.path) == []
    assert restore(keyed, report.name, tmp_path / "into").files == report.files
