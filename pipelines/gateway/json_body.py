"""Strict JSON: UTF-8 alone, no NaN, no number beyond double precision, no key twice."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from pipelines.gateway.errors import RequestError

_decoder = msgspec.json.Decoder()


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON text.

    Parsed by msgspec, in linear time. It keeps the last of equal keys; whether there were any is told by the number of
    colons: as many as members and colons in texts, or the text is read once more.

    Raises
    ------
    RequestError
        400 for other encodings than UTF-8, lone surrogates, NaN, infinities, numbers too large, a key that stands
        twice, too many levels, or text that is no JSON.
    """
    try:
        content = _decoder.decode(body)
        if not _complete(body, content):
            json.loads(body, object_pairs_hook=_unique)
    except RecursionError:
        raise RequestError(
            400,
            "the body is nested too deeply",
            seen="more levels than the recursion limit",
            expected="rows of plain cells",
        ) from None
    except UnicodeError:
        raise RequestError(400, "the body is not valid UTF-8 text", expected="UTF-8, no lone surrogates") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise RequestError(
            400,
            "the body is not valid JSON",
            seen=_position(body) or error,
            expected="one JSON text in UTF-8; no NaN, no Infinity, no number beyond 1.8e308, no key twice",
        ) from None
    return content


def _position(body: bytes) -> str:
    """Return what is wrong with line and column, where the standard library's reader finds it too."""
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""


def _complete(body: bytes, content: Any) -> bool:
    """Tell whether the content surely holds every member of the text: then no key stands twice."""
    colons, objects = body.count(b":"), _objects(content)
    # as many braces: there are no objects but these
    members = sum(map(len, objects)) if body.count(b"{") == len(objects) else _members(content)
    if colons == members:
        return True
    # an escaped colon would make up for a member that is lost
    return b"\\u003" not in body and colons == members + _colons(content)


def _objects(content: Any) -> list[dict[str, Any]]:
    """Return the objects of a request: itself, its members, and those of lists of objects."""
    if not isinstance(content, dict):
        return []
    found = [content]
    for value in content.values():
        if isinstance(value, dict):
            found.append(value)
        elif isinstance(value, list) and {dict}.issuperset(map(type, value)):
            found += value
    return found


def _members(content: Any) -> int:
    """Return the number of members of all objects."""
    if isinstance(content, dict):
        return len(content) + sum(_members(value) for value in content.values() if isinstance(value, dict | list))
    if isinstance(content, list):
        return sum(_members(value) for value in content if isinstance(value, dict | list))
    return 0


def _colons(content: Any) -> int:
    """Return the number of colons in all texts and keys."""
    if isinstance(content, dict):
        return sum(str(key).count(":") for key in content) + _colons(list(content.values()))
    if isinstance(content, list):
        texts = sum(value.count(":") for value in content if isinstance(value, str))
        return texts + sum(_colons(value) for value in content if isinstance(value, dict | list))
    return str(content).count(":") if isinstance(content, str) else 0


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = sorted({name for name, _ in pairs if name in seen or seen.add(name)})[:5]  # type: ignore[func-returns-value]  # add returns None
        raise ValueError(f"a key stands twice: {', '.join(twice)}")
    return made
