"""B6: over a live home only with --force; a full disk, in restore and in backup: all is as before.

Run as a script, this file acts on a file system that is really full: a small tmpfs in a mount namespace of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import settings as configuration
from pipelines.backup import replace
from pipelines.backup.backup import backup
from pipelines.backup.restore import restore
from pipelines.backup.spec import BackupSpec
from pipelines.errors import BackupError
from pipelines.ledger import Ledger
from pipelines.secret_files import secret
from pipelines.settings import Settings

pytestmark = pytest.mark.fault

SPEC = BackupSpec(free_share=0)


def state(folder: Path) -> dict[str, str]:
    """Return the digest of every file."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".verified" not in path.parts)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture
def live(home: Settings) -> Settings:
    """A home with a ledger, secrets, a backup, and a change since."""
    Ledger.open(home).close()
    secret(home, "airflow_password")
    backup(home, SPEC)
    with Ledger.open(home) as ledger:
        ledger.alert(None, "later", "after the backup", "later")
    return home


def test_refused_without_force(live: Settings) -> None:
    before = state(live.home)
    with pytest.raises(BackupError, match="not empty") as caught:
        restore(live, "latest", live.home)
    assert "--force" in caught.value.cure
    assert state(live.home) == before


def test_other_files_are_not_set_aside_even_with_force(live: Settings, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(BackupError, match="not empty"):
        restore(live, "latest", tmp_path / "mine", force=True)
    assert state(tmp_path / "mine").keys() == {"thesis.txt"}


def test_with_force_the_home_is_set_aside_whole(live: Settings) -> None:
    before, backups = state(live.home), state(live.backups)
    stopped: list[bool] = []
    report = restore(
        live, "latest", live.home, force=True, before_switch=lambda: stopped.append((live.home / "ledger.db").is_file())
    )
    assert stopped == [True]
    assert report.replaced is not None
    aside = state(report.replaced)
    assert {name: aside[name] for name in before if not name.startswith("backups/")} == {
        name: digest for name, digest in before.items() if not name.startswith("backups/")
    }
    assert state(live.backups) == backups
    with Ledger.open(live) as ledger:
        assert ledger.alerts() == []
    assert (live.secrets / "airflow_password").read_text() == (report.replaced / "secrets/airflow_password").read_text()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_failure_at_any_step_of_the_switch_leaves_the_home_as_before(
    live: Settings, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = state(live.home)
    rename, count = os.rename, 0

    def fails(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == step:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(replace.os, "rename", fails)
    with pytest.raises(OSError, match="Input/output"):
        restore(live, "latest", live.home, force=True)
    monkeypatch.undo()
    assert state(live.home) == before
    assert not [path for path in live.home.parent.iterdir() if "restor" in path.name]


def _on_a_full_disk(disk: Path) -> None:
    shutil.disk_usage = lambda _path: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40)  # type: ignore[attr-defined,assignment] # it fills after the look
    live = configuration.load(home=disk / "home", dags_folder=disk / "dags").ensure()
    Ledger.open(live).close()
    live.dags.mkdir()
    first = backup(live, SPEC)
    (live.dags / "big.py").write_bytes(os.urandom(3_000_000))
    second = backup(live, SPEC)
    (live.dags / "big.py").write_bytes(os.urandom(2_000_000))
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(1 << 14))
        except OSError:
            os.truncate(filler, filler.stat().st_size - 1_000_000)
    before = state(live.home)
    for act in (
        lambda: backup(live, SPEC),
        lambda: restore(live, second.name, disk / "into"),
        lambda: restore(live, second.name, live.home, force=True),
    ):
        with pytest.raises(BackupError, match="disk full"):
            act()
        assert state(live.home) == before
        assert sorted(path.name for path in disk.iterdir()) == ["dags", "filler", "home"]
    filler.unlink()
    third = backup(live, SPEC)
    for each in (first, second, third):
        restore(live, each.name, disk / "into")
        shutil.rmtree(disk / "into")
    print("as before")


def test_a_full_disk_is_one_clear_error_and_all_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    script = f'mount -t tmpfs -o size=16m none "$1/disk" && exec "{sys.executable}" "{__file__}" "$1/disk"'
    names = [name for name in os.environ if name.startswith("AIMASS_")]
    environment = {name: value for name, value in os.environ.items() if name not in names}
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine has no mount namespaces for users")
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script, "-", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "as before\n"


if __name__ == "__main__":
    _on_a_full_disk(Path(sys.argv[1]))
