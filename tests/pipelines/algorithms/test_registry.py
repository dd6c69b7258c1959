from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from pipelines.algorithms.families import family
from pipelines.algorithms.registry import ALGORITHMS, algorithms_for, stored_members
from pipelines.spec import Task


def test_naming_the_algorithms_imports_no_library() -> None:
    code = (
        "import sys, pipelines.tuning.spec as spec; spec.TuneSpec(families=('svm', 'kmeans'));"
        "print(sorted({'numpy', 'optuna', 'lightgbm', 'sklearn', 'pipelines.algorithms.base'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_entry_and_what_it_names_agree(name: str) -> None:
    algorithm, learner = ALGORITHMS[name], family(name)
    member = algorithm.member_class()
    assert algorithm.name == learner.name == name
    assert learner.needs == algorithm.needs
    assert member.family == algorithm.stored
    assert stored_members()[algorithm.stored].member_class() is member
    assert algorithm.member.startswith("pipelines.inference."), "a service carries nothing else"
    assert algorithm.tasks <= set(get_args(Task))


def test_every_task_has_an_algorithm() -> None:
    assert all(algorithms_for(task) for task in get_args(Task))
    assert sum(len(algorithms_for(task)) > 1 for task in get_args(Task)) == 4, "but a reduction, which has one"
