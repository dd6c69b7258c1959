"""The examples of the guide run as they stand there, against the real gateway and a model of these columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gateways import running

pytestmark = pytest.mark.slow

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "calling-the-service.md"
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def test_every_example_runs(served: SimpleNamespace, tmp_path: Path) -> None:
    token = served.ledger.issue_token("reader", ["predict:demo"], 1)
    python: list[str] = []
    with running(served.settings, served.ledger) as http:
        address = str(http.base_url).rstrip("/")

        def here(text: str) -> str:
            return text.replace("http://127.0.0.1:8000", address).replace("orders", "demo")

        def run(*command: str) -> str:
            done: Any = subprocess.run(
                command,
                cwd=tmp_path,
                env={**os.environ, "AIMASS_TOKEN": token},
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, (command, done.stderr)
            return str(done.stdout)

        for kind, text in BLOCKS:
            if kind == "python":
                python.append(here(text))
            else:
                replies = run("bash", "-c", here(text))
                assert "error" not in replies.replace("error_code", "").replace("error_message", ""), replies
        told = run(sys.executable, "-c", "\n".join(python))
    assert len(python) == 4
    assert sum(kind == "sh" for kind, _ in BLOCKS) == 4
    assert "1 of 1 rows cannot be read [\"row 0 lacks 'town'\"]" in told
    assert "1 amount missing" in told
    assert "[('amount', 'number'), ('town', 'category'), ('age', 'number')]" in told
