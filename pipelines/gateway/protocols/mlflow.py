"""The protocol of ``mlflow models serve`` and of SageMaker's containers: ``/invocations`` and ``/ping``."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from pipelines.gateway.errors import RequestError
from pipelines.gateway.json_body import parse_json
from pipelines.gateway.protocols.native import flat
from pipelines.gateway.services import Predicted
from pipelines.gateway.tables import MAX_ROWS, Shape, Table, table_of_columns, table_of_rows

CSV = "text/csv"
TYPES = ("application/json", CSV)
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_encode = msgspec.json.Encoder().encode


def parse(body: bytes, media_type: str) -> tuple[str, Any]:
    """Return the form of a request, one of ``FORMS``, and what it holds; CSV with a header is ``inputs``.

    Raises
    ------
    RequestError
        400 for anything else.
    """
    if media_type == CSV:
        return "inputs", _of_csv(body)
    content = parse_json(body)
    given = content.keys() - {"params"} if isinstance(content, dict) else set()
    if len(given) != 1 or not given <= set(FORMS):
        seen = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise RequestError(400, "the body has the wrong shape", seen=seen, expected=f"one of {', '.join(FORMS)}")
    (form,) = given
    return str(form), content[form]


def read(content: tuple[str, Any], shape: Shape) -> Table:
    """Return the table of a request.

    Raises
    ------
    RequestError
        400 for what is no table of the needed columns.
    """
    form, value = content
    if form == "dataframe_split":
        return _of_split(value, shape)
    if isinstance(value, dict):
        return table_of_columns({name: flat(cells, name, shape) for name, cells in value.items()}, shape, form)
    return table_of_rows(value, shape, form)


def write(predicted: Predicted) -> bytes:
    """Return the body of a response: the rows of the frame that the version's MLflow model returns."""
    columns: dict[str, list[Any]] = {}
    for name, values in predicted.outputs.items():
        if name == "probabilities":
            del columns["probability"]
            columns.update({f"probability_{label}": cells for label, cells in values.items()})
        elif name == "components":
            columns.update({f"component_{index}": list(cells) for index, cells in enumerate(zip(*values), 1)})  # noqa: B905 - coordinates of one row are as many as of another
        else:
            columns[name] = values
    names = list(columns)
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return _encode({"predictions": rows})


def error_body(error: RequestError) -> bytes:
    """Return an error as MLflow's clients read it."""
    code = {400: "BAD_REQUEST", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST"}
    return _encode({"error_code": code.get(error.status, "INTERNAL_ERROR"), "message": error.line()})


def _of_split(value: Any, shape: Shape) -> Table:
    names = value.get("columns") if isinstance(value, dict) else None
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
        raise RequestError(
            400,
            "the body has the wrong shape",
            where="dataframe_split",
            expected='{"columns": [name], "data": [[cell]]}',
        )
    if len(rows) > MAX_ROWS:
        raise RequestError(400, "wrong number of rows", seen=f"{len(rows)} rows", expected=f"1 to {MAX_ROWS} rows")
    if len(set(names)) != len(names):
        raise RequestError(400, "a column stands twice", where="dataframe_split.columns", seen=names)
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise RequestError(
                400,
                "a row has another length than the columns",
                where=f"dataframe_split.data[{index}]",
                seen=len(row) if isinstance(row, list) else type(row).__name__,
                expected=f"a list of {len(names)} cells",
            )
    columns = [list(cells) for cells in zip(*rows, strict=True)] or [[] for _ in names]
    return table_of_columns(dict(zip(names, columns, strict=True)), shape, "dataframe_split")


def _of_csv(body: bytes) -> dict[str, list[str | None]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeError:
        raise RequestError(400, "the body is not valid UTF-8 text", expected="UTF-8") from None
    try:
        lines = [line for line in csv.reader(io.StringIO(text), strict=True) if line]
    except csv.Error as error:
        raise RequestError(400, "the body is no valid CSV", seen=error) from None
    if not lines or len(set(lines[0])) != len(lines[0]):
        raise RequestError(400, "the body is no CSV with a header", seen=lines[0] if lines else "nothing")
    names, *rows = lines
    if len(rows) > MAX_ROWS:
        raise RequestError(400, "wrong number of rows", seen=f"{len(rows)} rows", expected=f"1 to {MAX_ROWS} rows")
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise RequestError(
                400,
                "a line has another length than the header",
                where=f"line {number}",
                seen=len(row),
                expected=len(names),
            )
    columns: list[list[str | None]] = [[cell or None for cell in cells] for cells in zip(*rows, strict=True)]
    return dict(zip(names, columns or [[] for _ in names], strict=True))
