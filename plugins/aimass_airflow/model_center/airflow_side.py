"""What the Model Center asks of Airflow: start a run, follow it, pause a DAG, its form, its pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import SpecError

ENDED = ("success", "failed")


@dataclass(frozen=True)
class Field:
    """A field of a trigger form."""

    name: str
    title: str
    description: str
    schema: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it takes: number, integer, boolean, string or array."""
        given = self.schema.get("type", "string")
        kinds = [given] if isinstance(given, str) else [each for each in given if each != "null"]
        return kinds[0] if kinds else "string"

    @property
    def choices(self) -> list[str]:
        """The values that it may have; empty: any."""
        found = self.schema.get("enum") or self.schema.get("items", {}).get("enum") or []
        return [str(each) for each in found]


class AirflowSide:
    """Airflow's own database, through its own functions."""

    def start(self, dag_id: str, conf: Mapping[str, Any], user: str) -> str:
        """Start a run of a DAG and return its id.

        Raises
        ------
        SpecError
            There is no such DAG, or it refuses the values.
        """
        from airflow.api.common.trigger_dag import trigger_dag
        from airflow.exceptions import AirflowException, ParamValidationError
        from airflow.utils.types import DagRunTriggeredByType

        if self.nights_paused(dag_id) is None:
            raise SpecError(
                "Airflow has no such DAG",
                seen=dag_id,
                expected=f"{dag_id}.py in the folder of DAG files",
                cure="copy it from the checkout's dags/, or use the command: aimass --help",
            )
        try:
            run = trigger_dag(
                dag_id,
                triggered_by=DagRunTriggeredByType.UI,
                triggering_user_name=user,
                conf=dict(conf),
                logical_date=datetime.now(UTC),
                replace_microseconds=False,  # Airflow has one run of a DAG at a moment
            )
        except (ParamValidationError, ValueError, AirflowException) as error:
            raise SpecError("Airflow refuses the run", where=dag_id, seen=str(error)[:500]) from None
        return str(run.run_id)

    def state(self, dag_id: str, run_id: str) -> str | None:
        """Return the state of a run: queued, running, success, failed; None: there is none."""
        from airflow.models.dagrun import DagRun

        found = DagRun.find(dag_id=dag_id, run_id=run_id)
        return str(getattr(found[0].state, "value", found[0].state)) if found else None

    def nights_paused(self, dag_id: str) -> bool | None:
        """Tell whether a DAG is paused; None: there is no such DAG."""
        from airflow.models.dag import DagModel

        found = DagModel.get_current(dag_id)
        return None if found is None or found.is_stale else bool(found.is_paused)

    def pause_nights(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG."""
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            found = session.get(DagModel, dag_id)
            if found is None:
                raise SpecError("Airflow has no such DAG", seen=dag_id, cure="aimass models")
            found.is_paused = paused

    def form(self, dag_id: str) -> list[Field]:
        """Return the fields of a DAG's trigger form."""
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            dag = SerializedDagModel.get_dag(dag_id, session=session)
            if dag is None:
                return []
            params = {name: dag.params.get_param(name) for name in dag.params}
        return [
            Field(name, str(each.schema.get("title") or name), str(each.description or ""), dict(each.schema))
            for name, each in params.items()
        ]

    def pools(self) -> dict[str, Mapping[str, Any]]:
        """Return the pools with their slots: total, running, queued, scheduled, open."""
        from airflow.models.pool import Pool

        return {name: dict(stats) for name, stats in Pool.slots_stats().items()}
