"""The subprocess of a stage: clean environment, its output, its end in every case."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest
from aimass_airflow import stage_process
from aimass_airflow.stage_process import StageProcess, clean_environment


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a shell script in place of the Python of the stage."""

    def use(text: str) -> None:
        path = tmp_path / "stage.sh"
        path.write_text("#!/bin/bash\n" + text)
        path.chmod(0o700)
        monkeypatch.setattr(stage_process.sys, "executable", str(path))

    return use


def test_environment_holds_nothing_of_airflow() -> None:
    kept = clean_environment(
        {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "airflow-db-not-allowed:///",
            "_AIRFLOW_PROCESS_CONTEXT": "client",
            "AIRFLOW_HOME": "/x",
            "AIMASS_HOME": "/home",
            "PATH": "/bin",
        }
    )
    assert kept == {"AIMASS_HOME": "/home", "PATH": "/bin"}


def test_lines_and_exit_code(script, tmp_path: Path) -> None:
    script('echo "$4 $5"; echo error >&2; printf "no newline"; exit 21')
    lines: list[str] = []
    assert StageProcess("ingest", Path("/r.json")).follow(lines.append) == 21
    assert lines == ["ingest /r.json", "error", "no newline"]


def test_same_process_group_and_pipe(script) -> None:
    script('ps -o pgid= -p $$ | tr -d " "; test -r /proc/self/fd/$AIMASS_PIPE_FD && echo readable')
    lines: list[str] = []
    assert StageProcess("ingest", Path("/r.json")).follow(lines.append) == 0
    assert lines == [str(os.getpgrp()), "readable"]


def test_grandchild_that_keeps_the_pipe_does_not_hang_the_task(script) -> None:
    script("sleep 30 & echo started $!")
    lines: list[str] = []
    started = time.monotonic()
    assert StageProcess("ingest", Path("/r.json")).follow(lines.append) == 0
    assert time.monotonic() - started < 5
    psutil.Process(int(lines[0].split()[1])).kill()


def test_stop_kills_what_ignores_the_pipe(script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_process, "GRACE_SECONDS", 0.3)
    script('trap "" TERM; sleep 60 & wait')
    process = StageProcess("ingest", Path("/r.json"))
    time.sleep(0.3)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) == 2
    process.stop()
    process.stop()
    assert not psutil.wait_procs(family, timeout=3)[1]


@pytest.mark.fault
def test_a_stage_that_was_killed_leaves_no_child_behind(script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_process, "LOOK_SECONDS", 0.1)
    script('sleep 60 & echo $!; sleep 0.5; kill -9 "$$"')
    lines: list[str] = []
    process = StageProcess("tune", Path("/r.json"))
    assert process.follow(lines.append) == -9
    orphan = psutil.Process(int(lines[0]))
    assert orphan.is_running()
    process.stop()
    assert not psutil.wait_procs([orphan], timeout=3)[1]
