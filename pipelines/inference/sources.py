"""The code that a served model stands on: copied into its bento and beside its MLflow version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pipelines

PACKAGE = Path(pipelines.__file__).parent
BELOW = (
    "__init__.py",
    "errors.py",
    "metrics/__init__.py",
    "metrics/registry.py",
    "spec.py",
    "tracing.py",
    "artifacts.py",
    "holdout.py",
    "algorithms/__init__.py",
    "algorithms/registry.py",
)
"""The modules below ``inference`` that it imports."""


def copy_inference(folder: Path) -> Path:
    """Copy ``pipelines/inference`` and the modules it stands on into ``folder``; return the package there."""
    target = folder / PACKAGE.name
    shutil.copytree(PACKAGE / "inference", target / "inference", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BELOW:
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copy(PACKAGE / name, target / name)
    return target
