"""D1, D7 to D10: switches, killed deployers, rollbacks, damaged bentos and rival releases, under load."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import deployer
import pytest
from load import Load
from packaged import night_of
from serving_platform import make_live, serving

from pipelines.backup import stage as backup
from pipelines.backup.spec import BackupSpec
from pipelines.deployment.rollback import stage as rollback
from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.deployment.serve import bento_command, find_bento
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import AimassError, DeployError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.secret_files import public_key
from pipelines.storage import resolve

pytestmark = [pytest.mark.fault, pytest.mark.slow]

FULL = bool(os.environ.get("AIMASS_FULL"))
ROW = {"amount": "12.5", "town": "Bern", "age": 30}
NEXT = iter(range(2, 28))
AT_ONCE = DeploySpec(ready_timeout=30)


@pytest.fixture(scope="module")
def platform(
    packaged_home: Path, tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    root = tmp_path_factory.mktemp("d")
    home = Path(shutil.copytree(packaged_home, root / "home"))
    with serving(home) as found:
        make_live(found, 1)
        yield found


@pytest.fixture
def load(platform: SimpleNamespace) -> Iterator[Load]:
    url = f"{platform.settings.gateway_url}/v1/models/demo:predict"
    with Load(url, platform.token, {"instances": [ROW]}, rate=100 if FULL else 50) as load:
        time.sleep(0.5)
        yield load


def make(platform: SimpleNamespace, tiny: ModuleType, folder: Path, seed: int = 0) -> SimpleNamespace:
    """Make a packaged version that is to be released."""
    day = next(NEXT)
    folder.mkdir(exist_ok=True)
    night = night_of(f"night-{day}", day=day, fence=1, platform=True)
    done = tiny.take_to_bento(folder, platform.settings, night, seed)
    return SimpleNamespace(night=night, done=done, version=int(done["register"].ref.meta["version"]), folder=folder)


def go_back(platform: SimpleNamespace, version: int) -> float:
    """Roll back and return the seconds it took."""
    started = time.monotonic()
    rollback.run(RollbackSpec(model="demo", to=version, why=f"to {version}"), settings=platform.settings)
    return time.monotonic() - started


def all_well(load: Load, since: float) -> None:
    seen = load.since(since)
    assert seen
    assert {each.status for each in seen} == {200}
    assert all(each.version for each in seen)


@pytest.mark.timeout(600)
def test_d1_no_request_fails_over_switches_and_none_reaches_the_old_version_afterwards(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path
) -> None:
    made = make(platform, tiny, tmp_path)
    begun = time.monotonic()
    tiny.release(AT_ONCE, made.night, platform.settings, tmp_path, made.done)
    live = made.version
    for _ in range(19 if FULL else 1):
        time.sleep(5.0 if FULL else 0.3)
        switched = time.monotonic()
        assert all(each.version == live for each in load.since(switched))
        live = 1 if live == made.version else made.version
        go_back(platform, live)
        acknowledged = time.monotonic()
        time.sleep(0.5)
        assert {each.version for each in load.since(acknowledged)} == {live}
    all_well(load, begun)
    if FULL:
        assert len(load.since(begun)) >= 10_000
    if live != 1:
        go_back(platform, 1)


@pytest.mark.timeout(600)
def test_d7_a_deployer_that_is_killed_leaves_nothing_behind_and_its_retry_ends_the_release(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path
) -> None:
    draw = random.Random(7)
    begun = time.monotonic()
    for turn in range(10 if FULL else 1):
        made = make(platform, tiny, tmp_path / str(turn))
        facts: dict[str, Any] = {
            "home": str(platform.settings.home),
            "port": platform.settings.gateway_port,
            "name": made.night.night,
            "day": made.night.as_of.day,
            "spec": {"ready_timeout": 30, "canary": [50], "canary_requests": 40 if FULL else 20},
            "metas": {name: artifact.ref.meta for name, artifact in made.done.items()},
        }
        switches = len(platform.ledger.history("demo"))
        for fence in (1, 2) if FULL else (1,):
            child = deployer.start(made.folder, fence=fence, **facts)
            time.sleep(draw.uniform(0.5, 9.0 if FULL else 5.0))
            child.kill()
            child.wait()
        child = deployer.start(made.folder, fence=3, **facts)
        assert child.wait(120) == 0, (made.folder / "deployer-3.log").read_text()
        assert platform.ledger.route("demo") == made.version
        assert len(platform.ledger.history("demo")) == switches + 1
        assert [row.state for row in platform.ledger.rollouts("demo") if row.version == made.version][-1] == "promoted"
        assert not [row for row in platform.ledger.rollouts("demo") if row.state == "running"]
    assert platform.ledger.verify_history()
    all_well(load, begun)


@pytest.mark.timeout(240)
def test_d10_of_two_releases_one_wins_and_a_backup_meanwhile_is_whole(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path
) -> None:
    rivals = [make(platform, tiny, tmp_path / name) for name in ("one", "two")]
    spec = DeploySpec(ready_timeout=30, canary=(50,), canary_requests=60, replay_rows=0)
    ended: dict[int, BaseException | None] = {}

    def release(made: SimpleNamespace) -> None:
        try:
            tiny.release(spec, made.night, platform.settings, made.folder, made.done)
            ended[made.version] = None
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            ended[made.version] = error

    begun = time.monotonic()
    threads = [threading.Thread(target=release, args=[made]) for made in rivals]
    for thread in threads:
        thread.start()
    saved = backup.run(BackupSpec(), settings=platform.settings)
    for thread in threads:
        thread.join()
    (won,) = [version for version, error in ended.items() if error is None]
    (lost,) = [error for error in ended.values() if error is not None]
    assert platform.ledger.route("demo") == won
    assert isinstance(lost, DeployError)
    assert "another release of this model is under way" in str(lost)
    assert saved.stats
    platform.ledger.resolve_alert("demo", "deploy")
    all_well(load, begun)


@pytest.mark.timeout(120)
def test_d8_a_rollback_needs_neither_mlflow_nor_the_files_of_the_new_version(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path
) -> None:
    before = platform.ledger.route("demo")
    draw = random.Random(8)
    towns = ("Bern", "Graz", "Łódź", "?")
    rows = [
        {"amount": draw.uniform(0, 300), "town": draw.choice(towns), "age": draw.randint(18, 90)} for _ in range(1_000)
    ]

    def ask() -> Any:
        reply = platform.client.post("/v1/models/demo:predict", json={"instances": rows})
        assert reply.status_code == 200
        return reply.json()["predictions"]

    stored = ask()
    made = make(platform, tiny, tmp_path, seed=5)
    begun = time.monotonic()
    tiny.release(AT_ONCE, made.night, platform.settings, tmp_path, made.done)
    assert platform.ledger.route("demo") == made.version
    assert ask() != stored
    shutil.rmtree(find_bento(platform.settings, "demo", made.version))
    shutil.rmtree(resolve(platform.settings, platform.ledger.version("demo", made.version).model_uri))
    took = go_back(platform, before)
    assert took <= 10
    assert ask() == stored
    all_well(load, begun)


@pytest.mark.timeout(300)
def test_d9_no_bento_or_model_that_was_changed_is_ever_started(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path
) -> None:
    live = platform.ledger.route("demo")
    made = make(platform, tiny, tmp_path, seed=9)
    settings, version = platform.settings, made.version
    bento = find_bento(settings, "demo", version)
    model = resolve(settings, platform.ledger.version("demo", version).model_uri)
    for path in (bento, model, *bento.rglob("*"), *model.rglob("*")):
        path.chmod(0o700)

    def start(folder: Path) -> Any:
        if folder == bento:
            return bento_command(settings, "demo", version, tmp_path / "socket")
        return ModelDirectory.open(model, public_key(settings))

    def refused(folder: Path) -> None:
        with pytest.raises(AimassError):
            start(folder)

    begun = time.monotonic()
    for folder in (bento, model):
        assert start(folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            whole = path.read_bytes()
            place = len(whole) // 2
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 if whole else 1]) + whole[place + 1 :])
            refused(folder)
            path.write_bytes(whole)
    for folder in (bento, model):
        (folder / "added").write_text("")
        refused(folder)
        (folder / "added").unlink()
        signature = folder / "manifest.sig"
        kept = signature.read_bytes()
        signature.unlink()
        refused(folder)
        signature.write_bytes(kept)
        manifest = folder / "manifest.json"
        kept = manifest.read_bytes()
        other = find_bento(settings, "demo", 1) if folder == bento else bento / "src" / "model"
        manifest.write_bytes((other / "manifest.json").read_bytes() if folder == bento else b"{}")
        refused(folder)
        manifest.write_bytes(kept)
    with (bento / "src" / "service.py").open("a") as stream:
        stream.write(" ")
    with pytest.raises(DeployError, match="differs from its manifest"):
        tiny.release(AT_ONCE, made.night, settings, tmp_path, made.done)
    assert platform.ledger.resolve_alert("demo", "deploy")
    assert platform.ledger.route("demo") == live
    all_well(load, begun)


@pytest.mark.timeout(120)
def test_d10_a_version_that_was_deleted_is_not_released(
    platform: SimpleNamespace, tiny: ModuleType, load: Load, tmp_path: Path
) -> None:
    live = platform.ledger.route("demo")
    begun = time.monotonic()
    made = make(platform, tiny, tmp_path)
    shutil.rmtree(find_bento(platform.settings, "demo", made.version))
    with pytest.raises(DeployError, match="has no bento"):
        tiny.release(AT_ONCE, made.night, platform.settings, tmp_path, made.done)
    assert platform.ledger.resolve_alert("demo", "deploy")
    assert platform.ledger.route("demo") == live
    all_well(load, begun)
