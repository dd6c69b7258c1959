from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines.ledger import Ledger
from pipelines.local.dead_man import watch_monitor
from pipelines.monitoring.heartbeat import INTERVAL, beat

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
