"""Logs as JSON lines: what a line holds, and that it is read back as what it says."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import logs
from pipelines.settings import Settings


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_origin", {})
    logs.name_origin("tune", "loans", "manual__1")


def record(text: str, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    return logging.getLogger("pipelines.x").makeRecord("pipelines.x", level, "f", 1, text, (), None, extra=extra)


def test_a_line_is_an_object_with_what_is_known(origin: None) -> None:
    line = logs.JsonLines().format(record("é\n2", logging.WARNING, request_id="r1", other=1))
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("timestamp").endswith("+00:00")
    assert found == {
        "level": "warning",
        "logger": "pipelines.x",
        "stage": "tune",
        "model": "loans",
        "run_id": "manual__1",
        "request_id": "r1",
        "message": "é\n2",
    }
    assert logs.read_line(line) == (30, "é\n2", {"stage": "tune", "model": "loans", "run_id": "manual__1"})


@pytest.mark.parametrize(
    "line", ['{"a": 1}', '{"message": "x"}', '{"broken', "ERROR tune: x", '{"level": 1, "message": ""}']
)
def test_other_lines_are_their_own_text(line: str) -> None:
    assert logs.read_line(line) == (40 if line.startswith("ERROR") else 20, line, {})


def test_a_stage_writes_json_where_it_is_asked_to(home: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines", "sample", str(tmp_path / "request.json")]
    done = subprocess.run(command, env={**os.environ, logs.FORMAT: "json"}, capture_output=True, text=True, check=False)
    assert done.returncode == 20
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (line["level"], line["stage"], line["logger"]) == ("error", "sample", "__main__")
    assert "the request cannot be read" in line["message"]


def test_a_wrong_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.errors import SpecError
    from pipelines.settings import load

    monkeypatch.setenv(logs.FORMAT, "xml")
    with pytest.raises(SpecError, match="log_format"):
        load()
