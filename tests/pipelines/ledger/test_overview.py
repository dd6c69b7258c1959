"""Many models or versions at once: what the statements tell is what the single ones tell."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import date, timedelta

import pytest
from center_ledger import NOW, fill, gather
from postgres import postgres
from sqlalchemy import update

from pipelines import settings as settings_module
from pipelines.ledger import schema

LONG_AGO = date(2020, 1, 1)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def ledger(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("overview") / "home"
    with postgres() if request.param == "postgresql" else nullcontext() as address:
        settings = settings_module.load(home=home, mlflow_port=1024, ledger_url=address).ensure()
        with fill(settings, 4, 40) as ledger:
            yield ledger


def test_the_overview_is_what_each_model_tells(ledger):
    rows = ledger.overview(LONG_AGO)
    assert [row.name for row in rows] == [row.name for row in ledger.models()]
    for row in rows:
        live, last = ledger.champion(row.name), ledger.nights(row.name)[-1]
        assert (row.live, row.score, row.baseline, row.live_at) == (
            live.version, live.score, live.baseline, live.live_at,
        )  # fmt: skip
        assert (row.night, row.state, row.as_of) == (last.night, last.state, last.as_of)
        assert row.alerts == sum(alert.model == row.name for alert in ledger.alerts())
        used = [each for each in ledger.usage(LONG_AGO, date(2100, 1, 1)) if each.model == row.name]
        assert (row.requests, row.errors) == (sum(u.requests for u in used), sum(u.errors for u in used))


def test_scores_are_the_newest_in_order(ledger):
    names = [row.name for row in ledger.models()]
    found = ledger.newest_scores(names, most=10)
    for name in names:
        last = ledger.versions(name)[-10:]
        assert [row.version for row in found[name]] == [row.version for row in last]
        assert [row.score for row in found[name]] == [row.score for row in last]
        assert [row.verdict for row in found[name]] == [row.verdict["verdict"] for row in last]
        assert [row.version for row in ledger.score_line(name)] == [row.version for row in ledger.versions(name)]
    assert ledger.newest_scores([]) == {}


def test_a_deleted_version_and_a_deleted_model_are_left_out(ledger):
    name = ledger.models()[-1].name
    version = ledger.versions(name)[-2].version
    gone = {"state": "deleted"}
    with ledger.transaction() as connection:
        mine = schema.publications.c.model == name
        connection.execute(
            update(schema.publications).where(mine, schema.publications.c.version == version).values(gone)
        )
        connection.execute(update(schema.nights).where(schema.nights.c.model == name).values(gone))
    assert version not in [row.version for row in ledger.score_line(name)]
    assert version not in [row.version for row in ledger.newest_scores([name])[name]]
    assert name not in [row.name for row in ledger.overview(LONG_AGO)]


def test_windows_nights_callers_and_costs(ledger):
    name = ledger.models()[0].name
    ended, verdict = ledger.last_verdicts([name])[name]
    last = ledger.windows(name, "inputs", 1)[0]
    assert (ended, verdict) == (last.ended_at, last.figures["verdict"])
    assert [row.night for row in ledger.night_line(name, 5)] == [row.night for row in ledger.nights(name)[-5:]]
    callers = ledger.usage_of(name, LONG_AGO)
    assert [row[1] for row in callers] == sorted((row[1] for row in callers), reverse=True)
    assert len(callers) == 3
    spent = ledger.cost_by_model(NOW - timedelta(days=3650))[name]
    assert spent["cpu"] == pytest.approx(sum(row.cpu_seconds for row in ledger.task_usage(name)))
    assert ledger.newest_operations() == {}


def test_alerts_of_a_model_come_with_the_open_ones_first(ledger):
    name = next(row.model for row in ledger.alerts())
    rows = ledger.alerts_of(name)
    assert rows[0].resolved_at is None
    assert all(row.resolved_at is not None for row in rows[1:])
    assert [row.id for row in ledger.open_alerts_of(name)] == [rows[0].id]
    assert ledger.alerts_of(None) == []


def test_the_newest_tables_are_those_of_all_versions(ledger):
    gather(ledger, "somebody", tables=3, versions=4)
    ledger.expire_table("table_001", 4, "somebody", "wrong")
    for version in range(1, 5):
        ledger.expire_table("table_002", version, "somebody", "wrong")
    other = {"uri": "u", "digest": "d", "rows": 1, "bytes": 1, "columns": [], "description": "", "actor": "somebody"}
    ledger.publish_table("table_000", origin={"path": "towns.csv"}, **other)
    found = ledger.newest_tables()
    assert [row.address for row in found] == ["mart:table_000@4", "mart:table_000@5", "mart:table_001@3"]
    assert [row for row in ledger.mart_tables() if row in found] == found
