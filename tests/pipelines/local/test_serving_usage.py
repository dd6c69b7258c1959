"""What services took is asked of them, and a service that cannot tell is passed over."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from pipelines.inference.service.client import ServiceClient, usage_of
from pipelines.local.serving_usage import TRIES, keep_serving_usage
from pipelines.storage import resolve

pytestmark = pytest.mark.slow


def test_a_service_counts_its_cpu_time_and_rows(served: SimpleNamespace) -> None:
    ledger, address = served.ledger, served.url
    golden = json.loads((resolve(served.settings, ledger.version("demo", 1).model_uri) / "golden.json").read_text())
    row = golden["rows"][0]
    before = usage_of(address)
    assert before is not None
    unable: dict[str, int] = {}
    keep_serving_usage(ledger, unable)
    with ServiceClient(address) as client:
        for _ in range(3):
            client.call("predict", {"columns": {name: [cell] * 2 for name, cell in row.items()}, "rows": 2})
    ledger.want("demo", 2, "serve")
    ledger.observe("demo", 2, "ready", address="unix:/nowhere")
    for _ in range(TRIES + 1):
        keep_serving_usage(ledger, unable)
    assert unable == {"unix:/nowhere": TRIES}, "what cannot tell is asked a few times, then no more"
    (kept,) = ledger.serving_usage("demo")
    assert (kept.version, kept.process, kept.rows) == (1, before["process"], before["rows"] + 6)
    assert kept.cpu_seconds > before["cpu_seconds"] > 0
    assert 1e7 < kept.memory <= before["peak_memory"] + 1e7
