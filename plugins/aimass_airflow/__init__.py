"""The Airflow side of AI Mass: what DAG files import. Names are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimass_airflow.defaults import retrain_dag
    from aimass_airflow.tasks import (
        clean,
        deploy,
        ensemble,
        evaluate,
        features,
        ingest,
        package,
        register,
        sample,
        split,
        tune,
        validate,
    )

__all__ = [
    "clean",
    "deploy",
    "ensemble",
    "evaluate",
    "features",
    "ingest",
    "package",
    "register",
    "retrain_dag",
    "sample",
    "split",
    "tune",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'defaults' if name == 'retrain_dag' else 'tasks'}"), name)
