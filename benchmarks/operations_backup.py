"""Backup and restore of a home, beside restic on the same tree."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from operations_home import change, make_home

from pipelines import settings as configuration
from pipelines.backup.backup import backup
from pipelines.backup.copying import size_below
from pipelines.backup.restore import restore
from pipelines.backup.spec import BackupSpec
from pipelines.backup.verify import verify_backup
from pipelines.settings import Settings

CHANGED = 0.01
SPEC = BackupSpec(free_share=0)
RATE, SHARE, HELD, RESTORE = 150.0, 0.10, 0.2, 180.0
"""Targets: MB/s of the first backup, share of time and size of the second, seconds a writer waits, seconds per GB."""


def compare(root: Path, megabytes: int) -> list[str]:
    """Return the lines of the table."""
    home = configuration.load(home=root / "home", dags_folder=root / "dags").ensure()
    make_home(home, megabytes)
    size = size_below(home.storage) + size_below(home.mlflow_dir) + home.ledger_path.stat().st_size
    restic = Restic(home.home, root / "restic") if shutil.which("restic") else None
    later = datetime.now(UTC) + timedelta(hours=1)
    os.sync()
    ours: dict[str, float] = {}
    ours["first"], first = timed(lambda: backup(home, SPEC, now=later))
    theirs: dict[str, float] = {}
    if restic:
        os.sync()
        theirs["first"], _ = timed(restic.backup)
        theirs["first size"] = size_below(restic.repository)
    ours["nothing"], _ = timed(lambda: backup(home, SPEC, now=later + timedelta(hours=1)))
    if restic:
        theirs["nothing"], _ = timed(restic.backup)
    change(home, CHANGED, megabytes)
    os.sync()
    before = size_below(restic.repository) if restic else 0
    ours["second"], second = timed(lambda: backup(home, SPEC, now=later + timedelta(hours=2)))
    if restic:
        theirs["second"], _ = timed(restic.backup)
        theirs["second size"] = size_below(restic.repository) - before
    held = longest_wait(home, lambda: backup(home, SPEC, now=later + timedelta(hours=3)))
    ours["verify"], faults = timed(lambda: verify_backup(home, second.path))
    assert faults == []
    ours["restore"], _ = timed(lambda: restore(home, second.name, root / "into"))
    if restic:
        theirs["verify"], _ = timed(restic.check)
        theirs["restore"], _ = timed(lambda: restic.restore(root / "into-restic"))
    gigabytes = size / 1e9

    def row(name: str, mine: str, other: str, target: str) -> str:
        return f"| {name} | {mine} | {other if restic else '-'} | {target} |"

    share = ours["second"] / ours["first"], second.new_bytes / first.new_bytes
    return [
        f"{size / 1e6:,.0f} MB in {first.files} files, 2 cores; {CHANGED:.0%} changed: new versions and rows",
        "",
        "| | AI Mass | restic 0.14 | target |",
        "|---|---|---|---|",
        row(
            "first backup",
            f"{ours['first']:.1f} s, {size / 1e6 / ours['first']:.0f} MB/s",
            f"{theirs.get('first', 1):.1f} s, {size / 1e6 / theirs.get('first', 1):.0f} MB/s",
            f"{RATE:.0f} MB/s{mark(size / 1e6 / ours['first'] >= RATE)}",
        ),
        row("stored", f"{first.new_bytes / 1e6:.0f} MB", f"{theirs.get('first size', 0) / 1e6:.0f} MB", ""),
        row("nothing changed", f"{ours['nothing']:.2f} s", f"{theirs.get('nothing', 0):.2f} s", ""),
        row(
            "1 % changed, time",
            f"{ours['second']:.2f} s, {share[0]:.1%}",
            f"{theirs.get('second', 0):.2f} s, {theirs.get('second', 0) / theirs.get('first', 1):.1%}",
            f"{SHARE:.0%}{mark(share[0] <= SHARE)}",
        ),
        row(
            "1 % changed, size",
            f"{second.new_bytes / 1e6:.1f} MB, {share[1]:.1%}",
            f"{theirs.get('second size', 0) / 1e6:.1f} MB, "
            f"{theirs.get('second size', 0) / theirs.get('first size', 1):.1%}",
            f"{SHARE:.0%}{mark(share[1] <= SHARE)}",
        ),
        row(
            "longest wait of a writer",
            f"{held * 1e3:.0f} ms",
            "none; databases as they are",
            f"{HELD * 1e3:.0f} ms{mark(held <= HELD)}",
        ),
        row("read back, every byte", f"{ours['verify']:.1f} s", f"{theirs.get('verify', 0):.1f} s", ""),
        row(
            "restore",
            f"{ours['restore']:.1f} s, {ours['restore'] / gigabytes:.1f} s/GB",
            f"{theirs.get('restore', 0):.1f} s",
            f"{RESTORE:.0f} s/GB{mark(ours['restore'] / gigabytes <= RESTORE)}",
        ),
    ]  # fmt: skip


def mark(met: bool) -> str:
    """Return what is said of a target that is missed."""
    return "" if met else ": missed"


def timed(act: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds that something took, and what it returned."""
    started = time.monotonic()
    result = act()
    return time.monotonic() - started, result


def longest_wait(home: Settings, act: Callable[[], object]) -> float:
    """Return the longest time that a write into either database took while something was done."""
    stop, waits = threading.Event(), [0.0]

    def write(path: Path, statement: str) -> None:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")  # waits for the disk are not counted
            while not stop.wait(0.02):
                started = time.monotonic()
                connection.execute(statement)
                waits.append(time.monotonic() - started)

    writers = [
        threading.Thread(target=write, args=(home.ledger_path, "UPDATE filler SET note = 'x' WHERE id = 7")),
        threading.Thread(
            target=write, args=(home.mlflow_dir / "mlflow.db", "UPDATE metrics SET value = 0 WHERE rowid = 7")
        ),
    ]
    for writer in writers:
        writer.start()
    try:
        act()
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    return max(waits)


class Restic:
    """The program restic with a repository of its own."""

    def __init__(self, source: Path, repository: Path) -> None:
        self.source, self.repository = source, repository
        self._run("init")

    def backup(self) -> None:
        """Back up the folders that ours holds."""
        self._run("backup", *map(str, (self.source / "storage", self.source / "mlflow", self.source / "ledger.db")))

    def check(self) -> None:
        """Read all data back."""
        self._run("check", "--read-data")

    def restore(self, into: Path) -> None:
        """Restore the newest snapshot."""
        self._run("restore", "latest", "--target", str(into))

    def _run(self, *words: str) -> None:
        environment = os.environ | {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(self.repository) + "-cache"}
        subprocess.run(["restic", "--repo", str(self.repository), "--quiet", *words], env=environment, check=True)
