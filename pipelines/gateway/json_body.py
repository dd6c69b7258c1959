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
    colons: as many as members, or some stand in texts or in doubled keys, and the text is read once more.

    Raises
    ------
    RequestError
        400 for other encodings than UTF-8, lone surrogates, NaN, infinities, numbers too large, a key that stands
        twice, too many levels, or text that is no JSON.
    """
    try:
        content = _decoder.decode(body)
        if body.count(b":") != _members(content):
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


def _members(content: Any) -> int:
    """Return the number of members of all objects, as far as lists of objects go."""
    if isinstance(content, dict):
        return len(content) + sum(_members(value) for value in content.values() if isinstance(value, dict | list))
    if isinstance(content, list):
        return sum(_members(value) for value in content if isinstance(value, dict | list))
    return 0


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = sorted({name for name, _ in pairs if name in seen or seen.add(name)})[:5]  # type: ignore[func-returns-value]  # add returns None
        raise ValueError(f"a key stands twice: {', '.join(twice)}")
    return made
