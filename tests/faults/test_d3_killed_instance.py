"""D3: of two instances one is killed, again and again, under load; no request fails."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from load import Load
from serving_platform import make_live, pids_of, row_of, serving

from pipelines.inference.service.client import is_ready
from pipelines.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.slow]

TIMES = 10 if os.environ.get("AIMASS_FULL") else 1
APART = 5.0
"""Seconds between two kills, at least."""
ROW = {"amount": "12.5", "town": "Bern", "age": 30}


@pytest.fixture(scope="module")
def platform(packaged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    home = Path(shutil.copytree(packaged_home, tmp_path_factory.mktemp("d3") / "home"))
    with serving(home) as found:
        make_live(found, 1, instances=2)
        yield found


@pytest.fixture
def load(platform: SimpleNamespace) -> Iterator[Load]:
    url = f"{platform.settings.gateway_url}/v1/models/demo:predict"
    with Load(url, platform.token, {"instances": [ROW]}) as load:
        time.sleep(1.0)
        yield load


def back(platform: SimpleNamespace, number: int, before: int) -> float:
    """Return the seconds until an instance is another process and ready."""
    started = time.monotonic()
    address = row_of(platform, 1).addresses[number]

    def again() -> bool | None:
        return (pids_of(platform, 1)[number] not in (None, before) and is_ready(address)) or None

    assert wait_until(again, seconds=30, every=0.1)
    return time.monotonic() - started


@pytest.mark.timeout(300)
def test_one_of_two_may_be_killed_at_any_time(platform: SimpleNamespace, load: Load) -> None:
    begun, took = time.monotonic(), []
    for turn in range(TIMES):
        killed_at = time.monotonic()
        victim = pids_of(platform, 1)[turn % 2]
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        took.append(back(platform, turn % 2, victim))
        if turn + 1 < TIMES:
            time.sleep(max(1.0, APART - (time.monotonic() - killed_at)))
    time.sleep(1.0)
    seen = load.since(begun)
    assert len(seen) > 40 * sum(took)
    assert {each.status for each in seen} == {200}
    assert max(took) <= 15
    assert max(each.seconds for each in seen) < 2.0, "nobody waited for the one that was gone"
    assert not [alert for alert in platform.ledger.alerts() if alert.kind == "serving"]


@pytest.mark.timeout(120)
def test_one_of_two_may_hang(platform: SimpleNamespace, load: Load) -> None:
    begun = time.monotonic()
    victim = pids_of(platform, 1)[0]
    assert victim is not None
    os.kill(victim, signal.SIGSTOP)
    assert back(platform, 0, victim) <= 15
    time.sleep(1.0)
    seen = load.since(begun)
    assert {each.status for each in seen} == {200}
    assert max(each.seconds for each in seen) < 5.0
    assert sum(each.seconds > 1.0 for each in seen) <= 20, "those that it had been given, and no other"
