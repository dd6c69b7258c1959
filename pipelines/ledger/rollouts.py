"""Rollouts: one row per release of a version, and what gateways counted while a share of callers reached it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from pipelines.errors import DeployError
from pipelines.ledger.connect import Connected, lock_table, now, upsert
from pipelines.ledger.nights import SupersededError
from pipelines.ledger.rows import ArmRow, RolloutRow, all_of, one_of
from pipelines.ledger.schema import rollout_arms, rollouts

SILENT_AFTER = timedelta(seconds=30)
"""A rollout whose deployer was silent for so long has lost it: callers are sent to the live version alone, and another
may begin."""


class EndedError(DeployError):
    """A release that was under way was ended by somebody else."""


class RolloutsPart(Connected):
    """The releases of versions: at most one of a model at a time is ``running``."""

    def begin_rollout(self, model: str, version: int, control: int | None, night: str, fence: int) -> RolloutRow:
        """Begin the release of a version, or go on with the one that an earlier attempt of the same night began.

        What a deployer that died has left of another version is aborted, and what was paused is superseded.

        Raises
        ------
        DeployError
            Another release of the model is under way.
        SupersededError
            A newer attempt of this night is at work.
        """
        with self.transaction() as connection:
            lock_table(connection, rollouts)
            for row in self._open(connection, model):
                if row.version == version and row.night == night:
                    if fence < row.fence:
                        raise SupersededError(
                            "a newer attempt releases this version",
                            where=f"{model} version {version}",
                            seen=f"fence {fence}",
                            expected=f"fence {row.fence}",
                        )
                    taken = {"fence": fence, "state": "running", "beat_at": now()}
                    connection.execute(update(rollouts).where(rollouts.c.id == row.id).values(**taken))
                    return _one(connection, row.id)
                if row.state == "running" and now() - row.beat_at < SILENT_AFTER:
                    raise DeployError(
                        "another release of this model is under way",
                        where=f"{model} version {version}",
                        seen=f"version {row.version} since {row.started_at.isoformat(timespec='seconds')}",
                        expected="one release at a time",
                        cure="clear this task once the other has ended; the live version stays in service",
                    )
                why = f"superseded by version {version}" if row.state == "paused" else "its deployer died"
                _end(connection, row.id, "aborted", why)
            fields = {"model": model, "version": version, "control": control, "night": night, "fence": fence}
            made = connection.execute(
                insert(rollouts)
                .values(**fields, state="running", share=0, shadow=False, why="", started_at=now(), beat_at=now())
                .returning(rollouts.c.id)
            )
            return _one(connection, made.scalar_one())

    def expose(self, rollout: int, share: int, shadow: bool = False) -> None:
        """Send ``share`` percent of the callers to the candidate, or with ``shadow`` copies of their requests.

        Raises
        ------
        EndedError
            The rollout was ended by somebody else.
        """
        self._touch(rollout, share=share, shadow=shadow)

    def beat(self, rollout: int) -> None:
        """Say that the deployer is alive.

        Raises
        ------
        EndedError
            The rollout was ended by somebody else.
        """
        self._touch(rollout)

    def note_rollout(self, rollout: int, evidence: Mapping[str, Any]) -> None:
        """Keep what was measured so far.

        Raises
        ------
        EndedError
            The rollout was ended by somebody else.
        """
        self._touch(rollout, evidence=dict(evidence))

    def _touch(self, rollout: int, **values: Any) -> None:
        running = and_(rollouts.c.id == rollout, rollouts.c.state == "running")
        with self.transaction() as connection:
            if connection.execute(update(rollouts).where(running).values(beat_at=now(), **values)).rowcount:
                return
            row = _one(connection, rollout)
        raise EndedError(
            "the release was ended by somebody else",
            where=f"{row.model} version {row.version}",
            seen=f"{row.state}: {row.why}",
            cure="nothing, if that was meant: `aimass who-served` shows what is live",
        )

    def end_rollout(self, rollout: int, state: str, why: str) -> None:
        """End a running rollout: ``promoted``, ``paused`` or ``aborted``; one that has ended stays as it is."""
        with self.transaction() as connection:
            _end(connection, rollout, state, why)

    def rollouts(self, model: str | None = None) -> list[RolloutRow]:
        """Return the rollouts, oldest first."""
        query = select(rollouts).order_by(rollouts.c.id)
        if model is not None:
            query = query.where(rollouts.c.model == model)
        with self.engine.connect() as connection:
            return all_of(RolloutRow, connection.execute(query))

    def exposed_rollouts(self) -> list[RolloutRow]:
        """Return the running rollouts whose candidate gets requests or copies of them, and whose deployer is alive."""
        running = and_(rollouts.c.state == "running", (rollouts.c.share > 0) | rollouts.c.shadow)
        alive = rollouts.c.beat_at > now() - SILENT_AFTER
        with self.engine.connect() as connection:
            return all_of(RolloutRow, connection.execute(select(rollouts).where(and_(running, alive))))

    def count_arm(self, rollout: int, share: int, arm: str, gateway: str, counts: Mapping[str, Any]) -> None:
        """Write what one gateway has counted of one arm (``control`` or ``candidate``) at one share so far."""
        keys = {"rollout": rollout, "share": share, "arm": arm, "gateway": gateway}
        with self.transaction() as connection:
            new = upsert(connection, rollout_arms).values(**keys, counts=dict(counts), updated_at=now())
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=[rollout_arms.c[name] for name in keys],
                    set_={"counts": new.excluded.counts, "updated_at": new.excluded.updated_at},
                )
            )

    def arms(self, rollout: int) -> list[ArmRow]:
        """Return what all gateways have counted."""
        query = select(rollout_arms).where(rollout_arms.c.rollout == rollout)
        with self.engine.connect() as connection:
            return all_of(ArmRow, connection.execute(query))

    @staticmethod
    def _open(connection: Connection, model: str) -> list[RolloutRow]:
        still_open = and_(rollouts.c.model == model, rollouts.c.state.in_(("running", "paused")))
        return all_of(RolloutRow, connection.execute(select(rollouts).where(still_open).with_for_update()))


def settle_rollouts(connection: Connection, model: str, rollout: int | None, version: int) -> None:
    """Within the transaction of a switch: end the rollout of the version as promoted, all others as aborted.

    Raises
    ------
    EndedError
        The rollout was ended by somebody else, so its version must not go live.
    """
    if rollout is not None:
        row = _one(connection, rollout)
        if row.state != "running":
            raise EndedError("the release was ended by somebody else", where=f"{model} version {version}", seen=row.why)
        _end(connection, rollout, "promoted", "")
    still_open = and_(rollouts.c.model == model, rollouts.c.state.in_(("running", "paused")))
    ended = {"share": 0, "shadow": False, "finished_at": now()}
    by_hand = update(rollouts).where(still_open, rollouts.c.version == version)
    connection.execute(by_hand.values(state="promoted", why="put into service by hand", **ended))
    others = update(rollouts).where(still_open)
    connection.execute(others.values(state="aborted", why=f"version {version} went live", **ended))


def _end(connection: Connection, rollout: int, state: str, why: str) -> None:
    still_open = and_(rollouts.c.id == rollout, rollouts.c.state.in_(("running", "paused")))
    ended = {"state": state, "why": why[:500], "share": 0, "shadow": False, "finished_at": now()}
    connection.execute(update(rollouts).where(still_open).values(**ended))


def _one(connection: Connection, rollout: int) -> RolloutRow:
    row = one_of(RolloutRow, connection.execute(select(rollouts).where(rollouts.c.id == rollout)).one_or_none())
    assert row is not None
    return row
