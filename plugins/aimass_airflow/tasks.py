"""The functions that a DAG file chains: one per stage, each makes one task and returns its ref."""

from __future__ import annotations

from typing import Any

from airflow.sdk.definitions.xcom_arg import XComArg

from aimass_airflow.operator import StageOperator
from pipelines import stages
from pipelines.errors import SpecError
from pipelines.spec import Spec
from pipelines.stages import Stage


class StageTask:
    """Makes the task of one stage: ``clean(CLEAN, sampled)``, ``split(SPLIT, cleaned, after=report)``.

    Parameters
    ----------
    stage
        The stage; its inputs are the arguments after the spec, by position or by name.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.__name__ = self.__qualname__ = stage.name
        arguments = ", ".join(("spec", *stage.inputs.values()))
        self.__doc__ = f"{stage.does}\n\nArguments: {arguments}; after=TASK waits for that one, too."

    def __call__(self, spec: Spec, *outputs: XComArg, after: XComArg | None = None, **named: XComArg) -> Any:
        """Make the task inside ``with retrain_dag(…)``.

        Raises
        ------
        SpecError
            If an input is missing or one too many is given.
        """
        names = dict(zip(self.stage.inputs.values(), self.stage.inputs, strict=True))
        given = {**dict(zip(names, outputs, strict=False)), **named}
        if len(outputs) + len(named) != len(names) or given.keys() != names.keys():
            raise SpecError(
                f"the task {self.stage.name} got the wrong inputs",
                seen=f"{len(outputs)} by position, {sorted(named)} by name",
                expected=f"{self.stage.name}({', '.join(('SPEC', *names))})",
                cure="wire the DAG's chain as in dags/retrain_loans.py",
            )
        inputs = {names[argument]: output for argument, output in given.items()}
        task = StageOperator(task_id=self.stage.name, stage=self.stage.name, spec=spec, inputs=inputs)
        if after is not None:
            task.set_upstream(after.operator)
        return task.output


TASKS = {stage.name: StageTask(stage) for stage in stages.NIGHT}
