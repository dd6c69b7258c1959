"""Our own protocol, which TensorFlow Serving's REST clients speak too: ``instances`` by row, ``inputs`` by column."""

from __future__ import annotations

from typing import Any

import msgspec

from pipelines.gateway.errors import RequestError
from pipelines.gateway.row_objects import row_objects
from pipelines.gateway.services import Predicted
from pipelines.gateway.tables import NESTED, Shape, Table, table_of_columns, table_of_rows

FORMS = ("instances", "inputs")
MAX_WARNINGS = 10_000
"""Warnings that one response holds; of further ones it tells the number."""
EXPECTED = '{"instances": [{column: value}]} or {"inputs": {column: [value]}}'

_encode = msgspec.json.Encoder().encode


def form_of(content: Any) -> str:
    """Return the form of a request, ``instances`` or ``inputs``.

    Raises
    ------
    RequestError
        400 for anything else.
    """
    given = content.keys() - {"signature_name"} if isinstance(content, dict) else set()
    if len(given) != 1 or not given <= set(FORMS):
        seen = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise RequestError(400, "the body has the wrong shape", seen=seen, expected=EXPECTED)
    (form,) = given
    return str(form)


def read(content: Any, shape: Shape) -> Table:
    """Return the table of a request.

    Raises
    ------
    RequestError
        400 for anything else.
    """
    form = form_of(content)
    if form == "instances":
        return table_of_rows(content[form], shape)
    columns = content[form]
    if not isinstance(columns, dict):
        raise RequestError(
            400,
            "the body has the wrong shape",
            where="inputs",
            seen=type(columns).__name__,
            expected="{column: [value]}",
        )
    return table_of_columns({name: flat(cells, name, shape) for name, cells in columns.items()}, shape)


def flat(cells: Any, name: str, shape: Shape) -> Any:
    """Return the cells of a column of shape [n, 1] as one of shape [n]."""
    if not isinstance(cells, list) or name in shape.nested or set(map(type, cells)) != {list}:
        return cells
    return (
        [cell[0] for cell in cells] if all(len(cell) == 1 and type(cell[0]) not in NESTED for cell in cells) else cells
    )


def write(predicted: Predicted, form: str, request_id: str) -> bytes:
    """Return the body of a response.

    ``instances`` are answered with ``predictions``, one object per row, ``inputs`` with ``outputs``, one list per
    column. ``warnings`` names the doubtful cells: {row, column, kind}.
    """
    content: dict[str, Any] = {}
    if form == "instances":
        content["predictions"] = row_objects(predicted.outputs)
    else:
        content["outputs"] = predicted.outputs
    content["model_version"] = predicted.version
    content["request_id"] = request_id
    if predicted.warnings:
        told = predicted.warnings[:MAX_WARNINGS]
        content["warnings"] = [{"row": row, "column": name, "kind": kind} for row, name, kind in told]
        if len(predicted.warnings) > MAX_WARNINGS:
            content["warnings_left_out"] = len(predicted.warnings) - MAX_WARNINGS
    return _encode(content)
