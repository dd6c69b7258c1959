"""The part of the OpenAPI document about the catalog; changes are in it for tokens that may make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.catalog import fields as limits
from pipelines.gateway.catalog_routes import LARGEST, LONGEST_QUERY, MOST_VERSIONS, READ, WRITE
from pipelines.gateway.exchange_openapi import exchange_paths

_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
TEXT = f"^[^{_CONTROLS}]*$"
SAID = rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"
"""Patterns of texts without control characters; of those, the ones that say something."""
ROOT = "/v1/catalog/models"
ENTRY = f"{ROOT}/{{name}}"
STATUSES = {
    "400": "The request cannot be read, or a field is wrong; `error` names every fault.",
    "403": "The token is not for this, or the note is somebody else's.",
    "404": "There is no such model, version, note or rating.",
    "409": "Somebody changed the entry since it was read, or the model is in use; `error` tells what changed.",
}


def catalog_paths(names: Sequence[str], scopes: Sequence[str], responses: Any) -> dict[str, Any]:
    """Return the addresses.

    Parameters
    ----------
    names
        Of the models that the token is for.
    scopes
        Of the token.
    responses
        Makes the responses of an address of the schema of the good one.
    """
    writes = any(each.partition(":")[0] in (WRITE, "admin") for each in scopes)
    if not names or not (writes or any(each.partition(":")[0] == READ for each in scopes)):
        return {}

    def operation(summary: str, schema: Any, body: Any = None, status: str = "200", more: Any = ()) -> dict[str, Any]:
        said = {
            **responses(schema),
            **{code: {**responses(schema)["400"], "description": text} for code, text in STATUSES.items()},
        }
        good = said.pop("200")
        if schema is None:
            good = {"description": "Done."}
        found: dict[str, Any] = {"summary": summary, "responses": {status: good, **said}, "tags": ["catalog"]}
        if more:
            found["parameters"] = list(more)
        if body is not None:
            found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        return found

    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": list(names)}}
    match = {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "The `ETag` of the entry as it was read: 409 if somebody changed it since.",
        "schema": {"type": "string", "pattern": '^"?[0-9]{1,9}"?$'},
    }
    see = {"$ref": "#/components/schemas/CatalogEntry"}
    found = _object({"models": {"type": "array", "items": see}}, ["models"])
    paths: dict[str, Any] = {
        ROOT: {"get": operation("Find models by what is said of them", found, more=_filters())},
        ENTRY: {"parameters": [name], "get": operation("What is said of a model", see)},
    }
    if not writes:
        return paths
    paths[ENTRY]["patch"] = operation("Change fields of an entry", see, _entry_change(names), more=[match])
    number = {
        "name": "note",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    }
    why = {"why": _text(limits.LONGEST_REASON, SAID)}
    paths |= {
        f"{ENTRY}/notes": {
            "parameters": [name],
            "post": operation("Write a note", {"type": "object"}, _note(), status="201"),
        },
        f"{ENTRY}/notes/{{note}}": {
            "parameters": [name, number],
            "delete": operation("Remove a note of one's own", None, status="204"),
        },
        f"{ENTRY}/rating": {
            "parameters": [name],
            "put": operation("Rate a model, or change one's rating", {"type": "object"}, _rating()),
            "delete": operation("Take back one's rating", None, status="204"),
        },
        f"{ENTRY}/share": {
            "parameters": [name],
            "get": operation("Addresses of a model and its callers", {"type": "object"}),
        },
        f"{ENTRY}:archive": {
            "parameters": [name],
            "post": operation(
                "Archive a model", see, _closed({**why, "pause": {"type": "boolean"}}, ["why"]), more=[match]
            ),
        },
        f"{ENTRY}:unarchive": {
            "parameters": [name],
            "post": operation("Take a model out of the archive", see, _closed(why, ["why"]), more=[match]),
        },
    }
    paths |= exchange_paths(ENTRY, name, operation, scopes)
    if "admin" in scopes:
        versions = {"type": "array", "minItems": 1, "maxItems": MOST_VERSIONS, "items": _version()}
        body = _closed(
            {**why, "versions": versions, "dry_run": {"type": "boolean", "default": True}}, ["versions", "why"]
        )
        paths[f"{ENTRY}:delete"] = {
            "parameters": [name],
            "post": operation("Delete versions, or tell what would go", {"type": "object"}, body),
        }
    return paths


def catalog_schemas() -> dict[str, Any]:
    """Return the schemas that the addresses name."""
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    facts: dict[str, Any] = dict.fromkeys(("model", "task", "target", *limits.LONGEST, "archived"), text)
    facts |= dict.fromkeys((*limits.LISTS, "columns", "said"), texts)
    stars = {"type": ["number", "null"], "minimum": limits.STARS[0], "maximum": limits.STARS[1]}
    facts["rating"] = _object({"stars": stars, "people": {"type": "integer"}}, ["stars", "people"])
    facts["revision"] = {"type": "integer", "minimum": 0}
    return {"CatalogEntry": _object(facts, list(facts))}


def _filters() -> list[dict[str, Any]]:
    text = {"type": "string", "maxLength": LONGEST_QUERY}
    found = [
        {"name": name, "in": "query", "required": False, "schema": text} for name in ("q", "domain", "tag", "owner")
    ]
    choice = {"type": "string", "enum": ["false", "true", "any"]}
    return [*found, {"name": "archived", "in": "query", "required": False, "schema": choice}]


def _entry_change(names: Sequence[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: {"type": ["string", "null"], "maxLength": most, "pattern": TEXT} for name, most in limits.LONGEST.items()
    }
    tag = {"type": "string", "pattern": f"^{limits.TAG.pattern}$", "maxLength": 40}
    items = {
        "tags": tag,
        "use_cases": _text(limits.LONGEST_USE_CASE, SAID),
        "related": {"type": "string", "enum": list(names)},
    }
    for name, each in items.items():
        fields[name] = {"type": ["array", "null"], "maxItems": limits.MOST, "items": each}
    return _closed(fields, [])


def _note() -> dict[str, Any]:
    return _closed(
        {"text": _text(limits.LONGEST_NOTE, SAID), "version": {**_version(), "type": ["integer", "null"]}}, ["text"]
    )


def _rating() -> dict[str, Any]:
    low, high = limits.STARS
    stars = {"type": "integer", "minimum": low, "maximum": high}
    return _closed(
        {"stars": stars, "text": {"type": "string", "maxLength": limits.LONGEST_REVIEW, "pattern": TEXT}}, ["stars"]
    )


def _version() -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": LARGEST}


def _text(most: int, pattern: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern}


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {**_object(properties, required), "additionalProperties": False}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}
