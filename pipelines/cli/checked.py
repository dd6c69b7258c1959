"""What a check of `aimass doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Checked:
    """One check: ``ok``, ``warning`` or ``wrong``, what was seen, and what to do."""

    what: str
    state: str
    seen: str
    cure: str = ""
