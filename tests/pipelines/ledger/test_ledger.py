from __future__ import annotations

import json
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pipelines.errors import AimassError, DeployError, SpecError
from pipelines.ledger import Ledger, SupersededError, connect, windows
from pipelines.ledger.schema import metadata


@pytest.fixture
def ledger(home):
    return Ledger.open(home)


@pytest.fixture
def night(ledger, make_night):
    night = make_night()
    ledger.open_night(night, "local")
    return night


def test_migrations_make_exactly_the_schema(ledger):
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_ledger_of_the_release_before_keeps_its_rows(home, make_night, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(connect, "HEAD", "0001")
        older = Ledger.open(home)
    with older.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO stages (model, night, stage, state, fence, attempt, key, started_at) "
            "VALUES ('demo', 'n', 'clean', 'done', 1, 1, 'k', '2026-03-01 02:00:00')"
        )
    older.close()
    row = Ledger.open(home).stages("demo", "n")[0]
    assert (row.key, row.made_of) == ("k", None)


def test_an_open_alert_of_the_release_before_stays_open(home, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(connect, "HEAD", "0006")
        older = Ledger.open(home)
    with older.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO alerts (model, key, kind, message, fired_at) VALUES ('demo', 'psi', 'drift', 'far off', "
            "'2026-03-01 02:00:00')"
        )
    older.close()
    with Ledger.open(home) as ledger:
        assert not ledger.alert("demo", "drift", "far off", "psi")
        (row,) = ledger.alerts()
        assert row.changed_at is None
        (told,) = ledger.unsettled(ledger.claim_channel("mail", datetime.now(UTC)))
        assert told == (row, None)


def test_file_is_private_and_opening_again_changes_nothing(home, ledger):
    assert stat.S_IMODE(home.ledger_path.stat().st_mode) == 0o600
    ledger.issue_token("one", ["predict"])
    assert [row.name for row in Ledger.open(home).tokens()] == ["one"]


def test_many_openers_at_once_migrate_once(home):
    with ThreadPoolExecutor(8) as pool:
        assert all(list(pool.map(lambda _: Ledger.open(home).models() == [], range(8))))


def test_fences_rise_and_a_late_attempt_is_refused(ledger, night):
    first = ledger.begin_stage("demo", night.night, "ingest")
    second = ledger.begin_stage("demo", night.night, "ingest")
    other = ledger.begin_stage("demo", night.night, "sample")
    assert first < second < other
    with pytest.raises(SupersededError, match="overtaken"):
        ledger.finish_stage("demo", night.night, "ingest", first, state="done")
    ledger.finish_stage("demo", night.night, "ingest", second, state="done", key="k", rows=3)
    assert [(row.stage, row.state, row.attempt) for row in ledger.stages("demo", night.night)] == [
        ("ingest", "done", 2),
        ("sample", "running", 1),
    ]
    assert ledger.find_finished("demo", "ingest", "k").rows == 3
    assert ledger.find_finished("demo", "ingest", "other") is None


def test_a_stage_of_an_unopened_night_is_an_error(ledger):
    with pytest.raises(AimassError, match="never opened"):
        ledger.begin_stage("demo", "nowhere", "ingest")


def test_nights_are_taken_up_again(ledger, night):
    ledger.close_night("demo", night.night, "failed")
    assert ledger.night("demo", night.night).state == "failed"
    ledger.open_night(night, "local")
    ledger.close_night("demo", night.night, "success", {"verdict": "kept"})
    row = ledger.night("demo", night.night)
    assert (row.state, row.verdict, row.as_of) == ("success", {"verdict": "kept"}, night.as_of)
    assert len(ledger.nights("demo")) == 1


def test_identity_is_fixed_on_the_first_night(ledger, make_night):
    spec = make_night().model
    assert ledger.remember_model(spec) == []
    assert ledger.remember_model(spec, ["a", "b"]) == ["a", "b"]
    assert ledger.remember_model(spec, ["a", "b", "c"]) == ["a", "b"]


def test_one_publication_per_night_whatever_is_retried(ledger, night):
    ledger.reserve("demo", night.night, 1)
    ledger.reserve("demo", night.night, 2)
    assert ledger.assign_version("demo", night.night, 2) == ledger.assign_version("demo", night.night, 3) == 1
    ledger.advance("demo", night.night, 3, state="registered", score=0.9)
    ledger.advance("demo", night.night, 3, state="staged", model_uri="models/x")
    row = ledger.version("demo", 1)
    assert (row.state, row.score, row.model_uri) == ("registered", 0.9, "models/x")
    with pytest.raises(SupersededError):
        ledger.advance("demo", night.night, 2, state="live")
    with pytest.raises(SupersededError):
        ledger.reserve("demo", night.night, 1)
    assert len(ledger.versions("demo")) == 1


def test_advance_needs_a_reservation(ledger, night):
    with pytest.raises(AimassError, match="never reserved"):
        ledger.advance("demo", night.night, 1)


def publish(ledger, make_night, name):
    night = make_night(night=name)
    ledger.open_night(night, "local")
    ledger.reserve("demo", name, 1)
    return ledger.assign_version("demo", name, 1)


def test_a_night_whose_version_was_deleted_begins_anew_with_another_number(ledger, make_night):
    one, two = publish(ledger, make_night, "a"), publish(ledger, make_night, "b")
    ledger.advance("demo", "a", 1, state="registered", model_uri="models/demo/1", model_digest="1" * 64)
    for version in (one, two):
        ledger.switch("demo", version, 1, "promoted", "deploy")
    ledger.mark_version_deleted("demo", one, "somebody", "wrong prices")
    held = ledger.reserve("demo", "a", 2)
    assert (held.state, held.version, held.model_digest, held.live_at, held.verdict) == ("reserved", *[None] * 4)
    assert ledger.assign_version("demo", "a", 2) == two + 1, "callers, log and history know the old number"
    assert [row.version for row in ledger.versions("demo")] == [two, two + 1]
    (gone,) = ledger.deleted_versions("demo")
    assert (gone.version, gone.model_digest, gone.verdict["deleted"]["why"]) == (one, "1" * 64, "wrong prices")
    assert ledger.verify_history()


def test_switch_moves_one_live_version_and_chains_history(ledger, make_night):
    one, two = publish(ledger, make_night, "a"), publish(ledger, make_night, "b")
    ledger.switch("demo", one, 1, "promoted", "deploy")
    ledger.switch("demo", two, 1, "promoted", "deploy")
    ledger.switch("demo", two, 1, "again", "deploy")
    assert ledger.routes() == {"demo": two}
    assert ledger.route("other") is None
    assert [row.state for row in ledger.versions("demo")] == ["retired", "live"]
    ledger.switch("demo", one, 0, "rollback", "a person")
    assert ledger.champion("demo").version == one
    assert [(row.from_version, row.to_version) for row in ledger.history("demo")] == [(None, 1), (1, 2), (2, 1)]
    assert ledger.verify_history()


def test_a_changed_history_is_noticed(home, ledger, make_night):
    version = publish(ledger, make_night, "a")
    ledger.switch("demo", version, 1, "promoted", "deploy")
    with sqlite3.connect(home.ledger_path) as connection:
        connection.execute("UPDATE history SET why = 'another reason'")
    assert not ledger.verify_history()


def test_switch_refuses_the_unknown_and_the_late(ledger, make_night):
    with pytest.raises(DeployError, match="no such version"):
        ledger.switch("demo", 9, 1, "x", "y")
    version = publish(ledger, make_night, "a")
    ledger.advance("demo", "a", 5)
    with pytest.raises(SupersededError):
        ledger.switch("demo", version, 4, "x", "y")
    assert ledger.route("demo") is None


def test_serving_table(ledger):
    ledger.want("demo", 1, "serve", fence=2)
    ledger.observe("demo", 1, "ready", address="unix:/s", pid=7)
    row = ledger.serving("demo")[0]
    assert (row.desired, row.actual, row.address, row.pid) == ("serve", "ready", "unix:/s", 7)
    ledger.observe("demo", 1, "failed", detail="crashed")
    ledger.want("demo", 1, "serve", fence=3)
    assert ledger.serving()[0].actual == "absent"
    with pytest.raises(SupersededError):
        ledger.want("demo", 1, "stop", fence=2)


def test_what_is_live_is_never_stopped(ledger):
    for version in (1, 2):
        ledger.reserve("demo", f"n{version}", version)
        ledger.assign_version("demo", f"n{version}", version)
        ledger.want("demo", version, "serve")
    ledger.switch("demo", 1, 0, "first", "test")
    ledger.want("demo", 2, "stop")  # the first one retires the second,
    ledger.switch("demo", 2, 0, "second", "test")  # which goes live meanwhile
    ledger.want("demo", 2, "stop")
    ledger.want("demo", 1, "stop")
    assert {row.version: row.desired for row in ledger.serving("demo")} == {1: "stop", 2: "serve"}


def test_leases(ledger):
    hour = datetime.now(UTC) + timedelta(hours=1)
    for version in (1, 2):
        ledger.reserve("demo", f"n{version}", version)
        ledger.assign_version("demo", f"n{version}", version)
        ledger.want("demo", version, "serve", instances=version, until=hour)
    assert [(row.instances, row.until) for row in ledger.serving()] == [(1, hour), (2, hour)]
    ledger.switch("demo", 1, 0, "first", "test")
    ledger.want("demo", 1, "serve", until=hour)
    assert ledger.serving()[0].until is None, "the live one has none"
    ledger.switch("demo", 2, 0, "second", "test", warm=timedelta(minutes=5))
    first, second = ledger.serving()
    assert second.until is None
    assert timedelta(minutes=4) < first.until - datetime.now(UTC) < timedelta(minutes=6)
    ledger.want("demo", 1, "serve", until=hour)
    ledger.want("demo", 1, "serve", until=first.until)
    assert ledger.serving()[0].until == hour, "a longer lease stays"
    ledger.end_lease("demo", 1)
    ledger.end_lease("demo", 2)
    assert [row.desired for row in ledger.serving()] == ["serve", "serve"], "neither is over"
    ledger.switch("demo", 1, 0, "back", "test", warm=timedelta(0))
    ledger.end_lease("demo", 1)
    ledger.end_lease("demo", 2)
    assert [row.desired for row in ledger.serving()] == ["serve", "stop"]


def test_tokens_are_scoped_expiring_and_revocable(ledger):
    text = ledger.issue_token("all", ["predict"])
    one = ledger.issue_token("one", ["predict:demo"])
    assert (ledger.check_token(text).name, ledger.check_token(text).scopes) == ("all", ["predict"])
    assert (ledger.check_token(one).name, ledger.check_token(one).scopes) == ("one", ["predict:demo"])
    assert ledger.check_token("aimass_wrong") is None
    limited = ledger.check_token(ledger.issue_token("limited", ["predict"], rate="5/minute", quota="100/day"))
    assert (limited.rate, limited.quota) == ("5/minute", "100/day")
    assert text not in str(ledger.tokens())
    assert ledger.revoke_token("all")
    assert not ledger.revoke_token("all")
    assert ledger.check_token(text) is None
    short = ledger.issue_token("short", ["predict"], days=1e-9)
    assert ledger.check_token(short) is None
    with pytest.raises(SpecError):
        ledger.issue_token("none", [])


def test_usage_adds_up_by_token_model_and_day(ledger):
    first, second = date(2026, 3, 1), date(2026, 3, 2)
    ledger.count_usage({("a", "demo", first): (2, 1, 5), ("b", "demo", second): (1, 0, 1)})
    ledger.count_usage({("a", "demo", first): (3, 0, 7)})
    assert [(row.token, row.requests, row.errors, row.rows) for row in ledger.usage(first, second)] == [
        ("a", 5, 1, 12),
        ("b", 1, 0, 1),
    ]
    assert ledger.usage(first, first, "b") == []


def test_alerts_fire_and_resolve_once(ledger):
    assert ledger.alert("demo", "drift", "far off", "psi")
    assert not ledger.alert("demo", "drift", "far off", "psi")
    assert ledger.alert(None, "drift", "far off", "psi")
    assert len(ledger.alerts()) == 2
    assert ledger.resolve_alert("demo", "psi")
    assert not ledger.resolve_alert("demo", "psi")
    assert [row.model for row in ledger.alerts()] == [None]
    assert len(ledger.alerts(open_only=False)) == 2


def alert_states(ledger):
    lines = (ledger.logs / "alerts.log").read_text().splitlines()
    return [json.loads(line)["state"] for line in lines]


def test_an_open_alert_says_so_when_it_is_about_something_else(ledger):
    assert ledger.alert("demo", "drift", "a shifted", "psi", ["a"])
    assert not ledger.alert("demo", "drift", "a shifted more", "psi", ["a"])
    assert not ledger.alert("demo", "drift", "b and a shifted", "psi", ["b", "a"])
    (row,) = ledger.alerts()
    assert (row.message, row.about) == ("b and a shifted", ["a", "b"])
    assert alert_states(ledger) == ["firing", "changed"]
    assert not ledger.alert("demo", "drift", "somebody else's words", "psi")
    assert ledger.alerts()[0].message == "b and a shifted"


def test_an_alert_without_names_says_more_than_other_numbers(ledger):
    ledger.alert("demo", "serving", "version 3 ended after 2 s", "serving")
    ledger.alert("demo", "serving", "version 4 ended after 7 s", "serving")
    assert ledger.alerts()[0].message == "version 3 ended after 2 s"
    ledger.alert("demo", "serving", "version 4 does not respond", "serving")
    (row,) = ledger.alerts()
    assert row.message == "version 4 does not respond"
    assert row.changed_at is not None
    assert alert_states(ledger) == ["firing", "changed"]


def test_a_fingerprint_is_of_model_and_condition(ledger):
    for model, key in (("a", "x"), ("b", "x"), (None, "x"), ("a", "y")):
        ledger.alert(model, "kind", "text", key)
    first = {row.fingerprint for row in ledger.alerts()}
    assert len(first) == 4
    ledger.resolve_alert("a", "x")
    ledger.alert("a", "kind", "other text", "x")
    assert {row.fingerprint for row in ledger.alerts()} == first


def test_reactions_are_made_once_in_a_time_or_for_a_version(ledger):
    day, at = timedelta(days=1), datetime(2026, 3, 1, tzinfo=UTC)
    made = [
        ledger.react("demo", "retrain", outcome="asked", text="", every=day, moment=at + timedelta(hours=hours))
        for hours in (0, 23, 25)
    ]
    assert [row is not None for row in made] == [True, False, True]
    first = ledger.react("demo", "floor", outcome="begun", text="", version=2)
    assert ledger.react("demo", "floor", outcome="begun", text="", version=2) is None
    assert ledger.react("demo", "floor", outcome="begun", text="", version=3) is not None
    ledger.reacted(first.id, "rolled back", "version 1 is live again")
    assert [(row.version, row.outcome) for row in ledger.reactions("demo", "floor")] == [
        (2, "rolled back"),
        (3, "begun"),
    ]


def test_flapping_twenty_times_fires_and_resolves_at_most_twice(ledger):
    for pause in (1, 4, 10):
        key = f"every {pause}"
        for _ in range(20):
            ledger.alert("demo", "cells", "many", key)
            for _ in range(pause):
                ledger.resolve_alert("demo", key, after=3)
        rows = [row for row in ledger.alerts(open_only=False) if row.key == key]
        assert len(rows) <= 2, pause
        assert sum(row.resolved_at is not None for row in rows) <= 1, pause


def test_a_window_is_judged_once_and_old_ones_are_thinned_to_one_a_day(ledger, monkeypatch):
    monkeypatch.setattr(windows, "KEPT", 10)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    for number in range(40):
        at = start + timedelta(hours=6 * number)
        fields = {"started_at": at, "ended_at": at, "rows": 500, "figures": {"number": number}}
        assert ledger.add_window("demo", "inputs", **fields)
        assert not ledger.add_window("demo", "inputs", **fields)
    kept = ledger.windows("demo", "inputs", 100)
    assert [row.figures["number"] for row in kept][-10:] == [*range(30, 40)]
    older = kept[:-10]
    assert len({row.ended_at.date() for row in older}) == len(older) >= 7
    assert [row.figures["number"] for row in ledger.windows("demo", "inputs", 2)] == [38, 39]
    assert ledger.windows("other", "inputs") == []
