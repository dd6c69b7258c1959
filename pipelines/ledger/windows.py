"""The windows of traffic that the monitor has judged: each once, so that later ones can be compared with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, select

from pipelines.ledger.connect import Connected, upsert
from pipelines.ledger.rows import WindowRow, all_of
from pipelines.ledger.schema import monitor_windows

KEPT = 200
"""Newest windows of a model and kind that are all kept; of the older ones the last of each day is."""
KEPT_DAYS = 400
"""Days after which no window is kept."""


class WindowsPart(Connected):
    """The windows that were judged."""

    def add_window(
        self, model: str, kind: str, *, started_at: datetime, ended_at: datetime, rows: int, figures: Mapping[str, Any]
    ) -> bool:
        """Keep what was found in a window and tidy the oldest away; return whether it had not been judged yet.

        Parameters
        ----------
        kind
            What was judged, such as ``inputs``, ``labels`` or ``service``.
        started_at, ended_at
            Moments of the oldest and the newest row.
        figures
            What was found, as JSON.
        """
        with self.transaction() as connection:
            new = upsert(connection, monitor_windows).values(
                model=model, kind=kind, started_at=started_at, ended_at=ended_at, rows=rows, figures=dict(figures)
            )
            added = connection.execute(new.on_conflict_do_nothing().returning(monitor_windows.c.id)).one_or_none()
            if added is None:
                return False
            of_kind = and_(monitor_windows.c.model == model, monitor_windows.c.kind == kind)
            older = select(monitor_windows.c.id, monitor_windows.c.ended_at).where(of_kind)
            older = older.order_by(monitor_windows.c.ended_at.desc()).offset(KEPT)
            gone, day = [], None
            for row in connection.execute(older):
                if row.ended_at.date() == day or row.ended_at < ended_at - timedelta(days=KEPT_DAYS):
                    gone.append(row.id)
                day = row.ended_at.date()
            if gone:
                connection.execute(delete(monitor_windows).where(monitor_windows.c.id.in_(gone)))
        return True

    def windows(self, model: str, kind: str, most: int = KEPT) -> list[WindowRow]:
        """Return the newest windows of a kind, oldest first."""
        query = select(monitor_windows).where(and_(monitor_windows.c.model == model, monitor_windows.c.kind == kind))
        with self.engine.connect() as connection:
            found = all_of(WindowRow, connection.execute(query.order_by(monitor_windows.c.ended_at.desc()).limit(most)))
        return found[::-1]
