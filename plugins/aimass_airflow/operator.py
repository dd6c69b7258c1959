"""The operator that runs one stage of a night as a subprocess."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from aimass_airflow import params as param_form
from aimass_airflow.call import CallOperator
from aimass_airflow.one_night import turn
from pipelines import stages
from pipelines.artifacts import Night, Ref, Request, StageResult, night_slug
from pipelines.errors import AimassError, SpecError
from pipelines.full_disk import disk_errors
from pipelines.pods import Pod
from pipelines.spec import ModelSpec, Spec

if TYPE_CHECKING:
    from airflow.sdk import Context

    from pipelines.ledger import Ledger
    from pipelines.settings import Settings


AHEAD = timedelta(minutes=5)
"""The clock of whoever triggers a run may be ahead by so much."""


class StageOperator(CallOperator):
    """Runs one stage of a night and returns the ref of what it published.

    Parameters
    ----------
    model
        The model that is retrained.
    stage
        Name of the stage, one of ``pipelines.stages.NIGHT``.
    spec
        Its settings; kept out of templates and of the serialised DAG.
    inputs
        Name of the input → output of the task that makes it.
    pod
        Resources of its pod, where Airflow runs tasks in pods.
    """

    template_fields = ("inputs",)
    ui_color = "#e8f0f8"

    def __init__(
        self,
        *,
        stage: str,
        spec: Spec,
        inputs: Mapping[str, Any],
        model: ModelSpec | None = None,
        pod: Pod | None = None,
        **kwargs: Any,
    ) -> None:
        known = stages.get(stage)
        kwargs.setdefault("execution_timeout", known.timeout)
        if known.pool is not None:
            kwargs.setdefault("pool", known.pool)
        super().__init__(**kwargs)
        self.run_in_pod(stage, pod)
        self.stage = stage
        self.spec = spec
        self.inputs = dict(inputs)
        self.model = model

    def execute(self, context: Context) -> Any:
        """Run the stage; return its ref as a plain dict.

        Raises
        ------
        AimassError
            What the stage left in ``error.json``; a retry cannot cure it.
        TransientStageError
            Anything else.
        AirflowSkipException
            The version is not to be put into service, or the model is archived.
        AirflowRescheduleException
            Another night of the model runs; this one begins when it has ended.
        """
        from pipelines.ledger import Ledger
        from pipelines.settings import load

        settings = load().ensure()
        with disk_errors(settings.home), Ledger.open(settings) as ledger:
            return self._execute(context, settings, ledger)

    def _execute(self, context: Context, settings: Settings, ledger: Ledger) -> dict[str, Any]:
        from pipelines.stage_context import Asked, close_night, context_of

        night = self._night(context)
        given = {name: value for name, value in dict(context["params"]).items() if value is not None}
        self._open_night(settings, ledger, night, context, given)
        spec = self._effective(ledger, night, given)
        refs = {name: Ref.model_validate(value) for name, value in self.inputs.items()}
        known = context_of(Asked(stages.get(self.stage), night, refs, given, settings, ledger))
        if known.skip:
            close_night(ledger, night.model.name, night.night, note=known.skip)
            raise AirflowSkipException(known.skip)
        frozen = spec.model_dump(mode="json")
        fence = ledger.begin_stage(night.model.name, night.night, self.stage, frozen)
        night = night.model_copy(update={"fence": fence})
        request = Request(
            stage=self.stage, night=night, spec=frozen, inputs={**refs, **known.inputs}, settings=dict(known.facts)
        )
        folder = settings.calls / night.model.name / night_slug(night.night) / f"{self.stage}-{night.attempt}"
        try:
            ref = StageResult.model_validate_json(self.call(request, folder, spec)).ref
        except BaseException as error:
            self._record_failure(ledger, night, error)
            raise
        if stages.get(self.stage).ends_night:
            close_night(ledger, night.model.name, night.night)
        return ref.model_dump(mode="json")

    def _night(self, context: Context) -> Night:
        run: Any = context["dag_run"]
        as_of: datetime = run.logical_date or run.run_after
        if as_of > (now := datetime.now(UTC)) + AHEAD:
            raise SpecError(
                "a night of the future would hold back every night until then",
                where="the run's logical date",
                seen=as_of.isoformat(),
                expected=f"not after {now:%Y-%m-%dT%H:%M} UTC",
                cure="leave the date out, or trigger the run with one that has passed",
            )
        return Night(
            model=self._model(),
            night=run.run_id,
            as_of=as_of,
            attempt=context["ti"].try_number,
            platform=bool(os.environ.get("AIMASS_PLATFORM")),
        )

    def _model(self) -> ModelSpec:
        if self.model is None:
            raise AimassError(
                f"stage {self.stage} belongs to no model",
                where=self.task_id,
                expected="a task inside `with retrain_dag(MODEL, …)`",
                cure="move it there",
            )
        return self.model

    def _open_night(
        self, settings: Settings, ledger: Ledger, night: Night, context: Context, given: dict[str, Any]
    ) -> None:
        row = ledger.night(night.model.name, night.night)
        if row is not None and row.state == "running":
            return
        if said := ledger.archived(night.model.name):
            name = night.model.name
            raise AirflowSkipException(f"{name} was {said}; aimass catalog unarchive {name} --why TEXT takes it back")
        source = "platform" if night.platform else "local"
        asked = {name: value for name, value in given.items() if "__" in name and value not in (False, [])}
        with turn(settings, ledger, night, context):
            ledger.open_night(night, source, _digest(context), asked)

    def _effective(self, ledger: Ledger, night: Night, given: dict[str, Any]) -> Spec:
        """Return the spec in force; a wrong Param of any stage of the chain stops its first stage, and is recorded."""
        tasks = self.dag.tasks if self.has_dag() else [self]
        specs = {task.stage: task.spec for task in tasks if isinstance(task, StageOperator)}
        try:
            return param_form.effective_of_all(specs, given)[self.stage]
        except AimassError as error:
            name = night.model.name
            fence = ledger.begin_stage(name, night.night, self.stage)
            ledger.finish_stage(name, night.night, self.stage, fence, state="failed", error=error.to_dict())
            raise

    def _record_failure(self, ledger: Ledger, night: Night, error: BaseException) -> None:
        row = next((row for row in ledger.stages(night.model.name, night.night) if row.stage == self.stage), None)
        if row is None or row.state != "running" or row.fence != night.fence:
            return
        if self.took is not None:  # it was killed: had it ended by itself, it would have told
            seconds = (datetime.now(UTC) - row.started_at).total_seconds()
            ledger.add_task_usage(
                self.stage,
                state="failed",
                seconds=round(seconds, 3),
                usage=self.took.as_columns(),
                model=night.model.name,
                night=night.night,
                fence=night.fence,
            )
        facts = {"kind": "transient", "what": f"{type(error).__name__}: {error}"[:500], "where": self.stage}
        ledger.finish_stage(night.model.name, night.night, self.stage, night.fence, state="failed", error=facts)


def _digest(context: Context) -> str | None:
    """Return the digest of the DAG file: Airflow makes no new DAG version when only a closed-over spec changes."""
    try:
        return hashlib.sha256(Path(context["dag"].fileloc).read_bytes()).hexdigest()
    except OSError:
        return None
