"""Repair of category texts: letter case, inner spaces, trailing dots, and declared aliases."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from pipelines.inference.recipe.cells import WHITESPACE, canonical_text

Step = Literal["case", "spaces", "dots"]
Repair = Callable[[str], str]
_BLANKS: Final = re.compile(f"[{re.escape(WHITESPACE)}]+")


def repairer(steps: tuple[Step, ...], aliases: Mapping[str, str]) -> Repair | None:
    """Return the function that repairs a canonical text, or None where there is nothing to do.

    ``case`` folds letters, ``spaces`` makes every run of white space one blank, ``dots`` cuts dots off the end. Then a
    text that is an alias (compared after the same repair) becomes what it stands for. Repairing twice changes nothing.

    >>> repair = repairer(("case", "spaces", "dots"), {"nyc": "New York"})
    >>> [repair(text) for text in ("NEW   york.", "NYC", "Paris")]
    ['New York', 'New York', 'paris']
    """
    if not steps and not aliases:
        return None

    def plain(text: str) -> str:
        if "case" in steps:
            text = text.casefold()
        if "spaces" in steps:
            text = _BLANKS.sub(" ", text)
        if "dots" in steps:
            while text.endswith("."):
                text = text[:-1].rstrip(WHITESPACE)
        return canonical_text(text)

    meant = {plain(canonical_text(name)): canonical_text(name) for name in aliases.values()}
    known = {**meant, **{plain(canonical_text(alias)): canonical_text(name) for alias, name in aliases.items()}}

    def repair(text: str) -> str:
        text = plain(text)
        return known.get(text, text)

    return repair


def chained(steps: tuple[Step, ...], aliases: Mapping[str, str]) -> list[str]:
    """Name the aliases that stand for a text which is itself an alias of another one."""
    repair = repairer(steps, aliases)
    if repair is None:
        return []
    return sorted(alias for alias, name in aliases.items() if repair(canonical_text(name)) != canonical_text(name))
