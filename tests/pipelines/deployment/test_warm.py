"""The version before a switch stays warm: a rollback finds it running. Controller and gateway are real."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from load import Load
from packaged import night_of
from serving_platform import make_live, pids_of, row_of, serving

from pipelines.deployment.rollback import stage as rollback
from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.deployment.spec import DeploySpec
from pipelines.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROW = {"amount": "12.5", "town": "Bern", "age": 30}


@pytest.fixture(scope="module")
def platform(
    packaged_home: Path, tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    root = tmp_path_factory.mktemp("warm")
    with serving(Path(shutil.copytree(packaged_home, root / "home"))) as found:
        found.root, found.tiny = root, tiny
        found.done = {
            version: tiny.take_to_bento(root, found.settings, night_of(f"night-{version}", day=version), version)
            for version in (2, 3)
        }
        make_live(found, 1)
        yield found


def released(platform: SimpleNamespace, version: int, **fields: object) -> None:
    night = night_of(f"night-{version}", day=version, platform=True)
    done = platform.done[version]
    assert platform.tiny.release(DeploySpec(**fields), night, platform.settings, platform.root, done).meta["live"]


def states(platform: SimpleNamespace) -> dict[int, str]:
    return {row.version: row.actual for row in platform.ledger.serving("demo")}


def test_a_rollback_finds_the_version_before_running(platform: SimpleNamespace) -> None:
    before = pids_of(platform, 1)
    platform.client.post("/v1/models/demo:predict", json={"instances": [ROW] * 1000}).raise_for_status()
    released(platform, 2)
    log = platform.settings.storage / "predictions" / "demo"
    assert wait_until(lambda: any(log.rglob("*.parquet")) or None, seconds=60, every=0.2)
    assert states(platform) == {1: "ready", 2: "ready"}
    url = f"{platform.settings.gateway_url}/v1/models/demo:predict"
    with Load(url, platform.token, {"instances": [ROW]}) as load:
        time.sleep(1.0)
        done = rollback.run(RollbackSpec(model="demo", why="a test"), settings=platform.settings).stats
        time.sleep(1.5)
    assert (done["version"], platform.ledger.route("demo")) == (1, 1)
    assert (done["golden_rows"], done["logged_rows"]) == (200, 1000)
    assert done["seconds"] < 5.0
    assert pids_of(platform, 1) == before, "nothing was started"
    assert {each.status for each in load.seen} == {200}
    assert {each.version for each in load.seen[-10:]} == {1}
    assert states(platform)[2] == "ready", "and back again is as quick"


def test_at_most_one_version_is_warm_and_none_if_not_wanted(platform: SimpleNamespace) -> None:
    released(platform, 3, instances=2)
    assert wait_until(lambda: states(platform) == {1: "ready", 2: "absent", 3: "ready"} or None, seconds=20, every=0.2)
    assert len(row_of(platform, 3).addresses) == 2
    assert row_of(platform, 3).until is None
    spec = RollbackSpec(model="demo", to=1, why="another test", warm_minutes=0)
    rollback.run(spec, settings=platform.settings)
    assert wait_until(lambda: states(platform) == {1: "ready", 2: "absent", 3: "absent"} or None, seconds=20, every=0.2)
    assert row_of(platform, 1).instances == 2, "as many as served before"
    assert None not in pids_of(platform, 1)
