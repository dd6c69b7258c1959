"""The OpenAPI document of the gateway: the addresses of the models that a token is for, with their rows' schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version as release_of
from typing import Any

from pipelines.gateway.catalog_openapi import catalog_paths, catalog_schemas
from pipelines.gateway.tables import MAX_ROWS, Shape

CELLS: dict[str, list[str]] = {
    "number": ["number", "string", "boolean", "null"],
    "category": ["string", "number", "boolean", "null"],
    "date": ["string", "number", "null"],
}
"""JSON types that a cell of each kind of column may have; what cannot be read is told as a warning."""
NESTED = ["array", "object"]
ERRORS = {
    "400": "The request cannot be read; `error` names what, where, seen, expected and the cure.",
    "401": "There is no valid token.",
    "403": "The token is not for this.",
    "404": "There is no such model or version.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is of another type, or compressed.",
    "429": "A limit of the token is reached; see `Retry-After`.",
    "502": "The model failed.",
    "503": "The model cannot be asked now; see `Retry-After`.",
    "504": "The model did not respond in time.",
}


def document(
    shapes: Mapping[str, Shape], address: str, described: Sequence[str] = (), scopes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the document.

    Parameters
    ----------
    shapes
        By model, what its live version needs.
    address
        Of the gateway, such as ``http://127.0.0.1:8000``.
    described
        Models whose entry in the catalog the token may read.
    scopes
        Of the token.
    """
    paths: dict[str, Any] = {
        "/v1/models": {"get": _get("The models, and what is served of them", {"$ref": "#/components/schemas/Models"})},
        "/v1/data": {"get": _get("The published tables", {"type": "object"})},
        "/v1/usage": {"get": _get("What the token asked for in a month", {"type": "object"}, [_query("month")])},
    }
    schemas: dict[str, Any] = {"Error": _error(), "Models": _models(), "Warning": _warning()}
    for name, shape in sorted(shapes.items()):
        row, response = f"{name}.Row", f"{name}.Predictions"
        schemas[row], schemas[response] = row_schema(shape), _predictions(shape)
        instances = {"type": "array", "minItems": 1, "maxItems": MAX_ROWS, "items": {"$ref": _ref(row)}}
        paths[f"/v1/models/{name}:predict"] = {
            "post": _post(
                f"Predict rows of {name}",
                f"predict_{name}",
                _body(instances),
                {"instances": [shape.facts["example"]]},
                {"$ref": _ref(response)},
            )
        }
        paths[f"/v1/models/{name}:explain"] = {
            "post": _post(
                f"Explain the prediction of one row of {name}",
                f"explain_{name}",
                _body({**instances, "maxItems": 1}),
                {"instances": [shape.facts["example"]]},
                _object({"explanation": {"type": "object"}, "model_version": {"type": "integer"}}, ["explanation"]),
            )
        }
        paths[f"/v1/models/{name}"] = {"get": _get(f"The state of {name}", {"type": "object"})}
        paths[f"/v1/models/{name}/metadata"] = {"get": _get(f"What {name} needs", {"type": "object"})}
    if about := catalog_paths(described, scopes, _responses):
        paths, schemas = {**paths, **about}, {**schemas, **catalog_schemas()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "AI Mass", "version": release_of("aimass"), "description": "Predictions of tabular models."},
        "servers": [{"url": address}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def row_schema(shape: Shape) -> dict[str, Any]:
    """Return the JSON schema of a row; columns that the model does not need may hold anything."""
    properties = {}
    for column in shape.facts["columns"]:
        if column["name"] not in shape.requested:
            continue
        types = CELLS.get(column["kind"], CELLS["category"]) + (NESTED if column["name"] in shape.nested else [])
        known: dict[str, Any] = {"type": types}
        if column["low"] is not None:
            known["description"] = f"in training {column['low']:g} to {column['high']:g}"
        elif column["levels"]:
            known["description"] = "in training " + ", ".join(map(str, column["levels"][:20]))
        properties[column["name"]] = known
    for name in shape.requested:
        properties.setdefault(name, {"type": CELLS["category"]})
    required = [name for name in shape.requested if name in shape.required]
    return {"type": "object", "properties": properties, "required": required}


def _predictions(shape: Shape) -> dict[str, Any]:
    number, text = {"type": "number"}, {"type": "string"}
    task, classes = shape.facts["task"], shape.facts["classes"]
    if task == "reduction":
        fields: dict[str, Any] = {"components": {"type": "array", "items": number}}
    else:
        fields = {"prediction": number if task == "regression" else text}
    if classes:
        fields["probability"] = {**number, "minimum": 0, "maximum": 1}
    if len(classes) > 2:
        fields["probabilities"] = {"type": "object", "additionalProperties": number}
    row = _object(fields, list(fields))
    return _object(
        {
            "predictions": {"type": "array", "items": row},
            "model_version": {"type": "integer"},
            "request_id": text,
            "warnings": {"type": "array", "items": {"$ref": _ref("Warning")}},
        },
        ["predictions", "model_version", "request_id"],
    )


def _post(summary: str, identity: str, schema: Any, example: Any, response: Any) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}
    return {"summary": summary, "operationId": identity, "requestBody": body, "responses": _responses(response)}


def _get(summary: str, response: Any, parameters: list[Any] | None = None) -> dict[str, Any]:
    found = {"summary": summary, "responses": _responses(response)}
    return found if parameters is None else {**found, "parameters": parameters}


def _query(name: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$"}
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _responses(schema: Any) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": _ref("Error")}}}
    refusals = {status: {"description": text, "content": error} for status, text in ERRORS.items()}
    return {"200": {"description": "Done.", "content": {"application/json": {"schema": schema}}}, **refusals}


def _error() -> dict[str, Any]:
    names = ("what", "where", "seen", "expected", "cure")
    fields: dict[str, Any] = {name: {"type": "string"} for name in names}
    fields["faults"] = {"type": "array", "items": {"type": "string"}}
    return _object({"error": _object(fields, list(names)), "request_id": {"type": "string"}}, ["error", "request_id"])


def _models() -> dict[str, Any]:
    fields = {"name": {"type": "string"}, "live_version": {"type": ["integer", "null"]}, "ready": {"type": "boolean"}}
    return _object({"models": {"type": "array", "items": _object(fields, ["name", "ready"])}}, ["models"])


def _warning() -> dict[str, Any]:
    kinds = ["unreadable", "unseen", "out_of_range", "missing"]
    fields = {"row": {"type": "integer"}, "column": {"type": "string"}, "kind": {"enum": kinds}}
    return _object(fields, list(fields))


def _body(instances: dict[str, Any]) -> dict[str, Any]:
    return {**_object({"instances": instances}, ["instances"]), "additionalProperties": False}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> str:
    return f"#/components/schemas/{name}"
