"""A reader of cells that remembers texts: most columns hold the same few again and again."""

from __future__ import annotations

from typing import Any, Final

from pipelines.inference.recipe.cells import Reader

MOST_TEXTS: Final = 1_000
"""Texts that one column remembers; later ones are read each time."""
MOST_LETTERS: Final = 64
"""A longer text is not remembered."""
_UNKNOWN: Final = object()


def remembered(read: Reader) -> Reader:
    """Return a reader with the results of ``read``, which depend on the cell alone and are never changed."""
    known: dict[str, Any] = {}

    def look_up(value: Any) -> Any:
        if type(value) is not str:
            return read(value)
        found = known.get(value, _UNKNOWN)
        if found is _UNKNOWN:
            found = read(value)
            if len(known) < MOST_TEXTS and len(value) <= MOST_LETTERS:
                known[value] = found
        return found

    return look_up
