from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from pipelines.locks import try_lock, wait_for_lock

HOLDER = """
import sys, time
from pathlib import Path
from pipelines.locks import wait_for_lock
with wait_for_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    assert try_lock(tmp_path / "lock") is None
    holder.kill()
    holder.wait()
    with try_lock(tmp_path / "lock"):
        assert try_lock(tmp_path / "lock") is None


def test_who_waits_gets_it_when_the_holder_ends(tmp_path, holder):
    threading.Timer(0.2, holder.kill).start()
    with wait_for_lock(tmp_path / "lock"):
        assert holder.wait(10) != 0


def test_only_the_owner_may_read_the_file_and_it_stays(tmp_path):
    with wait_for_lock(tmp_path / "lock"):
        pass
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
