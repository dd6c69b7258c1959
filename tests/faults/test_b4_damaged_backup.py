"""B4: flipped bits, missing, added and truncated files, a foreign signature: all found, and the last good one named."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backups import chunk_files, tracked_run

from pipelines import settings as configuration
from pipelines.artifacts import night_slug
from pipelines.backup.backup import backup
from pipelines.backup.blobs import Blobs
from pipelines.backup.manifest import MANIFEST, SIGNATURE, read, write
from pipelines.backup.restore import restore
from pipelines.backup.spec import BackupSpec
from pipelines.backup.verify import verify_backup
from pipelines.errors import BackupError
from pipelines.inference.manifest import write_manifest
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings
from pipelines.storage import adopt_model

pytestmark = pytest.mark.fault

FLIPS = 200 if os.environ.get("AIMASS_FULL") else 3
"""Bits per file."""


@pytest.fixture
def store(home: Settings) -> Settings:
    """A home with a version and a backup."""
    source = home.run_dir / "model"
    source.mkdir()
    (source / "model.json").write_text('{"format": 1}')
    (source / "weights.bin").write_bytes(os.urandom(3 << 20))
    write_manifest(source, signing_key(home).read_bytes())
    uri, digest = adopt_model(home, source, "demo")
    with Ledger.open(home) as ledger:
        ledger.reserve("demo", night_slug("one"), 1)
        ledger.assign_version("demo", night_slug("one"), 1)
        ledger.advance("demo", night_slug("one"), 1, state="registered", model_uri=uri, model_digest=digest)
    tracked_run(home)
    backup(home, BackupSpec(free_share=0))
    return home


def damages(folder: Path, store: Path) -> Iterator[tuple[str, Callable[[], None], Path]]:
    """Yield a name, the damage, and the file that it touches."""
    draw = random.Random(4)
    for path in (folder / MANIFEST, folder / SIGNATURE, *chunk_files(store)):
        content = path.read_bytes()
        half = content[: len(content) // 2]
        for _ in range(FLIPS):
            place = draw.randrange(len(content) * 8)
            flipped = bytearray(content)
            flipped[place // 8] ^= 1 << place % 8
            yield f"bit {place} of {path.name}", lambda p=path, c=bytes(flipped): p.write_bytes(c), path
        yield f"{path.name} truncated", lambda p=path, c=half: p.write_bytes(c), path
        yield f"{path.name} missing", path.unlink, path
        yield f"{path.name} a link", lambda p=path: _link(p), path


def _link(path: Path) -> None:
    aside = path.with_name("elsewhere")
    shutil.copy(path, aside)
    path.unlink()
    path.symlink_to("/etc/hostname")
    aside.unlink()


def test_every_damage_is_found_and_the_last_good_one_named(store: Settings, tmp_path: Path) -> None:
    good = backup(store, BackupSpec(free_share=0))
    copy = shutil.copytree(store.backups, tmp_path / "copy")
    folder = copy / good.name
    count = 0
    for name, damage, path in damages(folder, copy):
        content = path.read_bytes()
        damage()
        assert verify_backup(store, folder), name
        with pytest.raises(BackupError) as caught:
            restore(store, folder, tmp_path / "into")
        assert good.name in caught.value.cure, name
        assert not (tmp_path / "into").exists()
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.damaged").unlink(missing_ok=True)
        path.write_bytes(content)
        count += 1
    assert count > 30
    assert verify_backup(store, folder) == []
    (folder / "extra").write_text("x")
    assert verify_backup(store, folder) == ["extra: not in the manifest"]
    with pytest.raises(BackupError, match="damaged"):
        restore(store, folder, tmp_path / "into")


def test_chunks_swapped_for_each_other_are_found(store: Settings) -> None:
    first, second = chunk_files(store.backups)[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    (folder,) = (path for path in store.backups.iterdir() if path.name.endswith("Z"))
    assert any("another content" in fault for fault in verify_backup(store, folder))


def test_a_foreign_signature_and_a_manifest_of_ones_own_making_are_refused(store: Settings, tmp_path: Path) -> None:
    (folder,) = (path for path in store.backups.iterdir() if path.name.endswith("Z"))
    stranger = configuration.load(home=tmp_path / "stranger").ensure()
    facts, _ = read(folder, public_key(store), Blobs(None))
    facts.pop("format")
    write(folder, facts, Blobs(None), signing_key(stranger))
    with pytest.raises(BackupError) as caught:
        restore(store, folder, tmp_path / "into")
    assert "not this installation's signature" in caught.value.faults[0]
    assert "signing_key.pem" in (caught.value.cure or "")


def test_a_database_that_was_damaged_before_is_not_backed_up(store: Settings) -> None:
    content = store.ledger_path.read_bytes()
    for suffix in ("-wal", "-shm"):
        store.ledger_path.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
    store.ledger_path.write_bytes(content[: len(content) // 2])
    count = len(list(store.backups.glob("*Z")))
    with pytest.raises(BackupError, match="database"):
        backup(store, BackupSpec(free_share=0))
    assert len(list(store.backups.glob("*Z"))) == count
