"""The commands of the runbook, run as they stand there, with folders of this test in the place of /srv and /media."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.backup.shelf import list_backups

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "runbooks" / "backup.md").read_text(), re.DOTALL)


def test_every_block_of_the_runbook_works(packaged: SimpleNamespace, tmp_path: Path) -> None:
    home = packaged.settings.home
    dags = home.parent / "dags"
    dags.mkdir(exist_ok=True)
    shutil.copy(ROOT / "dags" / "retrain_loans.py", dags)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIMASS_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIMASS_HOME": str(home),
        "AIMASS_DAGS_FOLDER": str(dags),
        "AIMASS_MLFLOW_PORT": "1024",
    }
    said = []
    assert len(BLOCKS) == 4
    for block in BLOCKS:
        if "/media/backups" in block:
            shutil.copytree(home / "backups", tmp_path / "media" / "backups")
            (tmp_path / "media" / "keys").mkdir()
            shutil.copy(home / "secrets" / "signing_key.pem", tmp_path / "media" / "keys")
            block = block.replace("NAME", list_backups(packaged.settings)[-1].name)
        script = block.replace("/srv/", f"{tmp_path}/srv/").replace("/media/", f"{tmp_path}/media/")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)
    assert "whole" in said[0]
    for restored in (tmp_path / "srv/aimass-restored", tmp_path / "srv/aimass", home):
        assert (restored / "ledger.db").is_file()
        assert list(restored.glob("mlflow/artifacts/**/card.html"))
    assert (tmp_path / "srv/dags/retrain_loans.py").is_file()
    assert list(home.parent.glob(f"{home.name}.before-restore-*"))
    assert list_backups(packaged.settings)


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_hold_commands_alone(block: str) -> None:
    for line in block.splitlines():
        assert re.match(r"(AIMASS_HOME=\S+ )?aimass |mkdir |cp ", line), line
