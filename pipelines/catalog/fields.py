"""What may be said of a model, and how each field is checked; all faults are told at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipelines.errors import SpecError
from pipelines.spec import did_you_mean

LONGEST = {"description": 20_000, "domain": 63, "owner": 120, "licence": 120}
"""Characters of each text."""
MOST = 20
"""Tags, use cases and related models of an entry."""
LONGEST_USE_CASE = 200
LONGEST_NOTE = 4_000
LONGEST_REVIEW = 2_000
LONGEST_REASON = 500
STARS = (1, 5)
TAG = re.compile(r"[^\W_][\w.:+-]{0,39}")
"""A tag: a letter or digit, then letters, digits and ``_ . : + -``; at most 40 characters, no blanks."""
LISTS = ("tags", "use_cases", "related")
FIELDS = (*LONGEST, *LISTS)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def checked(fields: Mapping[str, Any], model: str, models: Iterable[str]) -> dict[str, Any]:
    """Return the fields of an entry as they are kept; None takes back what was said.

    Of equal tags or names the last is kept; a model is not related to itself.

    Parameters
    ----------
    model
        Whose entry it is.
    models
        Names that ``related`` may hold.

    Raises
    ------
    SpecError
        With every fault.
    """
    known = set(models)
    found: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in fields.items():
        if name not in FIELDS:
            faults.append(f"{str(name)[:60]!r}: no such field{did_you_mean(str(name)[:60], FIELDS)}")
            continue
        try:
            found[name] = None if value is None else _read(name, value, model, known)
        except ValueError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise SpecError(
            "the entry cannot be changed so",
            where=model,
            seen=f"{len(faults)} faults" if len(faults) > 1 else faults[0],
            expected=", ".join(FIELDS),
            cure="correct what each line says; nothing was changed",
            faults=faults if len(faults) > 1 else [],
        )
    return found


def plain_text(text: Any, most: int, what: str, where: str, least: int = 1) -> str:
    """Return a text without blanks around it.

    Raises
    ------
    SpecError
        It is no text, empty, too long, or holds control characters.
    """
    try:
        return _text(text, most, least)
    except ValueError as error:
        raise SpecError(
            f"{what} cannot be kept", where=where, seen=str(error), expected=f"{least} to {most} characters"
        ) from None


def stars_of(value: Any, model: str) -> int:
    """Return a number of stars.

    Raises
    ------
    SpecError
        It is none from 1 to 5.
    """
    low, high = STARS
    if type(value) is not int or not low <= value <= high:
        raise SpecError(
            "this is no rating", where=model, seen=repr(value)[:60], expected=f"a whole number, {low} to {high}"
        )
    return value


def _read(name: str, value: Any, model: str, known: set[str]) -> Any:
    if name in LONGEST:
        return _text(value, LONGEST[name], 0) or None
    if not isinstance(value, list | tuple):
        raise ValueError(f"a list is expected, seen {type(value).__name__}")
    read: Callable[[Any], str] = {"tags": _tag, "use_cases": lambda text: _text(text, LONGEST_USE_CASE, 1)}.get(
        name, lambda text: _related(text, known)
    )
    found = list({each.casefold(): each for each in map(read, value) if name != "related" or each != model}.values())
    if len(found) > MOST:
        raise ValueError(f"at most {MOST} are kept, seen {len(found)}")
    return found or None


def _text(value: Any, most: int, least: int) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text is expected, seen {type(value).__name__}")
    text = value.replace("\r\n", "\n").strip()
    if bad := _CONTROL.search(text):
        raise ValueError(f"a text holds no control characters, seen {bad.group()!a}")
    if not least <= len(text) <= most:
        raise ValueError(f"{len(text)} characters, expected {least} to {most}")
    return text


def _tag(value: Any) -> str:
    text = _text(value, 40, 1)
    if not TAG.fullmatch(text):
        raise ValueError(f"{text!r} is no tag: letters, digits and _ . : + - without blanks, at most 40 characters")
    return text


def _related(value: Any, known: set[str]) -> str:
    text = _text(value, 63, 1)
    if text not in known:
        raise ValueError(f"there is no model {text!r}{did_you_mean(text, known)}")
    return text
