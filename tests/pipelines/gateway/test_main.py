from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pyarrow.dataset as pads
from ports import free_ports


def start(environment):
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.gateway"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_serves_on_loopback_alone_and_drains_at_sigterm(served, tiny):
    port = free_ports(1)[0]
    process = start({"AIMASS_HOME": str(served.settings.home), "AIMASS_GATEWAY_PORT": str(port)})
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/readyz/demo").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        token = served.ledger.issue_token("main", ["predict"], 1)
        rows = tiny.rows(5)[["amount", "town", "age"]].to_dict("records")
        answer = httpx.post(
            f"{url}/v1/models/demo:predict", json={"instances": rows}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 200
        sockets = psutil.Process(process.pid).net_connections()
        listening = {(item.laddr.ip, item.laddr.port) for item in sockets if item.status == psutil.CONN_LISTEN}
        assert listening == {("127.0.0.1", port)}
    finally:
        process.send_signal(signal.SIGTERM)
        _, text = process.communicate(timeout=30)
    assert process.returncode == 0
    assert token not in text
    files = [str(path) for path in (served.settings.storage / "predictions").rglob("*.parquet")]
    logged = pads.dataset(files).to_table().to_pylist()
    assert sum(row["request_id"] == answer.json()["request_id"] for row in logged) == 5


def test_another_address_than_loopback_is_refused(served):
    process = start({"AIMASS_HOME": str(served.settings.home), "AIMASS_HOST": "0.0.0.0"})  # the point
    _, text = process.communicate(timeout=60)
    assert process.returncode == 20
    assert "loopback" in text
