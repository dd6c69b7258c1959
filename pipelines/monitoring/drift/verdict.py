"""What several windows together say: a column counts if two of three agree, or at once where it is beyond doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LAST = 3
"""Windows that decide together."""
AGREE = 2
KINDS = ("drift", "nulls", "unseen")
Figures = Mapping[str, Any]


def verdict(
    columns: Mapping[str, Figures], past: Sequence[Figures], kinds: Sequence[str] = KINDS
) -> dict[str, list[str]]:
    """Return by kind the columns that count, given the windows before this one.

    A column that counted goes on counting until none of the last three windows shows it.

    Parameters
    ----------
    columns
        Figures of this window by column.
    past
        Earlier windows as they are kept, oldest first: ``{"columns": …, "verdict": …}``.
    """
    found: dict[str, list[str]] = {}
    for kind in kinds:
        earlier = past[-(LAST - 1) :]
        before = set(past[-1]["verdict"].get(kind, ())) if past else set()
        counted = []
        for name, figures in columns.items():
            shows = figures["shows"]
            times = sum(kind in window["columns"].get(name, {}).get("shows", ()) for window in earlier)
            times += kind in shows
            if shows.get(kind) or times >= AGREE or (name in before and times):
                counted.append(name)
        found[kind] = sorted(counted)
    return found
