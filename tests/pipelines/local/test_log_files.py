from __future__ import annotations

import subprocess
from pathlib import Path

from pipelines.local.components import Component, watcher
from pipelines.local.log_files import rotate


def test_a_log_is_cut_where_it_is_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("ab", buffering=0) as writer:
        for turn in range(5):
            writer.write(f"{turn} ".encode() * 100)
            assert rotate(tmp_path, most=150, kept=3) == [log]
            assert log.stat().st_size == 0
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    found = {path.name: path.read_bytes()[:1] for path in tmp_path.glob("part.log.*")}
    assert found == {"part.log.1": b"4", "part.log.2": b"3", "part.log.3": b"2"}
    assert (tmp_path / "part.log.1").stat().st_mode & 0o077 == 0


def test_small_logs_and_that_of_alerts_stay(tmp_path: Path) -> None:
    (tmp_path / "small.log").write_text("a")
    (tmp_path / "alerts.log").write_text("a" * 1_000)
    assert rotate(tmp_path, most=10) == []
    assert {path.name for path in tmp_path.iterdir()} == {"small.log", "alerts.log"}


def test_a_part_writes_its_own_log_and_is_the_process_itself(home) -> None:
    log = home.logs / "odd name's.log"
    options = watcher(home, Component("odd name's", ["/bin/sh", "-c", 'echo $$; echo "$0 $1" >&2', "a b", "$x"]))
    import shlex

    child = subprocess.Popen(shlex.split(options["cmd"]))
    assert child.wait(10) == 0
    assert log.read_text() == f"{child.pid}\na b $x\n"
