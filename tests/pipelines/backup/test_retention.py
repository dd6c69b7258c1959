from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime, timedelta

from backups import chunk_files, manifest_of, stored

from pipelines.backup.backup import backup, list_backups
from pipelines.backup.manifest import MANIFEST
from pipelines.backup.retention import collect_garbage, too_old
from pipelines.backup.shelf import begun, name_at, stamp
from pipelines.backup.spec import BackupSpec
from pipelines.backup.verify import verify_backup
from pipelines.settings import Settings

ONLY = {"keep": 1, "daily": 0, "weekly": 0, "monthly": 0, "free_share": 0}
START = datetime(2026, 1, 1, 3, 30, tzinfo=UTC)


def nightly(days: int) -> list[str]:
    return [name_at(START + timedelta(days=day)) for day in range(days)]


def after(names: list[str], spec: BackupSpec, verified: str | None = None) -> list[str]:
    gone = too_old(names, spec, verified)
    return [name for name in names if name not in gone]


def test_a_year_of_nights_leaves_days_weeks_and_months() -> None:
    kept: list[str] = []
    for name in nightly(365):
        kept = after([*kept, name], BackupSpec(keep=1))
    days = [begun(name).date().isoformat() for name in kept]
    assert days[-7:] == [f"2026-12-{day}" for day in range(25, 32)]  # daily, which holds the Sunday 27 too
    assert days[-9:-7] == ["2026-12-13", "2026-12-20"]  # Sundays; the fourth week has just begun
    assert days[:-9] == ["2026-07-31", "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30"]


def test_the_last_of_a_day_is_its_daily_one() -> None:
    names = [name_at(START + timedelta(days=day, hours=hour)) for day in range(3) for hour in range(4)]
    kept = after(names, BackupSpec(keep=2, daily=3, weekly=0, monthly=0))
    assert [begun(name).hour for name in kept] == [6, 6, 5, 6]


def test_the_newest_verified_one_is_kept_whatever_the_rules_say() -> None:
    names = nightly(20)
    assert after(names, BackupSpec(**ONLY), verified=names[3]) == [names[3], names[-1]]


def test_a_backup_that_goes_takes_the_chunks_that_no_other_names(small: Settings) -> None:
    spec = BackupSpec(**ONLY)
    (small.dags / "one.py").parent.mkdir(exist_ok=True)
    (small.dags / "one.py").write_text("1" * 3000)
    first = backup(small, spec, now=START)
    alone = set(manifest_of(small, first.path)["files"]["project/dags/one.py"]["chunks"])
    (small.dags / "one.py").unlink()
    second = backup(small, spec, now=START + timedelta(days=1))
    assert second.removed == ()  # the first is the only one that was read back whole
    assert verify_backup(small, second.path) == []
    third = backup(small, spec, now=START + timedelta(days=2))
    assert third.removed == (first.name,)
    assert not alone & {path.name for path in chunk_files(small.backups)}
    assert [verify_backup(small, path) for path in list_backups(small)] == [[], []]
    named = {chunk for path in list_backups(small) for chunk in manifest_of(small, path)["chunks"]}
    assert {path.name for path in chunk_files(small.backups)} == named


def test_nothing_is_removed_while_others_read(small: Settings) -> None:
    spec = BackupSpec(**ONLY)
    first = backup(small, spec, now=START)
    second = backup(small, spec, now=START + timedelta(days=1))
    stamp(second.path, whole=True)
    descriptor = os.open(small.backups, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert backup(small, spec, now=START + timedelta(days=2)).removed == ()
    assert stored(small, first.path)
    os.close(descriptor)
    assert first.name in backup(small, spec, now=START + timedelta(days=3)).removed


def test_with_a_manifest_that_cannot_be_read_no_chunk_goes(small: Settings) -> None:
    report = backup(small, BackupSpec(**ONLY))
    stray = small.backups / "chunks" / "ab" / "abcd"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"left by a killed backup")
    content = (report.path / MANIFEST).read_bytes()
    (report.path / MANIFEST).write_bytes(content[:-1])
    assert collect_garbage(small) == 0
    (report.path / MANIFEST).write_bytes(content)
    assert collect_garbage(small) == 1
    assert not stray.exists()
    assert verify_backup(small, report.path) == []


def test_what_a_killed_backup_put_into_the_store_is_swept_by_the_next(small: Settings) -> None:
    backup(small, BackupSpec(**ONLY))
    stray = small.backups / "chunks" / "ab" / "abcd"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"left by a killed backup")
    (small.backups / ".partial-20260101T000000.000000Z").mkdir()
    backup(small, BackupSpec(**ONLY))
    assert not stray.exists()
