"""Nights and their stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, insert, or_, select, update

from pipelines.artifacts import Night
from pipelines.errors import AimassError
from pipelines.ledger.archive import refuse_if_archived
from pipelines.ledger.connect import Connected, now, upsert
from pipelines.ledger.rows import ModelRow, NightRow, StageRow, all_of, one_of
from pipelines.ledger.schema import models, nights, stages
from pipelines.spec import ModelSpec


class SupersededError(AimassError):
    """The attempt is superseded: a newer one holds the night."""

    kind = "SupersededError"


COST = ("model_bytes", "row_ms_p50", "row_ms_p99")
"""Statistics of the stage ensemble: bytes of the model directory, median and 99th percentile of a row's time."""


IMPORTED = "import"
"""Source of the entry for a version that was made elsewhere; it is a night without stages."""


class NightsPart(Connected):
    """What happened in each night."""

    def remember_model(self, spec: ModelSpec, identity: Sequence[str] | None = None) -> list[str]:
        """Record the model's newest spec and, only once, its identity columns; return the columns in force.

        Parameters
        ----------
        identity
            The columns that identify a row without a declared key; only the first call's are kept.
        """
        dump = spec.model_dump(mode="json")
        with self.transaction() as connection:
            new = upsert(connection, models).values(name=spec.name, spec=dump, identity=None, created_at=now())
            connection.execute(new.on_conflict_do_nothing())
            of_model = models.c.name == spec.name
            kept = connection.execute(select(models.c.identity).where(of_model).with_for_update()).scalar_one()
            if kept is None and identity is not None:
                kept = list(identity)
            connection.execute(update(models).where(of_model).values(spec=dump, identity=kept))
            return kept or []

    def model(self, name: str) -> ModelRow | None:
        """Return a model."""
        with self.engine.connect() as connection:
            return one_of(ModelRow, connection.execute(select(models).where(models.c.name == name)).one_or_none())

    def models(self) -> list[ModelRow]:
        """Return all models by name."""
        with self.engine.connect() as connection:
            return all_of(ModelRow, connection.execute(select(models).order_by(models.c.name)))

    def open_night(
        self, night: Night, source: str, dag_digest: str | None = None, params: Mapping[str, Any] | None = None
    ) -> None:
        """Record that a night began; a failed or running night is resumed.

        Raises
        ------
        SpecError
            The model is archived.
        """
        self.remember_model(night.model)
        with self.transaction() as connection:
            new = upsert(connection, nights).values(
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
            again = {"state": "running", "finished_at": None}
            connection.execute(new.on_conflict_do_update(index_elements=list(nights.primary_key), set_=again))
            refuse_if_archived(
                connection, night.model.name
            )  # after the row: whoever archives waits for it, or it for them

    def close_night(self, model: str, night: str, state: str, verdict: Mapping[str, Any] | None = None) -> None:
        """Record how a night ended: ``success`` or ``failed``."""
        values: dict[str, Any] = {"state": state, "finished_at": now()}
        if verdict is not None:
            values["verdict"] = dict(verdict)
        with self.transaction() as connection:
            connection.execute(
                update(nights).where(and_(nights.c.model == model, nights.c.night == night)).values(**values)
            )

    def night(self, model: str, night: str) -> NightRow | None:
        """Return one night."""
        with self.engine.connect() as connection:
            found = connection.execute(select(nights).where(and_(nights.c.model == model, nights.c.night == night)))
            return one_of(NightRow, found.one_or_none())

    def nights(self, model: str) -> list[NightRow]:
        """Return a model's nights, oldest first."""
        with self.engine.connect() as connection:
            of_model = select(nights).where(nights.c.model == model)
            return all_of(NightRow, connection.execute(of_model.order_by(nights.c.started_at)))

    def begin_stage(self, model: str, night: str, stage: str, spec: Mapping[str, Any] | None = None) -> int:
        """Record that an attempt begins; return its fencing number, higher than any before in this night."""
        of_night = and_(nights.c.model == model, nights.c.night == night)
        with self.transaction() as connection:
            higher = update(nights).where(of_night).values(fence=nights.c.fence + 1).returning(nights.c.fence)
            fence = connection.execute(higher).scalar_one_or_none()
            if fence is None:
                raise AimassError("a stage began in a night that was never opened", where=f"{model} {night} {stage}")
            fresh = dict.fromkeys(
                ("finished_at", "ref", "stats", "error", "rows", "seconds", "reused", "key", "made_of")
            ) | {"state": "running", "fence": fence, "spec": dict(spec or {}), "started_at": now()}
            first = upsert(connection, stages).values(model=model, night=night, stage=stage, attempt=1, **fresh)
            again = {"attempt": stages.c.attempt + 1, **fresh}
            connection.execute(first.on_conflict_do_update(index_elements=list(stages.primary_key), set_=again))
        return int(fence)

    def finish_stage(self, model: str, night: str, stage: str, fence: int, **values: Any) -> None:
        """Record how an attempt ended; refuse an attempt that a newer one has superseded.

        Raises
        ------
        SupersededError
            If the stage was begun again since.
        """
        of_stage = and_(stages.c.model == model, stages.c.night == night, stages.c.stage == stage)
        with self.transaction() as connection:
            own = and_(of_stage, stages.c.fence <= fence)
            if connection.execute(update(stages).where(own).values(finished_at=now(), **values)).rowcount:
                return
            current = connection.execute(select(stages.c.fence).where(of_stage)).scalar_one_or_none()
        if current is not None:
            raise SupersededError(
                "this attempt was overtaken by a newer one",
                where=f"{model} {night} {stage}",
                seen=f"fence {fence}",
                expected=f"fence {current}",
                cure="nothing: the newer attempt goes on",
            )

    def find_finished(self, model: str, stage: str, key: str) -> StageRow | None:
        """Return the newest finished attempt with this re-use key."""
        of_key = and_(stages.c.model == model, stages.c.stage == stage, stages.c.key == key, stages.c.state == "done")
        with self.engine.connect() as connection:
            newest = select(stages).where(of_key).order_by(stages.c.finished_at.desc()).limit(1)
            return one_of(StageRow, connection.execute(newest).one_or_none())

    def stages(self, model: str, night: str) -> list[StageRow]:
        """Return a night's stages in the order they began."""
        of_night = and_(stages.c.model == model, stages.c.night == night)
        with self.engine.connect() as connection:
            found = select(stages).where(of_night).order_by(stages.c.started_at, stages.c.fence)
            return all_of(StageRow, connection.execute(found))

    def known_stages(self, model: str, stage: str, as_of: datetime, but: str) -> list[StageRow]:
        """Return the finished attempts of one stage in all nights of a model up to a date, but one night's."""
        known = and_(
            stages.c.model == model,
            stages.c.stage == stage,
            stages.c.state == "done",
            stages.c.night != but,
            nights.c.as_of <= as_of,
        )
        same = and_(stages.c.model == nights.c.model, stages.c.night == nights.c.night)
        with self.engine.connect() as connection:
            return all_of(StageRow, connection.execute(select(stages).join(nights, same).where(known)))

    def copy_night(self, night: NightRow, target: NightsPart) -> None:
        """Copy what a night could see into an empty ledger: its model, the night, earlier nights and their stages.

        Nothing of it can be re-used there.
        """
        own = and_(nights.c.model == night.model, nights.c.night == night.night)
        earlier = and_(nights.c.model == night.model, nights.c.started_at < night.started_at)
        with self.engine.connect() as connection:
            model = connection.execute(select(models).where(models.c.name == night.model)).mappings().all()
            seen = connection.execute(select(nights).where(or_(own, earlier))).mappings().all()
            names = [item["night"] for item in seen if item["night"] != night.night]
            done = select(stages).where(stages.c.model == night.model, stages.c.night.in_(names))
            past = [{**row, "key": None} for row in connection.execute(done).mappings()]
        with target.transaction() as connection:
            for table, rows in ((models, model), (nights, seen), (stages, past)):
                if rows:
                    connection.execute(insert(table), [dict(row) for row in rows])

    def cost(self, model: str, night: str) -> dict[str, float]:
        """Return the measured cost of a night's model: bytes, and milliseconds for a single row."""
        made = next((row.stats or {} for row in self.stages(model, night) if row.stage == "ensemble"), {})
        return {name: made[name] for name in COST if name in made}
