"""What follows drift of a model: a night by itself, where its DAG file says so, or only the next one that is due."""

from __future__ import annotations

import ast
from pathlib import Path

from pipelines.settings import Settings

CALL, OPTION = "retrain_dag", "on_drift"


def what_follows(settings: Settings, model: str) -> str:
    """Return in words what happens about drift without anybody's doing; the DAG file is read, not run."""
    path = settings.dags / f"retrain_{model}.py"
    if _declares(path):
        return f"A night follows by itself once a probe shows that retraining pays ({OPTION}=True in {path.name})"
    if not path.exists():
        return f"No night follows by itself: there is no {path.name} here; `aimass import` brings a newer version"
    return (
        f"No night follows by itself: the next one that is due learns from the new data; `aimass run {model}` starts "
        f"one now, {OPTION}=True in {path.name} lets drift that matters start it"
    )


def _declares(path: Path) -> bool:
    try:
        calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    except (OSError, SyntaxError, ValueError):
        return False
    return any(
        keyword.arg == OPTION and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for call in calls
        if getattr(call.func, "id", getattr(call.func, "attr", None)) == CALL
        for keyword in call.keywords
    )
