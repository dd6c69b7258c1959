"""Actions: by right, with a reason, recorded, and refused where somebody acted first."""

from __future__ import annotations

import re

import pytest

from pipelines.ledger.actions import Mark

ALL = ("rollback", "promote", "pause", "resume", "pause-nights", "resume-nights", "start-night")


def mark_of(center, name):
    return str(center.ledger.mark(name))


def do(browser, center, name, action, **body):
    return browser.post(
        f"/models/{name}/actions/{action}", json={"mark": mark_of(center, name), "why": "a test", **body}
    )


@pytest.mark.parametrize("action", ALL)
def test_a_viewer_sees_no_button_and_is_refused(center, names, action):
    before = center.ledger.mark(names[0])
    with center.as_("viewer") as viewer:
        page = viewer.get(f"/models/{names[0]}").text
        found = do(viewer, center, names[0], action, version=1)
    assert "data-dialog" not in page
    assert "hx-post" not in page
    assert found.status_code == 403
    assert "the right to" in found.text
    assert center.ledger.mark(names[0]) == before
    assert center.airflow.runs == []


def test_an_admin_sees_the_buttons(center, names):
    with center.as_("admin") as admin:
        page = admin.get(f"/models/{names[0]}").text
    assert set(re.findall(r'data-dialog="([a-z-]+)"', page)) >= {"rollback", "pause", "night", "pause-nights"}


def test_a_rollback_starts_the_dag_and_is_in_the_ledger(center, names):
    name = names[0]
    live = center.ledger.route(name)
    to = max(row.version for row in center.ledger.score_line(name) if row.live_at and row.version != live)
    with center.as_("admin") as admin:
        found = do(admin, center, name, "rollback", version=str(to), why="odd <b>scores</b>")
        assert found.status_code == 200
        assert center.airflow.runs == [("rollback", {"model": name, "to": to, "why": "odd <b>scores</b>"}, "a-admin")]
        (act, *_) = center.ledger.actions(name)
        assert (act.kind, act.actor, act.why, act.about["run"], act.outcome) == (
            "rollback", "a-admin", "odd <b>scores</b>", "manual__1", "asked",
        )  # fmt: skip
        assert "odd &lt;b&gt;scores" in found.text
        assert f"/models/{name}/actions/{act.id}" in found.text, "it is followed"
        ended = admin.get(f"/models/{name}/actions/{act.id}")
        assert "Done: rollback" in ended.text
        assert "hx-get" not in ended.text
    assert center.ledger.actions(name)[0].outcome == "done"


def test_a_rollback_that_fails_tells_the_error(center, names):
    name = names[1]
    center.airflow.ended = "failed"
    center.ledger.alert(None, "rollback", "rollback failed: golden predictions differ", "rollback")
    with center.as_("admin") as admin:
        do(admin, center, name, "promote", version=1)
        act = center.ledger.actions(name)[0]
        text = admin.get(f"/models/{name}/actions/{act.id}").text
    assert "Failed: promote" in text


@pytest.mark.parametrize(
    "body",
    [
        {"version": "99999"},
        {"version": ""},
        {"version": "1; DROP"},
        {"version": None},
        {"why": "  ", "version": 1},
        {"why": "x" * 501, "version": 1},
    ],
)
def test_what_is_wrong_is_told_before_anything_is_recorded(center, names, body):
    before = center.ledger.mark(names[2])
    with center.as_("admin") as admin:
        found = do(admin, center, names[2], "rollback", **body)
        live = do(admin, center, names[2], "rollback", version=center.ledger.route(names[2]))
    assert found.status_code == live.status_code == 422
    assert "live already" in live.text
    assert center.ledger.mark(names[2]) == before


@pytest.mark.parametrize("mark", ["", "x", "1", "1-2-3", "-1-0", "1" * 40 + "-1", "9-٣"])
def test_a_page_without_a_mark_is_refused(center, names, mark):
    with center.as_("admin") as admin:
        found = admin.post(f"/models/{names[2]}/actions/pause", json={"why": "x", "mark": mark})
    assert found.status_code == 422


def test_a_stale_page_gets_409_with_what_changed(center, names):
    name = names[2]
    old = mark_of(center, name)
    with center.as_("admin") as first, center.as_("op") as second:
        assert (
            first.post(f"/models/{name}/actions/pause", json={"mark": old, "why": "prices are wrong"}).status_code
            == 200
        )
        found = second.post(f"/models/{name}/actions/pause-nights", json={"mark": old, "why": "me too"})
        assert found.status_code == 409
        assert "somebody acted since" in found.text
        assert "prices are wrong" in found.text
        assert "a-admin" in found.text
        assert center.airflow.paused == {}
        again = do(second, center, name, "pause")
        assert again.status_code == 409
        assert "paused already" in again.text
        assert do(second, center, name, "resume", why="right again").status_code == 200
    assert center.ledger.paused() == {}
    kinds = [(row.kind, row.actor, row.outcome) for row in center.ledger.actions(name)][:2]
    assert kinds == [("resume", "a-op", "done"), ("pause", "a-admin", "done")]


