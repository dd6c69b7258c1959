"""The operator that runs one stage of a night as a subprocess."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from aimass_airflow import params as param_form
from aimass_airflow.connections import connections_of
from aimass_airflow.stage_process import StageProcess
from pipelines.artifacts import Night, Ref, Request, StageResult, canonical_json, night_slug, write_atomic
from pipelines.errors import BY_KIND, AimassError, from_dict
from pipelines.spec import ModelSpec, Spec

if TYPE_CHECKING:
    from airflow.sdk import Context

    from pipelines.ledger import Ledger
    from pipelines.settings import Settings

HEAVY = ("ingest", "sample", "clean", "features", "tune", "ensemble")
POOL = "heavy"


class TransientStageError(RuntimeError):
    """A stage ended for a reason that another attempt may cure."""


class StageOperator(BaseOperator):
    """Runs ``python -m pipelines STAGE REQUEST.json`` and gives the ref of what the stage published.

    Parameters
    ----------
    model
        The model that is retrained.
    stage
        Name of the stage.
    spec
        Its settings; kept out of templates and of the serialised DAG.
    inputs
        Name of the input → output of the task that makes it.
    """

    template_fields = ("inputs",)
    ui_color = "#e8f0f8"

    def __init__(
        self, *, stage: str, spec: Spec, inputs: Mapping[str, Any], model: ModelSpec | None = None, **kwargs: Any
    ) -> None:
        if stage in HEAVY:
            kwargs.setdefault("pool", POOL)
        super().__init__(**kwargs)
        self.stage = stage
        self.spec = spec
        self.inputs = dict(inputs)
        self.model = model
        self._process: StageProcess | None = None

    def execute(self, context: Context) -> Any:
        """Run the stage; give its ref as a plain dict.

        Raises
        ------
        AimassError
            What the stage left in ``error.json``; a retry cannot cure it.
        TransientStageError
            Anything else.
        AirflowSkipException
            The version is not to be put into service.
        """
        from pipelines.ledger import Ledger
        from pipelines.settings import load

        settings = load().ensure()
        with Ledger.open(settings) as ledger:
            return self._execute(context, settings, ledger)

    def _execute(self, context: Context, settings: Settings, ledger: Ledger) -> dict[str, Any]:
        night = self._night(context)
        given = {name: value for name, value in dict(context["params"]).items() if value is not None}
        self._open_night(ledger, night, context, given)
        spec = self._effective(ledger, night, given)
        reason = self._why_not_released(ledger, night, given) if self.stage == "package" else None
        if reason:
            close_night(ledger, night.model.name, night.night, deployed=False, note=reason)
            raise AirflowSkipException(reason)
        frozen = spec.model_dump(mode="json")
        fence = ledger.begin_stage(night.model.name, night.night, self.stage, frozen)
        night = night.model_copy(update={"fence": fence})
        folder = settings.calls / night.model.name / night_slug(night.night) / f"{self.stage}-{night.attempt}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        request = Request(
            stage=self.stage,
            night=night,
            spec=frozen,
            inputs=self._refs(ledger, night, settings.storage),
            settings=self._facts(ledger, night),
        )
        write_atomic(folder / "request.json", request.model_dump_json(indent=1))
        try:
            ref = self._run(folder, spec)
        except BaseException as error:
            self._record_failure(ledger, night, error)
            raise
        if self.stage == "deploy":
            close_night(ledger, night.model.name, night.night, deployed=bool(ref.meta.get("live")))
        return ref.model_dump(mode="json")

    def on_kill(self) -> None:
        """Stop the stage with the task."""
        if self._process is not None:
            self._process.stop()

    def _night(self, context: Context) -> Night:
        run: Any = context["dag_run"]
        as_of: datetime = run.logical_date or run.run_after
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

    def _open_night(self, ledger: Ledger, night: Night, context: Context, given: dict[str, Any]) -> None:
        row = ledger.night(night.model.name, night.night)
        if row is not None and row.state == "running":
            return
        source = "platform" if night.platform else "local"
        asked = {name: value for name, value in given.items() if "__" in name and value not in (False, [])}
        ledger.open_night(night, source, _digest(context), asked)

    def _effective(self, ledger: Ledger, night: Night, given: dict[str, Any]) -> Spec:
        """Give the spec in force; a wrong Param of any stage of the chain stops its first stage, and is recorded."""
        tasks = self.dag.tasks if self.has_dag() else [self]
        specs = {task.stage: task.spec for task in tasks if isinstance(task, StageOperator)}
        try:
            return param_form.effective_of_all(specs, given)[self.stage]
        except AimassError as error:
            name = night.model.name
            fence = ledger.begin_stage(name, night.night, self.stage)
            ledger.finish_stage(name, night.night, self.stage, fence, state="failed", error=error.to_dict())
            raise

    def _why_not_released(self, ledger: Ledger, night: Night, given: dict[str, Any]) -> str | None:
        meta = Ref.model_validate(self.inputs["register"]).meta
        if meta.get("verdict") != "promoted":
            live = ledger.route(night.model.name)
            kept = f"version {live} stays live" if live else "no version is live"
            return f"version {meta.get('version')} is kept, not promoted: {kept}"
        if given.get(param_form.STOP):
            return f"version {meta.get('version')} is registered; this run was asked to stop before deploy"
        return None

    def _refs(self, ledger: Ledger, night: Night, storage: Path) -> dict[str, Ref]:
        refs = {name: Ref.model_validate(value) for name, value in self.inputs.items()}
        if self.stage == "evaluate":
            from pipelines.ledger.anchor import rivals

            refs |= rivals(ledger, night.model.name, night.night, storage)
        return refs

    def _facts(self, ledger: Ledger, night: Night) -> dict[str, Any]:
        if self.stage == "tune":
            return {"warm": last_best(ledger, night)}
        if self.stage != "register":
            return {}
        rows = ledger.stages(night.model.name, night.night)
        lineage = {
            row.stage: {name: row.ref.get(name) for name in ("uri", "digest", "rows")}
            for row in rows
            if row.ref is not None
        }
        return {"lineage": lineage}

    def _run(self, folder: Path, spec: Spec) -> Ref:
        self._process = StageProcess(self.stage, folder / "request.json", connections_of(spec))
        try:
            code = self._process.follow(lambda line: self.log.info("%s", line))
        finally:
            self._process.stop()
            self._process = None
        if code == 0:
            return StageResult.model_validate_json((folder / "result.json").read_bytes()).ref
        raise _error(self.stage, folder, code)

    def _record_failure(self, ledger: Ledger, night: Night, error: BaseException) -> None:
        row = next((row for row in ledger.stages(night.model.name, night.night) if row.stage == self.stage), None)
        if row is None or row.state != "running" or row.fence != night.fence:
            return
        facts = {"kind": "transient", "what": f"{type(error).__name__}: {error}"[:500], "where": self.stage}
        ledger.finish_stage(night.model.name, night.night, self.stage, night.fence, state="failed", error=facts)


def last_best(ledger: Ledger, night: Night) -> list[dict[str, Any]]:
    """Give the configurations of the model's latest search before this night, as of its date; none at first.

    Those that its ensemble was made of come first, the quickest at the head: what pays in a combination is not always
    what scores best alone.
    """
    earlier = [row for row in ledger.nights(night.model.name) if row.as_of < night.as_of and row.night != night.night]
    for row in sorted(earlier, key=lambda row: row.as_of, reverse=True):
        done = {
            stage.stage: stage.stats or {}
            for stage in ledger.stages(night.model.name, row.night)
            if stage.state == "done"
        }
        warm = done.get("tune", {}).get("warm")
        if warm:
            members = done.get("ensemble", {}).get("trials", ())
            made, others = ([e for e in warm if (e.get("number") in members) is own] for own in (True, False))
            return [*sorted(made, key=lambda entry: entry.get("seconds", 0.0)), *others]
    return []


def close_night(ledger: Ledger, model: str, night: str, *, deployed: bool, note: str = "") -> None:
    """Record the good end of a night with the verdict of its evaluation."""
    metas = {row.stage: row.ref.get("meta", {}) for row in ledger.stages(model, night) if row.ref is not None}
    verdict = {**metas.get("evaluate", {}), "version": metas.get("register", {}).get("version"), "deployed": deployed}
    if note:
        verdict["note"] = note
    ledger.close_night(model, night, "success", json.loads(canonical_json(verdict)))
    ledger.resolve_alert(model, "night")


def _error(stage: str, folder: Path, code: int) -> Exception:
    try:
        facts: dict[str, Any] = json.loads((folder / "error.json").read_bytes())
    except (OSError, ValueError):
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return TransientStageError(f"stage {stage} ended with {how} and left no error; see the lines above")
    kind = facts.get("kind")
    if kind in BY_KIND or kind == "SupersededError":
        return from_dict(facts)
    return TransientStageError(str(from_dict(facts)))


def _digest(context: Context) -> str | None:
    """Give the digest of the DAG file: Airflow makes no new DAG version when only a closed-over spec changes."""
    try:
        return hashlib.sha256(Path(context["dag"].fileloc).read_bytes()).hexdigest()
    except OSError:
        return None
