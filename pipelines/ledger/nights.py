"""Nights and their stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, and_, insert, select, update

from pipelines.artifacts import Night
from pipelines.errors import AimassError
from pipelines.ledger.connect import Connected, now
from pipelines.ledger.schema import models, nights, stages
from pipelines.spec import ModelSpec


class SupersededError(AimassError):
    """An attempt came late: a newer one holds the night."""

    kind = "SupersededError"


COST = ("model_bytes", "row_ms_p50", "row_ms_p99")
"""Statistics of the stage ensemble: bytes of the model directory, median and 99th percentile of a row's time."""


class NightsPart(Connected):
    """What happened in each night."""

    def remember_model(self, spec: ModelSpec, identity: Sequence[str] | None = None) -> list[str]:
        """Record the model's newest spec and, once for ever, its identity columns; give those in force.

        Parameters
        ----------
        identity
            The columns that identify a row without a declared key; only the first call's are kept.
        """
        with self.transaction() as connection:
            row = connection.execute(select(models).where(models.c.name == spec.name)).one_or_none()
            dump = spec.model_dump(mode="json")
            if row is None:
                kept = None if identity is None else list(identity)
                connection.execute(insert(models).values(name=spec.name, spec=dump, identity=kept, created_at=now()))
                return kept or []
            kept = row.identity if row.identity is not None or identity is None else list(identity)
            connection.execute(update(models).where(models.c.name == spec.name).values(spec=dump, identity=kept))
            return kept or []

    def model(self, name: str) -> Row[Any] | None:
        """Give the model's row."""
        with self.engine.connect() as connection:
            return connection.execute(select(models).where(models.c.name == name)).one_or_none()

    def models(self) -> Sequence[Row[Any]]:
        """Give all models by name."""
        with self.engine.connect() as connection:
            return connection.execute(select(models).order_by(models.c.name)).all()

    def open_night(
        self, night: Night, source: str, dag_digest: str | None = None, params: Mapping[str, Any] | None = None
    ) -> None:
        """Record that a night began; a night that failed or is running is taken up again."""
        self.remember_model(night.model)
        where = and_(nights.c.model == night.model.name, nights.c.night == night.night)
        with self.transaction() as connection:
            if connection.execute(select(nights.c.fence).where(where)).one_or_none() is None:
                connection.execute(
                    insert(nights).values(
                        model=night.model.name,
                        night=night.night,
                        as_of=night.as_of,
                        source=source,
                        state="running",
                        fence=0,
                        dag_digest=dag_digest,
                        params=dict(params or {}),
                        started_at=now(),
                    )
                )
            else:
                connection.execute(update(nights).where(where).values(state="running", finished_at=None))

    def close_night(self, model: str, night: str, state: str, verdict: Mapping[str, Any] | None = None) -> None:
        """Record how a night ended: ``success`` or ``failed``."""
        values: dict[str, Any] = {"state": state, "finished_at": now()}
        if verdict is not None:
            values["verdict"] = dict(verdict)
        with self.transaction() as connection:
            connection.execute(
                update(nights).where(and_(nights.c.model == model, nights.c.night == night)).values(**values)
            )

    def night(self, model: str, night: str) -> Row[Any] | None:
        """Give one night."""
        with self.engine.connect() as connection:
            return connection.execute(
                select(nights).where(and_(nights.c.model == model, nights.c.night == night))
            ).one_or_none()

    def nights(self, model: str) -> Sequence[Row[Any]]:
        """Give a model's nights, oldest first."""
        with self.engine.connect() as connection:
            return connection.execute(select(nights).where(nights.c.model == model).order_by(nights.c.started_at)).all()

    def begin_stage(self, model: str, night: str, stage: str, spec: Mapping[str, Any] | None = None) -> int:
        """Record that an attempt begins and give its fencing number, higher than any before in this night."""
        where = and_(stages.c.model == model, stages.c.night == night, stages.c.stage == stage)
        of_night = and_(nights.c.model == model, nights.c.night == night)
        with self.transaction() as connection:
            fence = connection.execute(select(nights.c.fence).where(of_night)).scalar_one_or_none()
            if fence is None:
                raise AimassError("a stage began in a night that was never opened", where=f"{model} {night} {stage}")
            fence += 1
            connection.execute(update(nights).where(of_night).values(fence=fence))
            fresh: dict[str, Any] = {
                "state": "running",
                "fence": fence,
                "spec": dict(spec or {}),
                "started_at": now(),
                "finished_at": None,
                "ref": None,
                "stats": None,
                "error": None,
                "rows": None,
                "seconds": None,
                "reused": None,
                "key": None,
                "made_of": None,
            }
            attempt = connection.execute(select(stages.c.attempt).where(where)).scalar_one_or_none()
            if attempt is None:
                connection.execute(insert(stages).values(model=model, night=night, stage=stage, attempt=1, **fresh))
            else:
                connection.execute(update(stages).where(where).values(attempt=attempt + 1, **fresh))
        return int(fence)

    def finish_stage(self, model: str, night: str, stage: str, fence: int, **values: Any) -> None:
        """Record how an attempt ended; one that a newer attempt has overtaken is refused.

        Raises
        ------
        SupersededError
            If the stage was begun again since.
        """
        where = and_(stages.c.model == model, stages.c.night == night, stages.c.stage == stage)
        with self.transaction() as connection:
            current = connection.execute(select(stages.c.fence).where(where)).scalar_one_or_none()
            if current is not None and current > fence:
                raise SupersededError(
                    "this attempt was overtaken by a newer one",
                    where=f"{model} {night} {stage}",
                    seen=f"fence {fence}",
                    expected=f"fence {current}",
                    cure="nothing: the newer attempt goes on",
                )
            connection.execute(update(stages).where(where).values(finished_at=now(), **values))

    def find_finished(self, model: str, stage: str, key: str) -> Row[Any] | None:
        """Give the newest finished attempt with this re-use key."""
        with self.engine.connect() as connection:
            return connection.execute(
                select(stages)
                .where(
                    and_(
                        stages.c.model == model, stages.c.stage == stage, stages.c.key == key, stages.c.state == "done"
                    )
                )
                .order_by(stages.c.finished_at.desc())
                .limit(1)
            ).one_or_none()

    def stages(self, model: str, night: str) -> Sequence[Row[Any]]:
        """Give a night's stages in the order they began."""
        with self.engine.connect() as connection:
            return connection.execute(
                select(stages)
                .where(and_(stages.c.model == model, stages.c.night == night))
                .order_by(stages.c.started_at, stages.c.fence)
            ).all()

    def cost(self, model: str, night: str) -> dict[str, float]:
        """Give what a night's model costs, as far as it was measured: bytes, and milliseconds of a row alone."""
        made = next((row.stats or {} for row in self.stages(model, night) if row.stage == "ensemble"), {})
        return {name: made[name] for name in COST if name in made}
