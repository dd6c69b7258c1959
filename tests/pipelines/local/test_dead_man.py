from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from receivers import WebServer, serving
from sqlalchemy.exc import DatabaseError

from pipelines.alerting.postman import Postman
from pipelines.artifacts import write_json
from pipelines.ledger import Ledger
from pipelines.local import controller, supervisor
from pipelines.local.dead_man import all_well, tell_alone, watch_monitor
from pipelines.monitoring.heartbeat import INTERVAL, beat
from pipelines.settings import load

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_monitor_that_stops_is_told_once_and_ends_when_it_looks_again(home):
    with Ledger.open(home) as ledger:
        watch_monitor(home, ledger, NOW, NOW + INTERVAL)
        assert not ledger.alerts(), "it has not had the time to look"
        for minutes in (31, 32, 33):
            watch_monitor(home, ledger, NOW, NOW + timedelta(minutes=minutes))
        (alert,) = ledger.alerts()
        assert alert.kind == "monitor"
        assert "never looked" in alert.message
        assert "paused" in alert.message
        beat(home, NOW + timedelta(minutes=40))
        watch_monitor(home, ledger, NOW, NOW + timedelta(minutes=41))
        assert not ledger.alerts()
        watch_monitor(home, ledger, NOW, NOW + timedelta(minutes=71))
        (alert,) = ledger.alerts()
        assert "last looked at 2026-03-01 12:40" in alert.message


def test_a_broken_ledger_is_told_once_without_it_and_its_return_too(home, monkeypatch):
    (home.home / "ledger.db").write_bytes(b"no database " * 1000)
    write_json(supervisor.state_file(home), {"pid": 999_999, "created": 1.0, "folder": "/nowhere", "ports": {}})
    with serving(WebServer()) as web:
        monkeypatch.setenv("AIMASS_ALERT_WEBHOOK", f"{web.address}/hook")
        for _ in range(3):
            with pytest.raises(DatabaseError):
                controller.main()
        (post,) = web.posts
        assert post[2]["text"].startswith("[FIRING 1] AI Mass: controller")
        assert "file is not a database" in post[2]["text"]
        lines = (home.logs / "alerts.log").read_text().splitlines()
        assert [json.loads(line)["state"] for line in lines] == ["firing"]
        all_well(load())
        all_well(load())
        assert [body["text"].split(" 1]")[0] for _, _, body in web.posts] == ["[FIRING", "[RESOLVED"]


def test_a_channel_that_fails_without_the_ledger_is_tried_again_later(home, monkeypatch):
    with serving(WebServer()) as web:
        monkeypatch.setenv("AIMASS_ALERT_WEBHOOK", f"{web.address}/hook")
        web.status = 500
        tell_alone(load(), OSError("disk"), NOW)
        web.status = 200
        tell_alone(load(), OSError("disk"), NOW + timedelta(seconds=5))
        assert web.posts == []
        tell_alone(load(), OSError("disk"), NOW + timedelta(seconds=65))
        assert len(web.posts) == 1


def test_a_ledger_that_breaks_under_the_controller_is_told_after_two_rounds(home, monkeypatch):
    with serving(WebServer()) as web:
        monkeypatch.setenv("AIMASS_ALERT_WEBHOOK", f"{web.address}/hook")
        settings = load()
        postman = Postman(settings, partial(tell_alone, settings), partial(all_well, settings))

        def go():
            postman.go()
            postman.thread.join()

        go()
        whole = home.ledger_path.read_bytes()
        home.ledger_path.write_bytes(b"\0" * 20_000)
        go()
        assert web.posts == [], "it may be but locked"
        go()
        assert "the platform's controller cannot work" in web.posts[0][2]["text"]
        home.ledger_path.write_bytes(whole)
        go()
        assert web.posts[1][2]["text"].startswith("[RESOLVED 1] AI Mass: controller")
