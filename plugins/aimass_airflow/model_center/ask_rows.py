"""A file of rows in the tab Ask: what the browser read of it is predicted part by part, and answered as JSON."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from aimass_airflow.model_center.visits import Visit
from pipelines.errors import AimassError, DataError, SpecError

MOST_BYTES = 1 << 20
"""Of one part."""
TOLD = ("where", "seen", "expected", "cure")


def facts(visit: Visit) -> Response:
    """``GET /models/NAME/facts``: what the live version needs of a row."""
    return _answered(visit, lambda name: visit.center.gateway.metadata(visit.who, name))


def predict(visit: Visit) -> Response:
    """``POST /models/NAME/rows`` with ``{"inputs": {column: [cells]}}``: the gateway's response."""
    inputs = visit.body.get("inputs")
    if not isinstance(inputs, dict) or not all(isinstance(cells, list) for cells in inputs.values()):
        return _error(400, {"what": "rows are given column by column", "expected": '{"inputs": {"column": [cells]}}'})
    return _answered(visit, lambda name: visit.center.gateway.predict_columns(visit.who, name, inputs))


def _answered(visit: Visit, asked: Any) -> Response:
    try:
        name = visit.model.name
        visit.need("ask")
        return JSONResponse(asked(name))
    except HTTPException as error:
        return _error(error.status_code, {"what": error.detail})
    except AimassError as error:
        told = {name: value for name in TOLD if (value := getattr(error, name, ""))}
        status = 422 if isinstance(error, SpecError | DataError) else 503
        return _error(status, {"what": error.what, **told, "faults": list(error.faults)})


def _error(status: int, facts: dict[str, Any]) -> Response:
    return JSONResponse({"error": facts}, status_code=status)
