"""A night that is older than what is live: it can never go live, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.ledger import Ledger
    from pipelines.ledger.rows import NightRow

ALERT = "older-night"
"""Kind and key of the alert."""


def older_than_live(ledger: Ledger, model: str, night: NightRow | None) -> str:
    """Return what to say of a night that is older than the live version; empty if it is not."""
    live = ledger.champion(model)
    if night is None or live is None or live.as_of is None or live.night == night.night or night.as_of >= live.as_of:
        return ""
    return (
        f"the night of {night.as_of:%Y-%m-%d %H:%M} is older than version {live.version}, which is live, of "
        f"{live.as_of:%Y-%m-%d %H:%M}: it cannot go live. If that date is wrong, "
        f'aimass rollback {model} --why "wrong date" frees the nights that follow, or aimass promote one of them'
    )
