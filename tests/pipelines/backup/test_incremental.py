from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backups import chunk_files, manifest_of, old_backup, stored

from pipelines import settings as configuration
from pipelines.backup import writer
from pipelines.backup.backup import backup, list_backups
from pipelines.backup.restore import restore
from pipelines.backup.spec import BackupSpec
from pipelines.backup.verify import verify_backup, verify_backups
from pipelines.errors import BackupError
from pipelines.ledger import Ledger
from pipelines.settings import Settings

SPEC = BackupSpec(free_share=0)
LATER = datetime.now(UTC) + timedelta(hours=1)
"""Files count as unchanged if they are older than the newest backup."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that backups open for reading."""
    names: list[str] = []
    kept = os.open

    def note(path: object, flags: int, *rest: int, **options: int) -> int:
        if flags & os.O_NOFOLLOW and not flags & os.O_CREAT:
            names.append(str(path))
        return kept(path, flags, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(writer.os, "open", note)
    return names


def test_what_did_not_change_is_neither_read_nor_stored_again(small: Settings, opened: list[str]) -> None:
    first = backup(small, SPEC, now=LATER)
    assert any(name.endswith("weights.npz") for name in opened)
    opened.clear()
    second = backup(small, SPEC, now=LATER + timedelta(hours=1))
    read = [Path(name).name for name in opened if "chunks" not in name and not name.endswith(".lock")]
    assert sorted(read) == ["ledger.db", "mlflow.db"]  # copies, new each time
    assert second.new_bytes < first.new_bytes / 2
    assert second.bytes >= first.bytes
    assert stored(small, second.path).keys() == stored(small, first.path).keys()


def test_a_file_that_changed_in_size_time_or_inode_is_read_again(small: Settings, opened: list[str]) -> None:
    card = next(small.mlflow_dir.rglob("card.html"))
    backup(small, SPEC, now=LATER)
    for number, change in enumerate(
        (
            lambda: card.write_text("another text"),
            lambda: os.utime(card, ns=(1, 1)),
            lambda: os.replace(_copy(card), card),
        )
    ):
        change()
        opened.clear()
        report = backup(small, SPEC, now=LATER + timedelta(hours=number + 1))
        assert str(card) in opened
        assert stored(small, report.path)[f"home/{card.relative_to(small.home)}"] == card.read_bytes()


def _copy(path: Path) -> Path:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    return other


def test_a_file_as_young_as_the_newest_backup_is_read_again(small: Settings, opened: list[str]) -> None:
    backup(small, SPEC)
    opened.clear()
    backup(small, SPEC)
    assert any(name.endswith("weights.npz") for name in opened)


def test_equal_content_is_stored_once(small: Settings) -> None:
    small.dags.mkdir(exist_ok=True)
    for number in range(20):
        (small.dags / f"copy_{number}.py").write_text("x = 1\n" * 500)
    facts = manifest_of(small, backup(small, SPEC).path)
    names = {tuple(facts["files"][f"project/dags/copy_{number}.py"]["chunks"]) for number in range(20)}
    assert len(names) == 1


def test_a_damaged_chunk_is_found_and_stored_again_by_the_next_backup(small: Settings) -> None:
    first = backup(small, SPEC, now=LATER)
    chunk = next(
        small.backups / "chunks" / name[:2] / name
        for name in manifest_of(small, first.path)["files"]["home/settings.json"]["chunks"]
    )
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    second = backup(small, SPEC, now=LATER + timedelta(hours=1))
    found = verify_backups(small, [first.path, second.path])
    assert all("home/settings.json" in faults[0] for faults in found.values())
    third = backup(small, SPEC, now=LATER + timedelta(hours=2))
    assert [verify_backup(small, path) for path in list_backups(small)] == [[], [], []]
    assert third.new_bytes > 0


def test_a_truncated_chunk_is_stored_again_without_being_looked_for(small: Settings) -> None:
    report = backup(small, SPEC, now=LATER)
    for chunk in chunk_files(small.backups):
        chunk.write_bytes(chunk.read_bytes()[:-1])
    assert verify_backup(small, backup(small, SPEC, now=LATER + timedelta(hours=1)).path) == []
    assert len(verify_backup(small, report.path)) <= 2  # the former state of the two databases is gone


def test_encrypted_backups_show_nothing_and_restore(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("correct horse battery staple")
    plain = backup(small, SPEC, now=LATER)
    monkeypatch.setenv("AIMASS_BACKUPS_KEY", str(key))
    keyed = configuration.load()
    first = backup(keyed, SPEC, now=LATER + timedelta(hours=1))
    second = backup(keyed, SPEC, now=LATER + timedelta(hours=2))
    assert second.new_bytes < first.new_bytes / 2
    known = set(manifest_of(small, plain.path)["chunks"])
    sealed = [path for path in chunk_files(keyed.backups) if path.name not in known]
    assert sealed
    for path in [*sealed, *first.path.iterdir()]:
        assert b"evaluation" not in path.read_bytes()
    assert verify_backups(keyed, list_backups(keyed)).values()
    assert restore(keyed, second.name, tmp_path / "into").files == second.files
    assert (tmp_path / "into" / "mlflow" / "mlflow.db").is_file()
    with pytest.raises(BackupError, match="damaged") as caught:
        restore(small, second.name, tmp_path / "other")
    assert "AIMASS_BACKUPS_KEY" in caught.value.faults[0]


def test_a_key_file_that_is_absent_or_short_is_refused(small: Settings, tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("1234")
    for path in (short, tmp_path / "none"):
        with pytest.raises(BackupError, match="key of the backups"):
            backup(configuration.load(backups_key=path), SPEC)


def test_backups_lie_in_the_folder_of_the_settings(small: Settings, tmp_path: Path) -> None:
    elsewhere = configuration.load(backups_folder=tmp_path / "disk" / "backups")
    report = backup(elsewhere, SPEC)
    assert report.path.parent == tmp_path / "disk" / "backups"
    assert restore(elsewhere, "latest", tmp_path / "into").backup == report.name


def test_one_by_hand_keeps_what_the_nightly_one_keeps(small: Settings) -> None:
    backup(small, BackupSpec(free_share=0, keep=3, history=False))
    spec = manifest_of(small, backup(small).path)["spec"]
    assert (spec["keep"], spec["history"]) == (3, False)


def test_old_and_new_backups_lie_side_by_side(small: Settings, tmp_path: Path) -> None:
    old = old_backup(small)
    new = backup(small, SPEC)
    assert list_backups(small) == [old, new.path]
    assert verify_backups(small, list_backups(small)) == {old: [], new.path: []}
    report = restore(small, old.name, tmp_path / "into")
    assert "model cards" in report.notices[0]
    with Ledger.open(configuration.load(home=tmp_path / "into")) as ledger:
        (row,) = ledger.versions("demo")
    assert (tmp_path / "into" / "storage" / row.model_uri / "model.json").is_file()
