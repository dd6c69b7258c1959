"""The functions that a DAG file chains: one per stage, each makes its tasks and returns the ref of the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk.definitions.xcom_arg import XComArg

from aimass_airflow.assets import VERSION_LIVE
from aimass_airflow.operator import StageOperator
from pipelines import stages
from pipelines.errors import SpecError
from pipelines.pods import Pod
from pipelines.spec import Spec
from pipelines.stages import Stage


class StageTask:
    """Makes the tasks of one stage: ``clean(CLEAN, sampled)``, ``split(SPLIT, cleaned, after=report)``.

    ``tune(TUNE, table, pod=Pod(cpu=8, gpus=1))`` says what its pod gets where Airflow runs tasks in pods.

    Parameters
    ----------
    stage
        The stage; its inputs are the arguments after the spec, by position or by name.
    steps
        All its tasks in their order, itself among them.
    """

    def __init__(self, stage: Stage, steps: Sequence[Stage]) -> None:
        self.stage, self.steps = stage, tuple(steps)
        made = {step.name for step in steps}
        self.inputs = {name: argument for step in steps for name, argument in step.inputs.items() if name not in made}
        self.__name__ = self.__qualname__ = stage.name
        arguments = ", ".join(("spec", *self.inputs.values()))
        does = " ".join(step.does for step in steps)
        self.__doc__ = f"{does}\n\nArguments: {arguments}; after=TASK waits for that one, too; pod=Pod(…)."

    def __call__(
        self, spec: Spec, *outputs: XComArg, after: XComArg | None = None, pod: Pod | None = None, **named: XComArg
    ) -> Any:
        """Make the tasks inside ``with retrain_dag(…)``.

        Raises
        ------
        SpecError
            If an input is missing or one too many is given.
        """
        names = dict(zip(self.inputs.values(), self.inputs, strict=True))
        given = {**dict(zip(names, outputs, strict=False)), **named}
        if len(outputs) + len(named) != len(names) or given.keys() != names.keys():
            raise SpecError(
                f"the task {self.stage.name} got the wrong inputs",
                seen=f"{len(outputs)} by position, {sorted(named)} by name",
                expected=f"{self.stage.name}({', '.join(('SPEC', *names))})",
                cure="wire the DAG's chain as in dags/retrain_loans.py",
            )
        found = {names[argument]: output for argument, output in given.items()}
        for index, step in enumerate(self.steps):
            inputs = {name: found[name] for name in step.inputs}
            tells = [VERSION_LIVE] if step.ends_night else []
            task = StageOperator(task_id=step.name, stage=step.name, spec=spec, inputs=inputs, pod=pod, outlets=tells)
            found[step.name] = task.output
            if after is not None and not index:
                task.set_upstream(after.operator)
        return task.output


TASKS = {
    stage.name: StageTask(stage, [step for step in stages.NIGHT if step.whole == stage.name])
    for stage in stages.NIGHT
    if not stage.part_of
}
