"""D2: a service that is asked to end finishes what was asked of it, and no caller notices."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving_platform import make_live, pids_of, serving

from pipelines import settings as settings_module
from pipelines.deployment.serve import bento_command, short_folder
from pipelines.inference.service.client import ServiceClient, is_ready
from pipelines.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.slow]

REQUESTS = 100
SECONDS = 20.0 if os.environ.get("AIMASS_FULL") else 6.0
"""How long the service works on all of them."""
ROW = {"amount": "12.5", "town": "Bern", "age": 30}


def columns(rows: int) -> dict[str, object]:
    return {"columns": {name: [cell] * rows for name, cell in ROW.items()}, "rows": rows}


def test_all_that_was_asked_is_answered_before_it_ends(packaged_home: Path, tmp_path: Path) -> None:
    settings = settings_module.load(home=packaged_home, mlflow_port=1024)
    socket = short_folder() / "s"
    command, environment = bento_command(settings, "demo", 1, socket)
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(command, env=environment, stderr=log)
    address = f"unix:{socket}"
    sent = threading.Barrier(REQUESTS + 1)

    def ask(rows: int) -> int:
        with ServiceClient(address, 60) as client:
            client.call("ping")
            sent.wait(30)
            return len(client.call("predict", columns(rows))["outputs"]["prediction"])

    try:
        assert wait_until(lambda: is_ready(address) or None, seconds=60, every=0.05)
        with ServiceClient(address, 60) as client:
            started = time.monotonic()
            client.call("predict", columns(20_000))
            rows = int(20_000 * SECONDS / REQUESTS / (time.monotonic() - started))
        with ThreadPoolExecutor(REQUESTS) as pool:
            asked = [pool.submit(ask, rows) for _ in range(REQUESTS)]
            sent.wait(30)
            time.sleep(0.5)
            child.send_signal(signal.SIGTERM)
            ended = time.monotonic()
            assert [each.result() for each in asked] == [rows] * REQUESTS
            assert child.wait(30) == 0
            assert SECONDS / 4 < time.monotonic() - ended <= 30, "they were under way"
    finally:
        child.kill()
        child.wait()


@pytest.mark.timeout(180)
def test_callers_of_the_gateway_do_not_notice(packaged_home: Path, tmp_path: Path) -> None:
    with serving(Path(shutil.copytree(packaged_home, tmp_path / "home"))) as platform:
        make_live(platform, 1)
        (before,) = pids_of(platform, 1)
        assert before is not None
        body = {"instances": [ROW] * 1000}
        platform.client.post("/v1/models/demo:predict", json=body)
        with ThreadPoolExecutor(REQUESTS) as pool:
            asked = [pool.submit(platform.client.post, "/v1/models/demo:predict", json=body) for _ in range(REQUESTS)]
            assert wait_until(lambda: any(each.done() for each in asked) or None, seconds=30, every=0.001)
            os.kill(before, signal.SIGTERM)
            assert not all(each.done() for each in asked), "some are under way"
            assert {each.result().status_code for each in asked} == {200}
        assert wait_until(lambda: pids_of(platform, 1)[0] not in (None, before) or None, seconds=30, every=0.1)
