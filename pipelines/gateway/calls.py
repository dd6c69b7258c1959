"""One request on its way through the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from pipelines.gateway.services import Predicted
from pipelines.gateway.tables import Table

CALL = "aimass.call"


@dataclass
class Call:
    """One request on its way; what is not known yet is empty."""

    request_id: str
    started: float
    model: str = ""
    sticky: str = ""
    token: str = ""
    metered: bool = False
    scopes: tuple[str, ...] = ()
    status: int = 500
    error: str = ""
    traceparent: str = ""
    table: Table | None = None
    asked: int | None = None
    """Version whose service was asked; that of one that has answered is in ``predicted``."""
    predicted: Predicted | None = None

    @property
    def rows(self) -> int:
        """Rows that were asked for."""
        return 0 if self.table is None else self.table.rows

    def doubts(self) -> dict[str, dict[str, int]]:
        """Return by column and kind the number of doubtful cells."""
        counts: dict[str, dict[str, int]] = {}
        for _, name, kind in self.predicted.warnings if self.predicted is not None else ():
            kinds = counts.setdefault(name, {})
            kinds[kind] = kinds.get(kind, 0) + 1
        return counts


def call_of(request: Request) -> Call:
    """Return what is known of a request."""
    call: Call = request.scope[CALL]
    return call
