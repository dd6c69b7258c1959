"""B3, short form: the process of a backup or restore dies at many I/O calls; a partial one is never listed as good.

Run as a script, this file is the process that dies: an audit hook counts what touches the file system.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STEP = 9
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "sqlite3.connect")


class _Fuse:
    """Ends the process at the n-th I/O call, without any clean-up."""

    left = 0

    def count(self, event: str, _arguments: object) -> None:
        if self.left and event in EVENTS:
            self.left -= 1
            if not self.left:
                os._exit(77)


def _dies(fuse: _Fuse, number: int, act: object) -> bool:
    child = os.fork()
    if not child:
        fuse.left = number
        act()  # type: ignore[operator]
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77


def _script(root: Path) -> None:
    from pipelines import secret_files
    from pipelines import settings as configuration
    from pipelines.backup.backup import backup, list_backups
    from pipelines.backup.restore import restore, verify_backup
    from pipelines.backup.spec import BackupSpec
    from pipelines.inference.manifest import write_manifest
    from pipelines.ledger import Ledger
    from pipelines.storage import adopt_model

    home = configuration.load(home=root / "home").ensure()
    source = root / "model"
    source.mkdir()
    (source / "model.json").write_text("{}")
    write_manifest(source, secret_files.signing_key(home).read_bytes())
    uri, digest = adopt_model(home, source, "demo")
    led = Ledger.open(home)
    led.reserve("demo", "night", 1)
    led.advance("demo", "night", 1, state="staged", model_uri=uri, model_digest=digest)
    led.close()
    fuse, spec = _Fuse(), BackupSpec(free_share=0, keep=1000)
    backup(home, spec)
    sys.addaudithook(fuse.count)
    killed = {"backup": 0, "restore": 0}

    number = 1
    while _dies(fuse, number, lambda: backup(home, spec)):
        killed["backup"] += 1
        assert all(not verify_backup(home, path) for path in list_backups(home))
        number += STEP
    before = len(list_backups(home))
    backup(home, spec)  # the next one works, and clears what the killed ones left
    assert len(list_backups(home)) == before + 1
    assert not list(home.backups.glob(".partial-*"))

    number = 1
    while _dies(fuse, number, lambda n=number: restore(home, "latest", root / f"into-{n}")):
        killed["restore"] += 1
        into = root / f"into-{number}"
        whole = into.exists()
        if not whole:
            restore(home, "latest", into)
        assert (into / "ledger.db").is_file()
        assert (into / uri.replace("models/", "storage/models/", 1) / "model.json").is_file()
        number += STEP
    print(json.dumps(killed))


@pytest.mark.fault
def test_partial_backup_is_never_listed_as_good_and_the_next_one_works(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    killed = json.loads(done.stdout)
    assert killed["backup"] >= 5
    assert killed["restore"] >= 3


if __name__ == "__main__":
    _script(Path(sys.argv[1]))
