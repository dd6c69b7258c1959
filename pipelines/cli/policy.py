"""Reads the policy of the housekeeping from its DAG file, without Airflow."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import SpecError
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.settings import Settings

FILE, CALL = "housekeeping.py", "HousekeepingSpec"


def housekeeping_spec(settings: Settings, given: Mapping[str, Any]) -> HousekeepingSpec:
    """Return the policy that the DAG file declares, with what the command gives laid over it; else the default.

    Raises
    ------
    SpecError
        The file's ``HousekeepingSpec(…)`` holds more than plain values.
    """
    path = settings.dags / FILE
    declared = _declared(path) if path.is_file() else {}
    return HousekeepingSpec(**{**declared, **given})


def _declared(path: Path) -> dict[str, Any]:
    try:
        calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
        named = next((node for node in calls if isinstance(node.func, ast.Name) and node.func.id == CALL), None)
        return {} if named is None else {str(each.arg): ast.literal_eval(each.value) for each in named.keywords}
    except (SyntaxError, ValueError) as error:
        raise SpecError(
            "the policy cannot be read",
            where=str(path),
            seen=error,
            expected=f"{CALL}(nights=14, …) with plain values",
            cure="correct it; the DAG in Airflow takes any Python",
        ) from None
