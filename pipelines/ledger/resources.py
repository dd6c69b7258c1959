"""What tasks and services took of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, select

from pipelines.ledger.connect import Connected, now, upsert
from pipelines.ledger.rows import ServingUsageRow, TaskUsageRow, all_of
from pipelines.ledger.schema import publications, serving_usage, task_usage
from pipelines.ledger.versions import DELETED

KEPT_DAYS = 400
"""Days after which the runs of operations are forgotten; those of nights are kept."""


class ResourcesPart(Connected):
    """The use of CPU, memory, storage and GPU."""

    def add_task_usage(
        self,
        stage: str,
        *,
        state: str,
        seconds: float,
        usage: Mapping[str, Any],
        model: str | None = None,
        night: str | None = None,
        fence: int = 0,
    ) -> None:
        """Keep what an attempt of a stage or a run of an operation took; of an attempt the first report stands.

        Parameters
        ----------
        seconds
            Of the wall clock.
        usage
            The columns of :class:`pipelines.process_usage.ProcessUsage`.
        night
            None: an operation.
        """
        ended = now()
        new = {"stage": stage, "state": state, "seconds": seconds, "model": model, "night": night, "fence": fence}
        with self.transaction() as connection:
            row = upsert(connection, task_usage).values(**new, **usage, ended_at=ended)
            connection.execute(row.on_conflict_do_nothing())
            if night is None:
                old = task_usage.c.ended_at < ended - timedelta(days=KEPT_DAYS)
                connection.execute(delete(task_usage).where(and_(task_usage.c.night.is_(None), old)))

    def task_usage(self, model: str, night: str | None = None) -> list[TaskUsageRow]:
        """Return what the tasks of a model took, or of one night of it, oldest first."""
        query = select(task_usage).where(task_usage.c.model == model)
        if night is not None:
            query = query.where(task_usage.c.night == night)
        with self.engine.connect() as connection:
            return all_of(TaskUsageRow, connection.execute(query.order_by(task_usage.c.id)))

    def old_task_usage(self, before: datetime, *, forget: bool = False) -> int:
        """Count what tasks took before a moment, but for nights that have a version; on request forget it."""
        named = (publications.c.model == task_usage.c.model, publications.c.night == task_usage.c.night)
        kept = select(publications.c.night).where(
            *named, publications.c.version.is_not(None), publications.c.state != DELETED
        )
        old = and_(task_usage.c.ended_at < before, ~kept.exists())
        with self.transaction() as connection:
            if forget:
                return connection.execute(delete(task_usage).where(old)).rowcount
            return connection.execute(select(func.count()).select_from(task_usage).where(old)).scalar_one()

    def newest_task_usage(self) -> list[TaskUsageRow]:
        """Return of each stage of each model, and of each operation, what its newest run took."""
        newest = select(func.max(task_usage.c.id)).group_by(task_usage.c.model, task_usage.c.stage)
        query = select(task_usage).where(task_usage.c.id.in_(newest)).order_by(task_usage.c.id)
        with self.engine.connect() as connection:
            return all_of(TaskUsageRow, connection.execute(query))

    def observe_serving(
        self, model: str, version: int, process: str, *, cpu_seconds: float, rows: int, memory: int
    ) -> None:
        """Keep the counters of a serving process, split by day: each day has what was added since the last one.

        Asking again changes nothing, and whoever asks needs no memory of its own.

        Parameters
        ----------
        version
            0: the gateway's share of the model.
        process
            Identifies the process, not only among those that live.
        cpu_seconds, rows
            Since the process began.
        memory
            Bytes that it holds now.
        """
        moment = datetime.now(UTC)
        keys = [serving_usage.c.model, serving_usage.c.version, serving_usage.c.process, serving_usage.c.day]
        mine = and_(*(key == value for key, value in zip(keys, (model, version, process), strict=False)))
        earlier = and_(mine, serving_usage.c.day < moment.date())
        columns = [func.coalesce(func.sum(each), 0) for each in (serving_usage.c.cpu_seconds, serving_usage.c.rows)]
        with self.transaction() as connection:
            cpu_before, rows_before = connection.execute(select(*columns).where(earlier)).one()
            values = {
                "cpu_seconds": cpu_seconds - float(cpu_before),
                "rows": rows - int(rows_before),
                "memory": memory,
                "updated_at": moment,
            }
            new = upsert(connection, serving_usage).values(
                model=model, version=version, process=process, day=moment.date(), **values
            )
            connection.execute(new.on_conflict_do_update(index_elements=keys, set_=values))

    def serving_usage(self, model: str | None = None) -> list[ServingUsageRow]:
        """Return what the services of a model, or of all, took day by day."""
        query = select(serving_usage).order_by(serving_usage.c.model, serving_usage.c.version, serving_usage.c.day)
        if model is not None:
            query = query.where(serving_usage.c.model == model)
        with self.engine.connect() as connection:
            return all_of(ServingUsageRow, connection.execute(query))
