"""K1, short form: every stage is killed once at a random moment and retried.

What is killed is always a process of its own; in the short form the next attempt runs in this one, which has imported
everything already.
"""

from __future__ import annotations

import json
import os
import random
import signal

import psutil
import pytest
from chain import WIRES, Chain, write_small_source
from searching import run_here

from pipelines import storage
from pipelines.secret_files import public_key
from pipelines.spec import ModelSpec

FULL = os.environ.get("AIMASS_FULL") == "1"
"""The search on Ray, too; K14 and K16 kill that one more closely."""
START_SECONDS = 1.0
"""What a process takes to start and to import, about."""
MODEL = ModelSpec(name="small", task="binary", target="label", positive="yes", key=("id",))


@pytest.fixture
def specs(tmp_path):
    source, suite = tmp_path / "small.csv", tmp_path / "suite.json"
    write_small_source(source)
    suite.write_text(
        json.dumps(
            {
                "name": "small",
                "expectations": [
                    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "_y"}, "severity": "critical"}
                ],
                "meta": {},
            }
        )
    )
    return {
        "ingest": {"source": str(source)},
        "validate": {"suite": str(suite)},
        "tune": {"trials": 3 if FULL else 2, "families": ["lightgbm", "linear"]},
        "evaluate": {"plots": False},
    }


@pytest.mark.fault
@pytest.mark.timeout(420)
def test_killed_stages_are_retried_into_the_same_single_version(home, specs, monkeypatch):
    calm = Chain(home, MODEL, "manual__calm", specs)
    monkeypatch.setattr("pipelines.tuning.search.search", run_here)
    calm.run_here(*WIRES)
    seconds = {stage: result.seconds for stage, result in calm.results.items()}
    verdict = json.loads((storage.resolve(home, calm.results["evaluate"].ref.uri) / "metrics.json").read_text())

    stormy_home = home.model_copy(update={"home": home.home.parent / "stormy"}).ensure()
    (stormy_home.secrets / "signing_key.pem").write_bytes((home.secrets / "signing_key.pem").read_bytes())
    stormy = Chain(stormy_home, MODEL, "manual__stormy", specs)
    draw = random.Random(7)
    killed = 0
    for stage in WIRES:
        code = stormy.run(stage, kill_after=draw.uniform(0.1, 0.9) * (seconds[stage] + START_SECONDS))
        killed += code == -signal.SIGKILL
        if code:
            assert code == -signal.SIGKILL, stormy.log(stage)
            if FULL:
                assert stormy.run(stage) == 0, stormy.log(stage)
            else:
                stormy.run_here(stage)
    assert killed >= len(WIRES) // 2

    assert [row.version for row in stormy.ledger.versions("small")] == [1]
    assert stormy.ledger.route("small") == 1
    assert stormy.ledger.verify_history()
    assert len(stormy.ledger.history()) == 1
    for stage, result in stormy.results.items():
        folder = storage.resolve(stormy_home, result.ref.uri)
        assert storage.verify(folder)["digest"] == result.ref.digest, stage
    champion = stormy.ledger.champion("small")
    from pipelines.inference.manifest import verify_manifest

    assert verify_manifest(storage.resolve(stormy_home, champion.model_uri), public_key(stormy_home))
    assert champion.model_digest == calm.ledger.champion("small").model_digest
    again = json.loads((storage.resolve(stormy_home, stormy.results["evaluate"].ref.uri) / "metrics.json").read_text())
    assert again == verdict
    mine = str(stormy_home.home)
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if mine in " ".join(process.info["cmdline"] or [])
    ]
