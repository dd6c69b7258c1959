"""Reads a suite as people edit it: every fault of its form is named at once, with its line or rule number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import SpecError

SEVERITIES = ("critical", "warning", "info")
_CURE = "correct it there; aimass expectations learn NAME shows a sound suite, git shows the last one"


def read_suite(path: Path) -> dict[str, Any]:
    """Read a suite.

    Raises
    ------
    SpecError
        If it is not JSON, or not a suite with rules; lists every rule that has not the form of one.
    """
    try:
        suite = json.loads(path.read_text(), parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise _unreadable(path, f"{error.msg} in line {error.lineno}, column {error.colno}", "JSON") from None
    except (OSError, ValueError, RecursionError) as error:
        seen = error.strerror if isinstance(error, OSError) else str(error)
        raise _unreadable(path, seen or type(error).__name__, "JSON in UTF-8") from None
    rules = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(rules, list):
        what = "an object without it" if isinstance(suite, dict) and rules is None else "something else"
        raise _unreadable(path, what, "an object with a list 'expectations'")
    if not rules:
        raise SpecError(
            "a suite has no rule",
            where=str(path),
            seen="an empty list of expectations",
            expected="at least one rule",
            cure="aimass expectations learn NAME --write adds what the data show",
        )
    meta = suite.get("meta")
    faults = [] if meta is None or isinstance(meta, dict) else ["'meta' of the suite is not an object"]
    declined = meta.get("declined", []) if isinstance(meta, dict) else []
    if not (isinstance(declined, list) and all(isinstance(one, str) for one in declined)):
        faults.append("'declined' in 'meta' of the suite is not a list of ids of rules")
    for number, rule in enumerate(rules, 1):
        faults += [f"rule {number}{_named(rule)}: {fault}" for fault in _faults(rule)]
    if faults:
        raise _unreadable(path, f"{len(faults)} faults" if len(faults) > 1 else faults[0], "rules in form", faults)
    return dict(suite)


def _faults(rule: Any) -> Iterator[str]:
    if not isinstance(rule, dict):
        yield f"{json.dumps(rule)[:60]} is not an object with 'type' and 'kwargs'"
        return
    if not isinstance(rule.get("type"), str) or not rule["type"]:
        yield "'type' is not the name of an expectation"
    kwargs = rule.get("kwargs")
    if not isinstance(kwargs, dict):
        yield "'kwargs' is not an object of arguments"
    else:
        for key in ("column", "column_A", "column_B"):
            if key in kwargs and not isinstance(kwargs[key], str):
                yield f"{key!r} is not the name of a column"
        names = kwargs.get("column_list", [])
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            yield "'column_list' is not a list of names of columns"
    if rule.get("severity", "critical") not in SEVERITIES:
        yield f"severity {rule['severity']!r} is none of {', '.join(SEVERITIES)}; critical stops the night"
    if rule.get("id") is not None and not isinstance(rule["id"], str):
        yield "'id' is not text"
    meta = rule.get("meta")
    if meta is not None and not isinstance(meta, dict):
        yield "'meta' is not an object"
    elif meta and not (isinstance(meta.get("learned", "x"), str) and meta.get("learned", "x").strip()):
        yield "'learned' in 'meta' is not what was written there; leave it as it is, or remove it"


def _named(rule: Any) -> str:
    if not isinstance(rule, dict):
        return ""
    kwargs = rule.get("kwargs")
    column = kwargs.get("column") if isinstance(kwargs, dict) else None
    words = [str(rule["type"])[:60]] if rule.get("type") else []
    words += [f"of {column}"] if isinstance(column, str) else []
    return f" ({' '.join(words)})" if words else ""


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _unreadable(path: Path, seen: str, expected: str, faults: list[str] | None = None) -> SpecError:
    return SpecError(
        "a suite cannot be read", where=str(path), seen=seen, expected=expected, cure=_CURE, faults=faults or []
    )
