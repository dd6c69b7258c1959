"""What a stage is told of its night, without Airflow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines import stages
from pipelines.artifacts import Night, Ref
from pipelines.cli.show import describe, lines_of
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.stage_context import FACTS, PROVIDERS, Asked, best_trials, close_night, context_of, fact_names

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
NIGHT = "manual__1"


def asked(home: Settings, ledger: Ledger, night: Night, stage: str, **given: Any) -> Asked:
    inputs = {name: Ref(uri="x", digest="d", stage=name, meta=meta) for name, meta in given.pop("inputs", {}).items()}
    return Asked(stages.get(stage), night, inputs, given, home, ledger)


def test_every_context_has_its_provider() -> None:
    assert {name for stage in stages.NIGHT for name in stage.context} == set(PROVIDERS)
    assert set(FACTS) <= set(PROVIDERS)
    assert [fact_names(stages.get(name)) for name in ("tune", "register", "evaluate")] == [("warm",), ("lineage",), ()]


def test_a_stage_without_context_is_told_nothing(home: Settings, make_night: Callable[..., Night]) -> None:
    with Ledger.open(home) as ledger:
        known = context_of(asked(home, ledger, make_night(), "clean"))
    assert (known.inputs, known.facts, known.skip) == ({}, {}, "")


@pytest.mark.parametrize(
    ("meta", "params", "skip"),
    [
        ({"version": 3, "verdict": "kept"}, {}, "version 3 is kept, not promoted: no version is live"),
        (
            {"version": 3, "verdict": "promoted"},
            {stages.STOP: True},
            "version 3 is registered; this run was asked to stop before deploy",
        ),
        ({"version": 3, "verdict": "promoted"}, {}, ""),
    ],
)
def test_a_version_is_released_if_it_is_promoted_and_nobody_asked_to_stop(
    home: Settings, make_night: Callable[..., Night], meta: dict[str, Any], params: dict[str, Any], skip: str
) -> None:
    with Ledger.open(home) as ledger:
        known = context_of(asked(home, ledger, make_night(), "configure", inputs={"register": meta}, **params))
    assert known.skip == skip


def test_the_lineage_names_the_other_stages_that_are_done(home: Settings, make_night: Callable[..., Night]) -> None:
    with Ledger.open(home) as ledger:
        night = make_night()
        ledger.open_night(night, "local")
        for name in ("ingest", "sample", "register"):
            fence = ledger.begin_stage("demo", night.night, name)
            ref = {"uri": f"u/{name}", "digest": name[0], "stage": name, "rows": 3, "meta": {}}
            ledger.finish_stage("demo", night.night, name, fence, state="done", ref=ref)
        ledger.begin_stage("demo", night.night, "sample")  # again: its old result is none
        found = context_of(asked(home, ledger, night, "register")).facts
    assert found == {"lineage": {"ingest": {"uri": "u/ingest", "digest": "i", "rows": 3}}}


def test_good_end_resolves_the_alert(home: Settings) -> None:
    ledger = Ledger.open(home)
    ledger.alert("demo", "night", "failed before", "night")
    close_night(ledger, "demo", NIGHT)
    assert ledger.alerts() == []


def test_a_night_older_than_what_is_live_says_so_until_one_is_not(home: Settings) -> None:
    ledger = Ledger.open(home)

    def night(name: str, day: int) -> Night:
        made = Night(model=MODEL, night=name, as_of=datetime(2026, 3, day, 2, tzinfo=UTC), fence=1)
        ledger.open_night(made, "local")
        return made

    first, wrong = night("n1", 1), night("n30", 30)
    for each in (first, wrong):
        ledger.reserve("demo", each.night, 1)
        version = ledger.assign_version("demo", each.night, 1)
        ledger.advance("demo", each.night, 1, "registered", as_of=each.as_of, model_uri="m", model_digest="d")
        ledger.switch("demo", version, 0, "test", "test")
        close_night(ledger, "demo", each.night)
    assert ledger.alerts() == []
    night("n2", 2)
    close_night(ledger, "demo", "n2")
    (alert,) = ledger.alerts()
    assert (alert.kind, alert.key) == ("older-night", "older-night")
    assert "the night of 2026-03-02 02:00 is older than version 2, which is live, of 2026-03-30 02:00" in alert.message
    assert "aimass rollback demo" in alert.message
    assert describe(ledger, "demo")["older_than_live"] == alert.message
    lines = dict(map(tuple, lines_of(ledger, home, describe(ledger, "demo") | {"release": None})))
    assert lines["older than live"] == alert.message
    ledger.switch("demo", 1, 0, "wrong date", "rollback:test")
    assert describe(ledger, "demo")["older_than_live"] is None
    close_night(ledger, "demo", "n2")
    assert ledger.alerts() == []


def test_a_search_begins_with_the_best_of_the_latest_night_before_its_date(home: Settings) -> None:
    ledger = Ledger.open(home)

    def night(day: int) -> Night:
        return Night(model=MODEL, night=f"n{day}", as_of=datetime(2026, 3, day, 2, tzinfo=UTC))

    for day in (1, 3, 2):  # the second is a backfill, the fourth fails
        ledger.open_night(night(day), "local")
        fence = ledger.begin_stage("demo", f"n{day}", "tune")
        best = [{"family": "linear", "params": {"strength": float(day)}, "score": 0.9}]
        ledger.finish_stage("demo", f"n{day}", "tune", fence, state="done", stats={"warm": best})
    ledger.open_night(night(4), "local")
    fence = ledger.begin_stage("demo", "n4", "tune")
    ledger.finish_stage("demo", "n4", "tune", fence, state="failed", error={"kind": "SpecError"})
    assert best_trials(ledger, night(1)) == []
    assert [best_trials(ledger, night(day))[0]["params"]["strength"] for day in (2, 3, 5)] == [1.0, 2.0, 3.0]


def test_a_search_begins_with_what_the_last_ensemble_was_made_of(home: Settings) -> None:
    ledger = Ledger.open(home)
    first, second = (Night(model=MODEL, night=f"n{day}", as_of=datetime(2026, 3, day, 2, tzinfo=UTC)) for day in (1, 2))
    ledger.open_night(first, "local")
    found = {
        "tune": {
            "warm": [
                {"number": n, "family": "linear", "params": {}, "score": 0.9, **timed}
                for n, timed in ((4, {"seconds": 1.0}), (1, {}), (7, {"seconds": 9.0}), (2, {"seconds": 3.0}), (5, {}))
            ]
        },
        "ensemble": {"trials": [2, 5, 7]},
    }
    for stage, stats in found.items():
        fence = ledger.begin_stage("demo", "n1", stage)
        warm = [] if stage == "tune" else [4, 1, 7, 2, 5]
        assert [entry["number"] for entry in best_trials(ledger, second)] == warm
        ledger.finish_stage("demo", "n1", stage, fence, state="done", stats=stats)
    assert [entry["number"] for entry in best_trials(ledger, second)] == [5, 2, 7, 4, 1], "the quickest first"
