"""The trigger form: Airflow Params named ``<stage>__<field>``, and how they are laid over a spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import Param

from pipelines import stages
from pipelines.errors import SpecError
from pipelines.spec import Spec, did_you_mean, overlay
from pipelines.stages import STOP
from pipelines.tuning.spec import FAMILIES


def form(specs: Iterable[Spec]) -> dict[str, Param]:
    """Return the fields of the trigger form for the specs of a DAG file.

    An empty field means "as in the DAG file", so that an edit of the file is never shadowed by the form.
    """
    by_stage = {stages.of_spec(spec).name: spec for spec in specs}
    fields: dict[str, Param] = {}

    def offer(stage: str, field: str, title: str, **schema: Any) -> None:
        spec = by_stage.get(stage)
        if spec is None or field not in type(spec).model_fields:
            return
        now = getattr(spec, field)
        unchanged = "not set" if now is None else ", ".join(now) if isinstance(now, tuple) else now
        about = (type(spec).model_fields[field].description or "").strip()
        fields[f"{stage}__{field}"] = Param(
            None, title=title, description=f"{about} Empty: as in the DAG file ({unchanged}).".strip(), **schema
        )

    offer("sample", "fraction", "Sample fraction", type=["null", "number"], exclusiveMinimum=0, maximum=1)
    offer("tune", "budget_seconds", "Search budget in seconds", type=["null", "number"], minimum=10, maximum=86_400)
    offer("tune", "trials", "Search budget in trials", type=["null", "integer"], minimum=1, maximum=10_000)
    offer(
        "tune",
        "families",
        "Estimator families",
        type=["null", "array"],
        uniqueItems=True,
        items={"type": "string", "enum": list(FAMILIES)},
        examples=list(FAMILIES),
    )
    fields[STOP] = Param(
        False,
        type="boolean",
        title="Stop before deploy",
        description="Register the version, but do not build or serve it: package and deploy are skipped.",
    )
    return fields


def model_param() -> Param:
    """Return the field of an operation's form that names a model."""
    return Param(
        type="string",
        minLength=1,
        title="Model",
        description="Name of the model, as `aimass models` lists it.",
        examples=["loans", "flight_delays"],
    )


def reason_param(description: str, example: str) -> Param:
    """Return the field of an operation's form that asks for the reason."""
    return Param(type="string", minLength=1, maxLength=500, title="Reason", description=description, examples=[example])


def effective(stage: str, spec: Spec, params: Mapping[str, Any]) -> Spec:
    """Return the spec in force: what the run's Params name is replaced, everything else is as in the DAG file.

    Raises
    ------
    SpecError
        If a Param names no field of the spec, or the result is not a valid spec; lists every fault.
    """
    prefix = f"{stages.get(stage).whole}__"
    given = {
        name.removeprefix(prefix): value
        for name, value in params.items()
        if name.startswith(prefix) and value is not None and name != STOP and value != []
    }
    known = type(spec).model_fields
    unknown = sorted(name for name in given if name not in known)
    if unknown:
        raise SpecError(
            f"{type(spec).__name__} has no such setting",
            where=", ".join(prefix + name for name in unknown),
            seen="; ".join(f"{prefix}{name}{did_you_mean(name, known)}" for name in unknown),
            expected=", ".join(prefix + name for name in sorted(known)),
            cure="correct the name of the Param",
        )
    # Asked for seconds, a number of trials in the DAG file would still win: the one given by hand counts.
    if "budget_seconds" in given and "trials" in known and "trials" not in given:
        given["trials"] = None
    return overlay(spec, given) if given else spec


def effective_of_all(specs: Mapping[str, Spec], params: Mapping[str, Any]) -> dict[str, Spec]:
    """Return the specs in force of a whole chain, by stage.

    Raises
    ------
    SpecError
        Lists the faults of all stages at once, so that a night does not run for hours into the last of them.
    """
    check(params)
    found: dict[str, Spec] = {}
    wrong: list[SpecError] = []
    for stage, spec in specs.items():
        try:
            found[stage] = effective(stage, spec, params)
        except SpecError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise SpecError(
            f"the Params of {len(wrong)} stages are wrong",
            cure="correct the Params named below",
            faults=[line for error in wrong for line in (error.faults or [f"{error.what}: {error.where}"])],
        )
    return _sealed_by_group(found)


def _sealed_by_group(specs: dict[str, Spec]) -> dict[str, Spec]:
    """Pass the split's entity columns to the stage that seals, so that an entity's rows are on one side."""
    ingest, group = specs.get("ingest"), tuple(getattr(specs.get("split"), "group", ()))
    declared = tuple(getattr(ingest, "seal_group", ()))
    if declared and declared != group:
        raise SpecError(
            "rows would be sealed by one entity and divided by another",
            where="IngestSpec.seal_group, SplitSpec.group",
            seen=f"{declared} and {group}",
            expected="SplitSpec.group alone; the night writes it into the other",
            cure="leave seal_group out of IngestSpec",
        )
    if ingest is None or not group or "seal_group" not in type(ingest).model_fields:
        return specs
    return {**specs, "ingest": overlay(ingest, {"seal_group": group})}


def check(params: Mapping[str, Any]) -> None:
    """Refuse Params whose stage does not exist, before anything is done.

    Raises
    ------
    SpecError
        Names each of them.
    """
    known = [stage.name for stage in stages.NIGHT if not stage.part_of]
    wrong = sorted(name for name in params if "__" in name and name.split("__")[0] not in known)
    if wrong:
        raise SpecError(
            "a Param names no stage",
            where=", ".join(wrong),
            seen="; ".join(f"{name}{did_you_mean(name.split('__')[0], known)}" for name in wrong),
            expected="<stage>__<field> with a stage of " + ", ".join(known),
            cure="correct the name of the Param",
        )
