"""D4 and A/A: bad candidates never get past their proof or canary, good ones always do; no caller notices either."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from bad_candidates import spoil
from load import Load
from packaged import night_of
from serving_platform import make_live, serving

from pipelines.deployment.rollback import stage as rollback
from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import DeployError
from pipelines.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.slow]

FULL = bool(os.environ.get("AIMASS_FULL"))
ROW = {"amount": "12.5", "town": "Bern", "age": 30}
SPEC = DeploySpec(
    ready_timeout=40, canary=(20, 50, 100), canary_requests=300 if FULL else 60, canary_minutes=3, replay_rows=0
)
HURRIED = SPEC.model_copy(update={"ready_timeout": 8.0})
NEXT = iter(range(2, 100))
PLANTED = {
    "errors": "the canary was ended",
    "slow": "the canary was ended",
    "nan": "the canary was ended",
    "crashes": "the canary was ended",
    "schema": "refused rows",
    "never ready": "did not bring the new service up",
    "wrong": "differ from the golden ones",
}
SHORT = ("errors", "wrong")
"""Those of the short form: one that the canary ends, and one that the proof does."""


@pytest.fixture(scope="module")
def platform(packaged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    home = Path(shutil.copytree(packaged_home, tmp_path_factory.mktemp("d4") / "home"))
    with serving(home) as found:
        make_live(found, 1)
        yield found


@pytest.fixture
def load(platform: SimpleNamespace) -> Iterator[Load]:
    url = f"{platform.settings.gateway_url}/v1/models/demo:predict"
    with Load(url, platform.token, {"instances": [ROW]}) as load:
        time.sleep(1.0)
        yield load


PATIENT = SPEC.model_copy(update={"ready_timeout": 60.0, "canary_requests": 300 if FULL else 30})


def release(platform: SimpleNamespace, tiny: ModuleType, folder: Path, fault: str, spec: DeploySpec = SPEC) -> int:
    """Make a version, build a fault in, and release it; return its number."""
    number = next(NEXT)
    night = night_of(f"night-{number}", day=min(number, 28), fence=1, platform=True)
    done = tiny.take_to_bento(folder, platform.settings, night)
    version = int(done["register"].ref.meta["version"])
    spoil(platform.settings, version, fault)
    tiny.release(spec, night, platform.settings, folder, done)
    return version


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", PLANTED if FULL else SHORT)
def test_a_bad_candidate_is_refused_or_aborted(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path, fault: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(DeployError, match=PLANTED[fault]):
        release(platform, tiny, tmp_path, fault, HURRIED if fault == "never ready" else SPEC)
    took = time.monotonic() - begun
    time.sleep(1.0)
    seen = load.since(begun)
    assert took <= 60
    assert platform.ledger.route("demo") == 1
    assert {each.status for each in seen} == {200}, "no caller noticed"
    assert max(each.seconds for each in seen) < 5
    assert seen[-1].version == 1
    alerts = [alert for alert in platform.ledger.alerts() if alert.kind == "deploy_failed"]
    assert len(alerts) == 1
    assert platform.ledger.resolve_alert("demo", "deploy")
    desired = {row.version: row.desired for row in platform.ledger.serving("demo")}
    assert {version for version, state in desired.items() if state == "serve"} == {1}
    assert not platform.ledger.exposed_rollouts()


@pytest.mark.timeout(1_200)
def test_candidates_that_are_the_live_version_pass(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path
) -> None:
    begun = time.monotonic()
    for turn in range(20 if FULL else 1):
        folder = tmp_path / str(turn)
        folder.mkdir()
        version = release(platform, tiny, folder, "none", PATIENT)
        assert platform.ledger.route("demo") == version
        last = platform.ledger.rollouts("demo")[-1]
        assert last.state == "promoted"
        assert [step["share"] for step in (last.evidence or {})["steps"]] == [20, 50, 100]
    assert {each.status for each in load.since(begun)} == {200}
    assert not [alert for alert in platform.ledger.alerts() if alert.kind.startswith(("deploy", "canary"))]


@pytest.mark.timeout(120)
def test_without_callers_a_canary_pauses_and_promotes_nothing(
    platform: SimpleNamespace, tiny: ModuleType, tmp_path: Path
) -> None:
    live = platform.ledger.route("demo")
    spec = DeploySpec(canary=(50,), canary_requests=20, canary_minutes=0.05)
    version = release(platform, tiny, tmp_path, "none", spec)
    assert platform.ledger.route("demo") == live
    last = platform.ledger.rollouts("demo")[-1]
    assert (last.version, last.state, last.share) == (version, "paused", 0)
    (alert,) = [alert for alert in platform.ledger.alerts() if alert.kind == "canary_paused"]
    assert f"--to {version}" in alert.message


@pytest.mark.timeout(120)
def test_a_person_ends_a_canary_and_nothing_is_wrong(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path
) -> None:
    live = platform.ledger.route("demo")
    spec = DeploySpec(canary=(5,), canary_requests=5_000, canary_minutes=2)
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(release(platform, tiny, tmp_path, "none", spec)))
    thread.start()
    assert wait_until(lambda: platform.ledger.exposed_rollouts() or None, seconds=60, every=0.1)
    stay = RollbackSpec(model="demo", to=live, why="not today", actor="a person")
    assert rollback.run(stay, settings=platform.settings).stats["why"] == "already live"
    thread.join(30)
    assert platform.ledger.route("demo") == live
    last = platform.ledger.rollouts("demo")[-1]
    assert (last.version, last.state, last.why) == (ended[0], "aborted", "a person: not today")
    assert not [alert for alert in platform.ledger.alerts() if alert.kind in ("deploy_failed", "canary_paused")]
    assert {each.status for each in load.since(0.0)} == {200}
