"""A paused model answers nobody, says who paused it and why, and keeps that in the ledger."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aimass_airflow.operations import OperationOperator
from dag_file import dag_module
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.deployment.pause.spec import PauseSpec
from pipelines.deployment.pause.stage import run
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.settings import Settings


@pytest.fixture
def ledger(home: Settings, make_night: Callable[..., object]) -> Ledger:
    opened = Ledger.open(home)
    opened.open_night(make_night(), "local")
    return opened


def test_pause_and_resume_keep_who_and_why(ledger: Ledger, home: Settings) -> None:
    assert run(PauseSpec(model="demo", why="odd scores", actor="pause:ann"), settings=home).stats["changed"]
    assert ledger.paused() == {"demo": "paused by pause:ann: odd scores"}
    again = run(PauseSpec(model="demo", why="once more", actor="pause:bob"), settings=home)
    assert (again.stats["changed"], again.stats["why"]) == (False, "paused by pause:ann: odd scores")
    run(PauseSpec(model="demo", action="resume", why="mended", actor="resume:bob"), settings=home)
    assert ledger.paused() == {}
    (kept,) = ledger.alerts(open_only=False)
    assert kept.message == "paused by pause:ann: odd scores; resumed by resume:bob: mended"
    assert kept.resolved_at is not None
    assert not run(PauseSpec(model="demo", action="resume", why="twice"), settings=home).stats["changed"]


def test_a_pause_needs_a_model_and_a_reason(ledger: Ledger, home: Settings) -> None:
    with pytest.raises(SpecError, match="needs a model and a reason"):
        run(PauseSpec(model="demo", why=" "), settings=home)
    with pytest.raises(SpecError, match="did you mean 'demo'"):
        run(PauseSpec(model="dmeo", why="odd"), settings=home)


def test_the_command_says_what_is_in_force(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["pause", "demo", "--why", "odd"], "demo answers no caller: paused by pause:"),
        (["pause", "demo", "--why", "odd"], "(as before)"),
        (["resume", "demo", "--why", "mended"], "demo answers callers"),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0
        assert said in capfd.readouterr().out + result.output


@pytest.mark.parametrize(("name", "form"), [("pause", {}), ("promote", {"to": 1})])
def test_the_forms_ask_for_settings_of_their_operation(name: str, form: dict[str, int]) -> None:
    module = dag_module(name)
    operator = module.dag.get_task(name)
    assert isinstance(operator, OperationOperator)
    facts = {"params": {"model": "demo", "why": "odd", **form}, "dag_run": Run("ann")}
    spec = operator._effective(facts)
    assert set(module.FORM) <= set(type(spec).model_fields)
    assert (spec.actor, spec.model, spec.why) == (f"{name}:ann", "demo", "odd")
    assert operator._effective({"params": facts["params"]}).actor == name


class Run:
    """What a task knows of its run."""

    def __init__(self, user: str) -> None:
        self.triggering_user_name = user