def test_a_switch_by_a_night_makes_a_page_stale_too(center, names):
    name = names[1]
    old = center.ledger.mark(name)
    with center.as_("admin") as admin:
        stale = Mark(old.switch - 1, old.action)
        found = admin.post(f"/models/{name}/actions/pause", json={"mark": str(stale), "why": "x"})
    assert found.status_code == 409
    assert "deploy" in found.text


def test_nights_are_paused_and_resumed(center, names):
    name = names[0]
    with center.as_("op") as op:
        assert do(op, center, name, "pause-nights").status_code == 200
        assert center.airflow.paused == {f"retrain_{name}": True}
        assert "nights paused" in op.get(f"/models/{name}").text
        assert do(op, center, name, "pause-nights").status_code == 409
        assert do(op, center, name, "resume-nights").status_code == 200
    assert center.airflow.paused == {f"retrain_{name}": False}


def test_a_night_starts_with_the_params_of_the_form(center, names):
    name = names[0]
    with center.as_("user") as user:
        form = user.get(f"/models/{name}/parts/night").text
        assert 'name="param:tune__trials"' in form
        body = {"param:tune__trials": "3", "param:tune__families": ["linear"], "param:unknown": "1"}
        assert do(user, center, name, "start-night", **body).status_code == 200
        wrong = do(user, center, name, "start-night", **{"param:tune__trials": "many"})
    assert center.airflow.runs == [(f"retrain_{name}", {"tune__trials": 3, "tune__families": ["linear"]}, "a-user")]
    assert wrong.status_code == 422
    assert "no number" in wrong.text


def test_an_action_that_fails_says_so_in_the_ledger(center, names, monkeypatch):
    from pipelines.errors import SpecError

    def refuse(*_):
        raise SpecError("Airflow has no such DAG", seen="promote")

    monkeypatch.setattr(center.airflow, "start", refuse)
    name = names[2]
    version = next(row.version for row in center.ledger.score_line(name) if row.state != "live")
    with center.as_("admin") as admin:
        found = do(admin, center, name, "promote", version=version)
    assert found.status_code == 422
    assert "Airflow has no such DAG" in found.text
    assert center.ledger.actions(name)[0].outcome == "failed: Airflow has no such DAG"


def test_alerts_are_acknowledged_and_silenced(center, names):
    name = names[0]
    center.ledger.alert(name, "drift", "2 columns shifted", "psi")
    (alert,) = [row for row in center.ledger.alerts() if row.key == "psi"]
    with center.as_("viewer") as viewer, center.as_("admin") as admin:
        assert viewer.post(f"/alerts/{alert.id}/acknowledge", json={"why": "x"}).status_code == 403
        assert "Acknowledge" not in viewer.get(f"/models/{name}").text
        assert admin.post(f"/alerts/{alert.id}/acknowledge", json={"why": "I look"}).status_code == 200
        again = admin.post(f"/alerts/{alert.id}/acknowledge", json={"why": "I look, too"})
        assert again.status_code == 409
        assert "by a-admin: I look" in again.text
        assert admin.post(f"/alerts/{alert.id}/silence", json={"why": "known", "span": "forever"}).status_code == 422
        assert admin.post(f"/alerts/{alert.id}/silence", json={"why": "known", "span": "2h"}).status_code == 200
        page = viewer.get(f"/models/{name}").text
        assert "acknowledged by a-admin" in page
        assert "silent until" in page
        (silence,) = center.ledger.silences()
        assert (silence.fingerprint, silence.actor, silence.why) == (alert.fingerprint, "a-admin", "known")
        center.ledger.resolve_alert(name, "psi")
        assert admin.post(f"/alerts/{alert.id}/silence", json={"why": "x", "span": "2h"}).status_code == 409
        assert admin.post("/alerts/99999/silence", json={"why": "x", "span": "2h"}).status_code == 404


def test_an_action_that_is_none_is_404(center, names):
    with center.as_("admin") as admin:
        assert do(admin, center, names[0], "ask").status_code == 404
        assert do(admin, center, names[0], "delete").status_code == 404
        assert do(admin, center, "nobody", "pause").status_code == 404
