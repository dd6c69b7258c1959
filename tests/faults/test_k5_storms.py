"""K5: any set of parts is killed at any moment, again and again; the supervisor brings all of them back."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from serving_platform import PARTS, make_live, serving

from pipelines.local import supervisor
from pipelines.local.airflow_config import MARK
from pipelines.local.controller import watcher_name
from pipelines.local.parts import CircusParts
from pipelines.local.processes import mark_of
from pipelines.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.slow]

STORMS = 50 if os.environ.get("AIMASS_FULL") else 3
BACK_SECONDS = 20.0
FAMILIES = ("family-1", "family-2")
FAMILY = "(while :; do echo child; sleep 0.05; done) & echo parent; exec sleep 1000"
"""As Airflow's scheduler and its workers: what outlives the parent holds the other end of its log."""


@pytest.fixture(scope="module")
def platform(packaged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    home = Path(shutil.copytree(packaged_home, tmp_path_factory.mktemp("storm") / "home"))
    with serving(home) as found:
        make_live(found, 1)
        parts = CircusParts(found.settings, found.running)
        for name in FAMILIES:
            parts.add(name, ["/bin/sh", "-c", FAMILY], {**os.environ, MARK: mark_of(found.settings)})
        yield found


def pid_of(platform: SimpleNamespace, name: str) -> int | None:
    with suppress(Exception):
        pids: list[int] = platform.running.call("list", name=name).get("pids") or []
        return next(iter(pids), None)
    return None


@pytest.mark.timeout(900)
def test_whatever_is_killed_comes_back(platform: SimpleNamespace) -> None:
    names = [*PARTS, watcher_name("demo", 1), *FAMILIES]
    draw = random.Random(5)
    for storm in range(STORMS):
        before = {name: pid_of(platform, name) for name in names}
        killed = {}
        for _ in range(draw.randint(1, 3)):
            victims = draw.sample(names, draw.randint(1, len(names)))
            for name in victims:
                pid = pid_of(platform, name)
                if pid is not None:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed[name] = pid
            time.sleep(draw.choice((0.0, 0.05, 0.3, 1.0)))

        def back(killed: dict[str, int] = killed) -> bool | None:
            with suppress(Exception):
                running = [pid_of(platform, name) for name in names]
                fresh = all(pid_of(platform, name) != pid for name, pid in killed.items())
                ready = platform.client.get("/readyz/demo").status_code == 200
                return (None not in running and fresh and ready) or None
            return None

        assert supervisor.current(platform.settings) is not None, f"storm {storm}: the supervisor itself is gone"
        assert wait_until(back, seconds=BACK_SECONDS, every=0.2), (
            storm,
            killed,
            before,
            {n: pid_of(platform, n) for n in names},
        )
        if watcher_name("demo", 1) in killed:
            time.sleep(2.0)
