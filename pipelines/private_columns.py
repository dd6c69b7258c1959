"""Private columns: what the prediction log holds in place of their cells.

A model declares them in its spec (``private``), a version carries them in its serve schema. ``drop`` leaves a cell
out; ``hash`` writes a keyed hash: equal values have equal hashes, in every model of one home, so that joins and counts
still work, and nobody without the home's secret can try values out.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.secret_files import secret
from pipelines.settings import Settings

SECRET = "private_columns"  # noqa: S105 - the name of a secret, not one
HASHED = "hmac-sha256:"
"""How a hash begins in the log."""
HEX_DIGITS = 32


def hashing_key(settings: Settings) -> bytes:
    """Return the home's key of the hashes, made on first use."""
    return secret(settings, SECRET).encode()


def masked(columns: Mapping[str, Sequence[Any]], rules: Mapping[str, str], key: bytes) -> dict[str, Sequence[Any]]:
    """Return the columns as the log may hold them.

    Parameters
    ----------
    rules
        By column ``hash`` or ``drop``; an unknown rule drops.
    """
    kept: dict[str, Sequence[Any]] = {}
    for name, cells in columns.items():
        rule = rules.get(name)
        if rule is None:
            kept[name] = cells
        elif rule == "hash":
            kept[name] = [hashed(cell, key) for cell in cells]
    return kept


def hashed(cell: Any, key: bytes) -> str | None:
    """Return the hash of a cell; 1, 1.0 and "1" are one value, a missing cell stays missing."""
    if cell is None or cell != cell:  # NaN
        return None
    return HASHED + hmac.digest(key, _text(cell).encode("utf-8", "surrogatepass"), "sha256").hex()[:HEX_DIGITS]


def is_hashed(cell: Any) -> bool:
    """Tell whether a logged cell is a hash."""
    return isinstance(cell, str) and cell.startswith(HASHED)


def private_cells(instance: Mapping[str, Any], needed: Iterable[str], rules: Mapping[str, str]) -> bool:
    """Tell whether the log hashed a cell that is needed, or dropped one by the rules."""
    return any(is_hashed(instance[name]) if name in instance else name in rules for name in needed)


def _text(cell: Any) -> str:
    from pipelines.inference.recipe.cells import cell_text

    text = json.dumps(cell, sort_keys=True) if isinstance(cell, list | dict) else cell_text(cell)
    return text if isinstance(text, str) else str(cell)
