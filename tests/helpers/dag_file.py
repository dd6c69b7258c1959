"""A DAG file as a module, as Airflow reads it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

DAGS = Path(__file__).parents[2] / "dags"


def dag_module(name: str) -> ModuleType:
    """Import ``dags/<name>.py``."""
    spec = importlib.util.spec_from_file_location(name, DAGS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
