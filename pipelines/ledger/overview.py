"""What pages show of many models or many versions at once: few statements, and of each row only what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import and_, case, func, or_, select

from pipelines.ledger.connect import Connected
from pipelines.ledger.rows import AlertRow, TaskUsageRow, all_of, one_of
from pipelines.ledger.schema import (
    alerts,
    models,
    monitor_windows,
    nights,
    publications,
    routes,
    serving_usage,
    task_usage,
    usage,
)
from pipelines.ledger.versions import DELETED


@dataclass(frozen=True)
class OverviewRow:
    """A model at a glance.

    Parameters
    ----------
    state, source
        Of the newest night: platform, local or import; None: there is none.
    requests, errors
        Since the day that was asked for.
    """

    name: str
    task: str
    owner: str | None
    live: int | None
    live_at: datetime | None
    metric: str | None
    score: float | None
    baseline: float | None
    night: str | None
    as_of: datetime | None
    state: str | None
    source: str | None
    alerts: int
    requests: int
    errors: int


@dataclass(frozen=True)
class ScoreRow:
    """A version without its long texts."""

    version: int
    night: str
    state: str
    as_of: datetime | None
    metric: str | None
    score: float | None
    baseline: float | None
    live_at: datetime | None
    verdict: str | None


@dataclass(frozen=True)
class NightLine:
    """A night without its long texts."""

    night: str
    as_of: datetime
    state: str
    source: str
    started_at: datetime
    finished_at: datetime | None
    verdict: str | None
    version: int | None


class OverviewPart(Connected):
    """Many models, or many versions."""

    def overview(self, since: date) -> list[OverviewRow]:
        """Return all models by name, without those that were deleted as a whole."""
        of_model = publications.c.model == models.c.name
        other = nights.alias()
        last = select(func.max(other.c.started_at)).where(other.c.model == models.c.name).scalar_subquery()
        newest = and_(nights.c.model == models.c.name, nights.c.started_at == last)
        live = and_(of_model, publications.c.version == routes.c.version, publications.c.state == "live")
        wanted = select(
            models.c.name,
            models.c.spec["task"].as_string().label("task"),
            models.c.spec["owner"].as_string().label("owner"),
            publications.c.version.label("live"),
            publications.c.live_at,
            publications.c.metric,
            publications.c.score,
            publications.c.baseline,
            nights.c.night,
            nights.c.as_of,
            nights.c.state,
            nights.c.source,
        ).select_from(
            models.outerjoin(nights, newest)
            .outerjoin(routes, routes.c.model == models.c.name)
            .outerjoin(publications, live)
        )
        fired = select(alerts.c.model, func.count()).where(alerts.c.resolved_at.is_(None)).group_by(alerts.c.model)
        asked = select(usage.c.model, func.sum(usage.c.requests), func.sum(usage.c.errors)).where(usage.c.day >= since)
        with self.engine.connect() as connection:
            counts = {row[0]: int(row[1]) for row in connection.execute(fired)}
            calls = {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(asked.group_by(usage.c.model))}
            rows = {row.name: row for row in connection.execute(wanted.order_by(models.c.name))}
        return [
            OverviewRow(
                **row._mapping,
                alerts=counts.get(name, 0),
                requests=calls.get(name, (0, 0))[0],
                errors=calls.get(name, (0, 0))[1],
            )
            for name, row in rows.items()
            if row.state != DELETED
        ]

    def newest_scores(self, names: Sequence[str], most: int = 30) -> dict[str, list[ScoreRow]]:
        """Return the newest versions of some models, oldest first."""
        other = publications.alias()
        last = select(other.c.model, func.max(other.c.version).label("version")).where(other.c.model.in_(names))
        newest = last.group_by(other.c.model).subquery()
        recent = and_(publications.c.model == newest.c.model, publications.c.version > newest.c.version - most)
        found: dict[str, list[ScoreRow]] = {name: [] for name in names}
        query = select(publications.c.model, *_LIGHT).select_from(newest.join(publications, recent))
        query = query.where(publications.c.state != DELETED)
        with self.engine.connect() as connection:
            for model, *fields in connection.execute(query.order_by(publications.c.model, publications.c.version)):
                found[model].append(ScoreRow(*fields))
        return found

    def score_line(self, model: str) -> list[ScoreRow]:
        """Return all versions of a model, oldest first."""
        numbered = and_(publications.c.version.is_not(None), publications.c.state != DELETED)
        query = select(*_LIGHT).where(and_(publications.c.model == model, numbered))
        with self.engine.connect() as connection:
            return all_of(ScoreRow, connection.execute(query.order_by(publications.c.version)))

    def night_line(self, model: str, most: int = 400) -> list[NightLine]:
        """Return the newest nights of a model, oldest first."""
        query: Any = select(
            nights.c.night,
            nights.c.as_of,
            nights.c.state,
            nights.c.source,
            nights.c.started_at,
            nights.c.finished_at,
            nights.c.verdict["verdict"].as_string().label("verdict"),
            nights.c.verdict["version"].as_integer().label("version"),
        ).where(nights.c.model == model)
        with self.engine.connect() as connection:
            newest = connection.execute(query.order_by(nights.c.started_at.desc()).limit(most)).mappings()
            return [NightLine(**row) for row in newest][::-1]

    def last_verdicts(self, names: Sequence[str], kind: str = "inputs") -> dict[str, tuple[datetime, dict[str, Any]]]:
        """Return when the newest window of some models ended, and which columns count in it, by kind of change."""
        other = monitor_windows.alias()
        same = and_(other.c.model == monitor_windows.c.model, other.c.kind == kind)
        last = select(func.max(other.c.ended_at)).where(same).scalar_subquery()
        windows = and_(monitor_windows.c.model.in_(names), monitor_windows.c.kind == kind)
        query = select(
            monitor_windows.c.model, monitor_windows.c.ended_at, monitor_windows.c.figures["verdict"].label("verdict")
        ).where(and_(windows, monitor_windows.c.ended_at == last))
        with self.engine.connect() as connection:
            return {row.model: (row.ended_at, row.verdict or {}) for row in connection.execute(query)}

    def usage_of(self, model: str, since: date) -> list[tuple[str, int, int, int, date]]:
        """Return who called a model since a day: token, requests, errors, rows, and the last day; the most first."""
        columns = [func.sum(column).label(column.name) for column in (usage.c.requests, usage.c.errors, usage.c.rows)]
        query = select(usage.c.token, *columns, func.max(usage.c.day)).where(usage.c.model == model)
        with self.engine.connect() as connection:
            rows = connection.execute(query.where(usage.c.day >= since).group_by(usage.c.token)).all()
        found = [(row[0], int(row[1]), int(row[2]), int(row[3]), row[4]) for row in rows]
        return sorted(found, key=lambda row: (-row[1], row[0]))

    def newest_operations(self) -> dict[str, TaskUsageRow]:
        """Return the newest run of each operation that is of no model."""
        newest = select(func.max(task_usage.c.id)).where(task_usage.c.model.is_(None)).group_by(task_usage.c.stage)
        with self.engine.connect() as connection:
            rows = connection.execute(select(task_usage).where(task_usage.c.id.in_(newest)))
            return {row.stage: row for row in all_of(TaskUsageRow, rows)}

    def cost_by_model(self, since: datetime) -> dict[str, dict[str, float]]:
        """Return by model what its tasks and services took since a moment: {cpu, gpu, serving} seconds, {rows}."""
        tasks = select(task_usage.c.model, func.sum(task_usage.c.cpu_seconds), func.sum(task_usage.c.gpu_seconds))
        tasks = tasks.where(and_(task_usage.c.ended_at >= since, task_usage.c.model.is_not(None)))
        predicted = func.sum(case((serving_usage.c.version != 0, serving_usage.c.rows), else_=0))
        served = select(serving_usage.c.model, func.sum(serving_usage.c.cpu_seconds), predicted)
        served = served.where(serving_usage.c.day >= since.date())
        found: dict[str, dict[str, float]] = {}
        with self.engine.connect() as connection:
            for name, cpu, gpu in connection.execute(tasks.group_by(task_usage.c.model)):
                found[name] = {"cpu": float(cpu), "gpu": float(gpu), "serving": 0.0, "rows": 0.0}
            for name, cpu, rows in connection.execute(served.group_by(serving_usage.c.model)):
                line = found.setdefault(name, {"cpu": 0.0, "gpu": 0.0, "serving": 0.0, "rows": 0.0})
                line["serving"], line["rows"] = float(cpu), float(rows)
        return found

    def alerts_of(self, model: str | None, most: int = 100) -> list[AlertRow]:
        """Return the alerts of a model, or those of no model: open ones first, then the newest."""
        mine = alerts.c.model.is_(None) if model is None else alerts.c.model == model
        query = select(alerts).where(mine).order_by(alerts.c.resolved_at.is_not(None), alerts.c.id.desc())
        with self.engine.connect() as connection:
            return all_of(AlertRow, connection.execute(query.limit(most)))

    def alert_numbered(self, number: int) -> AlertRow | None:
        """Return one alert."""
        with self.engine.connect() as connection:
            return one_of(AlertRow, connection.execute(select(alerts).where(alerts.c.id == number)).one_or_none())

    def open_alerts_of(self, model: str) -> list[AlertRow]:
        """Return the open alerts of a model and of the platform, newest first."""
        mine = and_(alerts.c.resolved_at.is_(None), or_(alerts.c.model == model, alerts.c.model.is_(None)))
        with self.engine.connect() as connection:
            return all_of(AlertRow, connection.execute(select(alerts).where(mine).order_by(alerts.c.id.desc())))


_LIGHT = (
    publications.c.version,
    publications.c.night,
    publications.c.state,
    publications.c.as_of,
    publications.c.metric,
    publications.c.score,
    publications.c.baseline,
    publications.c.live_at,
    publications.c.verdict["verdict"].as_string().label("verdict"),
)
