"""K3: fail at the n-th I/O call of the atomic publish, n = 1, 2, … until it runs through.

Run as a script, this file is the process that fails: an audit hook counts what touches the file system.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.link", "os.chmod", "os.rmdir", "shutil.rmtree")
OLD, NEW = b'{"content": "old"}', b'{"content": "the new one"}'


class _BrokenError(OSError):
    """The I/O call that was made to fail."""


class _Fuse:
    """Blows at the n-th I/O call: by exception, or by ending the process without any clean-up."""

    def __init__(self) -> None:
        self.left = 0
        self.hard = False
        sys.addaudithook(lambda event, _arguments: self.count() if event in EVENTS else None)
        os.fsync = self._fsync(os.fsync)

    def _fsync(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        def fsync(descriptor: Any) -> None:
            self.count()  # fsync raises no audit event
            original(descriptor)

        return fsync

    def count(self) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                if self.hard:
                    os._exit(77)
                raise _BrokenError("made to fail")


def _attempt(fuse: _Fuse, how: str, number: int, act: Callable[[], object]) -> bool:
    """Run ``act`` with the fuse set to ``number``; tell whether it ran through."""
    if how == "exit":
        child = os.fork()
        if not child:
            fuse.hard, fuse.left = True, number
            act()
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    fuse.left = number
    try:
        act()
    except _BrokenError:
        return False
    finally:
        fuse.left = 0
    return True


def _publish_folder(fuse: _Fuse, how: str, root: Path) -> dict[str, int]:
    """Break the publishing of a folder at every call; a reader must see no folder or a whole one."""
    import pyarrow as pa
    import pyarrow.dataset

    from pipelines import storage

    table = pa.table({"a": list(range(50)), "b": ["x"] * 50})
    seen = {"absent": 0, "whole": 0}
    number, done = 0, False
    while not done:
        number += 1
        staging, target = root / f"staging-{number}", root / "published" / str(number)
        staging.mkdir()
        storage.write_table(table, staging / "rows")
        (staging / "report.json").write_text("{}")
        done = _attempt(fuse, how, number, lambda a=staging, b=target: storage.publish(a, b, stage="clean", rows=50))
        if target.exists():
            assert storage.verify(target)["rows"] == 50
            assert storage.read_table(target / "rows").equals(table)
            seen["whole"] += 1
        else:
            seen["absent"] += 1
            assert not done
            again = root / f"again-{number}"
            again.mkdir()
            storage.write_table(table, again / "rows")
            storage.publish(again, target, stage="clean", rows=50)  # a retry is not in the way of its own past
            storage.verify(target)
    return {**seen, "calls": number - 1}


def _publish_file(fuse: _Fuse, how: str, root: Path) -> dict[str, int]:
    """Break the replacing of one file at every call; a reader must see the old content or the new."""
    from pipelines.artifacts import write_atomic

    seen = {"old": 0, "new": 0}
    number, done = 0, False
    while not done:
        number += 1
        path = root / "ref.json"
        path.write_bytes(OLD)
        done = _attempt(fuse, how, number, lambda p=path: write_atomic(p, NEW))
        content = path.read_bytes()
        assert content in (OLD, NEW)
        assert not done or content == NEW
        seen["old" if content == OLD else "new"] += 1
        json.loads(content)
    return {**seen, "calls": number - 1}


@pytest.mark.fault
@pytest.mark.parametrize("how", ["exception", "exit"])
def test_reader_sees_the_old_or_the_whole_new_thing_at_every_call(how: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, how, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    folder, file = json.loads(done.stdout)
    assert folder["calls"] >= 10
    assert folder["absent"] >= 8
    assert folder["whole"] >= 1
    assert file["calls"] >= 4
    assert file["old"] >= 2
    assert file["new"] >= 1


if __name__ == "__main__":
    kind, path = sys.argv[1], Path(sys.argv[2])
    one = _Fuse()
    print(json.dumps([_publish_folder(one, kind, path), _publish_file(one, kind, path)]))
