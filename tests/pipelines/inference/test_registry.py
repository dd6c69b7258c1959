from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.errors import DeployError
from pipelines.inference.members.registry import load_member


def test_unknown_family_and_path_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="cannot read a member"):
        load_member(tmp_path, {"family": "forest", "file": "0.bin"})
    with pytest.raises(DeployError, match="out of its folder"):
        load_member(tmp_path, {"family": "linear", "file": "../0.npz"})


def test_reading_members_needs_no_training_library() -> None:
    heavy = "{'sklearn', 'ray', 'optuna', 'dask'}"
    code = f"import sys, pipelines.inference.ensemble.ensemble; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
