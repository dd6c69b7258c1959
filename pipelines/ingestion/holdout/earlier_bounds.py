"""What earlier nights of a model sealed, from the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.artifacts import Night
from pipelines.ingestion.holdout.holdout_bounds import Bounds, Seal
from pipelines.ledger import Ledger


def earlier_bounds(ledger: Ledger, night: Night, group: Sequence[str] = ()) -> tuple[Bounds, bool]:
    """Return the bounds of nights known by ``as_of``, and whether they all sealed by another unit.

    Parameters
    ----------
    group
        Columns of the entity by which tonight seals; nights that sealed by keys, or by another entity, set no bounds
        but the first sealed day.
    """
    earlier = ledger.known_stages(night.model.name, "ingest", night.as_of, but=night.night)
    recorded: list[Mapping[str, Any]] = [row.stats for row in earlier if row.stats]
    starts = [stats["seal_start"] for stats in recorded if stats.get("seal_start")]
    sealed = [stats for stats in recorded if stats.get("seal_threshold") is not None]
    alike = [stats for stats in sealed if list(stats.get("seal_group") or ()) == list(group)]
    extras = [frozenset(stats.get("seal_extra") or ()) for stats in alike]
    bounds = Bounds(
        max(starts, default=None),
        min((stats["seal_threshold"] for stats in alike), default=None),
        frozenset(score for stats in alike for score in stats.get("seal_passed") or ()),
        frozenset.intersection(*extras) if extras else None,
    )
    return bounds, bool(sealed) and not alike


def recorded(seal: Seal | None, group: Sequence[str]) -> dict[str, Any]:
    """Return the record of a seal for the ledger; None if rows are sealed by time."""
    if seal is None:
        return {"seal_threshold": None}
    return {
        "seal_threshold": seal.threshold,
        "seal_group": list(group),
        "seal_passed": list(seal.passed),
        "seal_extra": list(seal.extra),
    }
