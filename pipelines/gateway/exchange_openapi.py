"""The part of the OpenAPI document about import, export and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.exchange import FORMATS
from pipelines.gateway.auth import ALL, allows
from pipelines.gateway.catalog_routes import LARGEST
from pipelines.gateway.data_routes import SCOPE as DATA
from pipelines.gateway.exchange_routes import LONGEST_SLICES, TABLES
from pipelines.mart.address import EXPECTED, PATTERN
from pipelines.spec import NAME

STATUSES = {
    "409": "Another one is under way; try again.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "422": "It does not fit, and nothing has changed; `error` tells what, and the cure.",
    "507": "The disk is full.",
}


def exchange_paths(entry: str, name: Any, operation: Any, scopes: Sequence[str]) -> dict[str, Any]:
    """Return the addresses.

    Parameters
    ----------
    entry
        Address of a model in the catalog.
    name
        The parameter with its name.
    operation
        Makes an operation of a summary and the schema of its response.
    scopes
        Of the token.
    """
    reads = allows(scopes, DATA, None)
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST},
    }
    slices = {
        "name": "slices",
        "in": "query",
        "required": False,
        "description": "Columns to cut the rows by, with commas between.",
        "schema": {"type": "string", "maxLength": LONGEST_SLICES},
    }
    published = {
        "name": "table",
        "in": "query",
        "required": False,
        "description": f"A published table instead of a body: {EXPECTED}. The token needs the scope data for it, too.",
        "schema": {"type": "string", "pattern": f"^{PATTERN}$"},
    }
    form = {"name": "format", "in": "query", "required": False, "schema": {"type": "string", "enum": list(FORMATS)}}
    whole = {"type": "string", "format": "binary"}
    table = {"required": not reads, "content": {kind: {"schema": whole} for kind in TABLES}}
    judged = operation(
        "Judge a version on a table with labels", {"type": "object"}, more=[slices, *([published] if reads else [])]
    )
    given = operation("Export a version (archive by default)", {"type": "object"}, more=[form])
    given["responses"]["200"] = {
        "description": "The file.",
        "content": {kind: {"schema": whole} for kind in FORMATS.values()},
    }
    paths: dict[str, Any] = {
        f"{entry}:evaluate": {"parameters": [name], "post": {**judged, "requestBody": table}},
        f"{entry}/versions/{{version}}:evaluate": {
            "parameters": [name, version],
            "post": {**judged, "requestBody": table},
        },
        f"{entry}/versions/{{version}}:export": {"parameters": [name, version], "get": given},
    }
    if ALL in scopes:
        from pipelines.exchange.asked import PARTS

        any_name = {**name, "schema": {"type": "string", "pattern": f"^{NAME.pattern}$"}}
        parts = {part: whole if file else {"type": "string"} for part, file in PARTS.items()}
        schema = {"type": "object", "properties": parts, "required": ["file"], "additionalProperties": False}
        took = operation("Import a model file with schema and samples, or an archive", {"type": "object"}, status="201")
        took["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
        paths[f"{entry}:import"] = {"parameters": [any_name], "post": took}
    for path in paths.values():
        for each in (path.get("post"), path.get("get")):
            if each is not None:
                error = each["responses"]["400"]
                each["responses"] |= {code: {**error, "description": text} for code, text in STATUSES.items()}
    return paths
