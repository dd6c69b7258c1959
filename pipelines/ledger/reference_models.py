"""The versions that tonight's model is compared with: the live one, and the best that was ever live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pipelines.artifacts import Ref

if TYPE_CHECKING:
    from pipelines.ledger import Ledger


DIGITS = 9
"""Decimal digits to which sums of improvements are compared, because of rounding errors."""


def reference_models(ledger: Ledger, model: str, night: str, is_published: Callable[[str], bool]) -> dict[str, Ref]:
    """Return ``champion`` and, where it is another version, ``anchor`` as inputs of the stage evaluate.

    Parameters
    ----------
    night
        The night that is judged: a version of its own, left by an earlier attempt, is no rival.
    is_published
        Tells whether a folder is in the storage; an anchor whose model directory is gone is not given.
    """
    found: dict[str, Ref] = {}
    champion = ledger.champion(model)
    if champion is None or champion.night == night:
        return found
    found["champion"] = _ref(champion)
    best = best_ever(ledger.versions(model), ledger.history(model))
    if best is not None and best.version != champion.version and is_published(best.model_uri):
        found["anchor"] = _ref(best)
    return found


def _ref(row: Any) -> Ref:
    verdict = row.verdict or {}
    meta = {
        "version": row.version,
        "as_of": row.as_of.isoformat() if row.as_of else None,
        "trained_until": verdict.get("trained_until"),
        "rows_trained": verdict.get("rows_trained"),
        **({"sealed_by": verdict["sealed_by"]} if verdict.get("sealed_by") else {}),
    }
    return Ref(uri=row.model_uri, digest=row.model_digest, stage="ensemble", meta=meta)


def best_ever(versions: Iterable[Any], history: Iterable[Any]) -> Any | None:
    """Return the row of the best version that ever was live and was not rolled back from.

    Scores of different nights were reached on different rows and do not compare. What compares are the improvements
    over the version that was live before, each measured on the same rows: a version stands as high as its champion
    plus its own improvement. A version that replaced one which could not be judged, or was judged by another metric,
    begins anew. Of equals the newest is given.

    Parameters
    ----------
    versions
        Rows of publications, oldest first: ``version, live_at, verdict``.
    history
        Rows of switches: ``from_version, to_version``.
    """
    left = {row.from_version for row in history if row.from_version and row.to_version < row.from_version}
    standing: dict[int, float] = {}
    rows: dict[int, Any] = {}
    metric = None
    for row in versions:
        verdict = row.verdict or {}
        if row.live_at is None:
            continue
        if verdict.get("champion_score") is None or verdict.get("metric") != metric:
            standing, rows, metric = {}, {}, verdict.get("metric")
        before = standing.get(verdict.get("champion_version") or 0, 0.0)
        standing[row.version] = round(before + float(verdict.get("improvement") or 0.0), DIGITS)
        rows[row.version] = row
    able = [number for number in rows if number not in left]
    return rows[max(able, key=lambda number: (standing[number], number))] if able else None
