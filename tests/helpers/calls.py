"""Runs an operation as its DAG does, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.__main__ import main
from pipelines.artifacts import Call


def operate(folder: Path, operation: str, **spec: Any) -> int:
    """Run an operation with some settings; return its exit code. Result or error lie in ``folder``."""
    request = folder / "request.json"
    request.write_text(Call(stage=operation, spec=spec).model_dump_json())
    return main([operation, str(request)])
