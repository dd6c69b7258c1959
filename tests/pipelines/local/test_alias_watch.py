"""An alias moved by hand in MLflow is followed by a proof, or put back; the server is the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from ports import free_ports

from pipelines.child_environment import as_environment
from pipelines.inference.manifest import MANIFEST
from pipelines.local.alias_watch import ACTOR, LAGGING_LOOKS, AliasWatch
from pipelines.local.components import components
from pipelines.registry.aliases import reconcile
from pipelines.registry.tracking import TOKEN, VERSION_TAG, client, tracking_uri
from pipelines.settings import Settings
from pipelines.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here(packaged: SimpleNamespace, tiny: ModuleType) -> Iterator[SimpleNamespace]:
    """Versions 1 and 2 with bentos, 2 live; version 3 registered alone; MLflow's server as the platform runs it."""
    settings: Settings = packaged.settings.model_copy(update={"mlflow_port": free_ports(1)[0]})
    for number in (2, 3):
        folder = packaged.root / f"night-{number}"
        folder.mkdir()
        tiny.take_to_bento(folder, packaged.settings, packaged.night_of(f"night-{number}", day=number), number)
    (bento,) = settings.bentoml_home.glob("bentos/demo/v3-*")
    shutil.rmtree(bento)
    (mlflow,) = [part for part in components(settings) if part.name == "mlflow"]
    environment = {
        **os.environ,
        **as_environment(settings),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    process = subprocess.Popen(
        mlflow.command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert wait_until(lambda: tracking_uri(settings) == settings.mlflow_uri or None, seconds=90, every=0.2)
        with httpx.Client(timeout=10, trust_env=False) as asking:
            watch = AliasWatch(settings, packaged.ledger, asking)
            yield SimpleNamespace(settings=settings, ledger=packaged.ledger, watch=watch, api=client(settings))
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def live(here: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """Version 2 is live and MLflow says so."""
    here.ledger.switch("demo", 1, 0, "first", "test")
    here.ledger.switch("demo", 2, 0, "second", "test")
    assert reconcile(here.settings, here.ledger, "demo")
    yield here
    for alert in here.ledger.alerts():
        here.ledger.resolve_alert(alert.model, alert.key)


def number_of(here: SimpleNamespace, version: int) -> str:
    """Return MLflow's number of a version."""
    known = here.api.search_model_versions("name='demo'")
    return str(next(each.version for each in known if each.tags.get(VERSION_TAG) == str(version)))


def move(here: SimpleNamespace, version: int) -> None:
    """Move the alias as MLflow's page does."""
    here.api.set_registered_model_alias("demo", "champion", number_of(here, version))


def alias(here: SimpleNamespace) -> Any:
    found = here.api.get_registered_model("demo").aliases.get("champion")
    return None if found is None else str(found)


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as another user of this machine, where that is possible, else as this one."""
    who = {"user": "nobody", "group": "nogroup", "extra_groups": ()} if os.geteuid() == 0 else {}
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd="/", check=False, **who)  # type: ignore[call-overload]


def test_another_user_of_the_machine_can_do_nothing_in_mlflow(live: SimpleNamespace) -> None:
    uri, artifacts = live.settings.mlflow_uri, "/api/2.0/mlflow-artifacts/artifacts/demo"
    wanted = json.dumps({"name": "demo", "alias": "champion", "version": number_of(live, 1)})
    before = sorted((live.settings.mlflow_dir / "artifacts").rglob("*"))
    asked = [
        ("POST", "/api/2.0/mlflow/registered-models/alias", wanted),
        ("PUT", f"{artifacts}/planted.py", "print('planted')"),
        ("GET", f"{artifacts}?path=", ""),
        ("GET", "/ajax-api/2.0/mlflow/registered-models/search", ""),
        ("GET", "/", ""),
    ]
    for method, path, body in asked:
        options = ["-H", "Content-Type: application/json", "-d", body] if body else []
        command = ["curl", "-s", "-g", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, *options, uri + path]
        assert as_nobody(*command).stdout == "401", (method, path)
    assert as_nobody("curl", "-s", f"{uri}/health").stdout == "OK"
    assert sorted((live.settings.mlflow_dir / "artifacts").rglob("*")) == before
    assert alias(live) == number_of(live, 2)
    if os.geteuid() == 0:
        for private in (live.settings.secrets / TOKEN, live.settings.mlflow_dir / "mlflow.db"):
            assert "ermission denied" in as_nobody("cat", str(private)).stderr


def test_a_move_to_a_version_that_can_be_served_is_followed_within_a_minute(live: SimpleNamespace) -> None:
    switches = len(live.ledger.history("demo"))
    environment = {
        **os.environ,
        "AIMASS_HOME": str(live.settings.home),
        "AIMASS_MLFLOW_PORT": str(live.settings.mlflow_port),
    }
    often = "from pipelines.local import alias_watch; alias_watch.LOOK_SECONDS = 1.0; alias_watch.main()"
    process = subprocess.Popen([sys.executable, "-c", often], env=environment)
    try:
        assert wait_until(lambda: live.settings.alias_watch_beat.exists() or None, seconds=30, every=0.1)
        began = time.monotonic()
        move(live, 1)
        assert wait_until(lambda: live.ledger.route("demo") == 1 or None, seconds=60, every=0.2)
        assert time.monotonic() - began < 60
    finally:
        process.terminate()
        process.wait(30)
    last = live.ledger.history("demo")[-1]
    assert (last.from_version, last.to_version, last.actor) == (2, 1, ACTOR)
    assert last.why == "alias champion of demo was moved by hand in MLflow from version 2 to version 1"
    assert live.ledger.verify_history()
    for _ in range(2 * LAGGING_LOOKS):  # what the process was ended in the middle of is done by the next
        live.watch.look()
    assert alias(live) == number_of(live, 1)
    assert live.ledger.route("demo") == 1
    assert len(live.ledger.history("demo")) == switches + 1
    assert live.ledger.alerts() == []


def test_a_move_to_a_version_without_a_bento_is_put_back_and_told(live: SimpleNamespace) -> None:
    switches = len(live.ledger.history("demo"))
    for _ in range(2):  # a second time it is told again
        move(live, 3)
        live.watch.look()
        assert alias(live) == number_of(live, 2)
        assert live.ledger.route("demo") == 2
        (alert,) = live.ledger.alerts()
        assert "alias champion of demo was moved by hand in MLflow from version 2 to version 3" in alert.message
        assert "version 3 of demo has no bento" in alert.message
        assert alert.message.endswith("the alias is put back")
    assert len([each for each in live.ledger.alerts(open_only=False) if each.key == alert.key]) == 2
    live.watch.look()
    assert len(live.ledger.history("demo")) == switches


@pytest.mark.usefixtures("alias_process")
def test_a_changed_bento_is_not_followed(live: SimpleNamespace) -> None:
    (folder,) = live.settings.bentoml_home.glob("bentos/demo/v1-*")
    path = next(path for path in folder.rglob("*.json") if path.name != MANIFEST)
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content + b" ")
    try:
        move(live, 1)
        live.watch.look()
    finally:
        path.write_bytes(content)
    assert (alias(live), live.ledger.route("demo")) == (number_of(live, 2), 2)
    assert "not followed" in live.ledger.alerts()[0].message


def test_a_version_that_the_ledger_does_not_know_is_not_followed(live: SimpleNamespace) -> None:
    source = live.api.get_model_version("demo", number_of(live, 1))
    model_id = source.source.removeprefix("models:/")
    mine = live.api.create_model_version("demo", source.source, run_id=source.run_id, model_id=model_id)
    try:
        live.api.set_registered_model_alias("demo", "champion", str(mine.version))
        live.watch.look()
        assert (alias(live), live.ledger.route("demo")) == (number_of(live, 2), 2)
        (alert,) = live.ledger.alerts()
        assert f"to MLflow's version {mine.version}" in alert.message
        assert "the ledger knows no such version" in alert.message
        live.api.set_model_version_tag("demo", str(mine.version), VERSION_TAG, "1")
        live.api.set_registered_model_alias("demo", "champion", str(mine.version))
        live.watch.look()
        assert live.ledger.route("demo") == 2, "a tag alone makes no version of ours"
        assert "names another model directory" in live.ledger.alerts()[0].message
    finally:
        live.api.delete_model_version("demo", str(mine.version))


def test_an_alias_that_lags_behind_a_switch_is_no_move(live: SimpleNamespace) -> None:
    live.ledger.switch("demo", 1, 0, "a night", "test")
    switches = len(live.ledger.history("demo"))
    for _ in range(LAGGING_LOOKS - 1):
        live.watch.look()
        assert alias(live) == number_of(live, 2), "whoever switched brings it up to date"
    live.watch.look()
    assert alias(live) == number_of(live, 1)
    assert len(live.ledger.history("demo")) == switches
    assert live.ledger.alerts() == []


def test_a_removed_alias_is_put_back(live: SimpleNamespace) -> None:
    live.api.delete_registered_model_alias("demo", "champion")
    live.watch.look()
    assert alias(live) == number_of(live, 2)
    assert "removed by hand" in live.ledger.alerts()[0].message


def test_a_missing_model_is_an_alert_and_a_server_that_is_away_is_none(live: SimpleNamespace) -> None:
    live.api.rename_registered_model("demo", "mine")
    try:
        live.watch.look()
        (alert,) = live.ledger.alerts()
        assert alert.message == "MLflow has no registered model demo: the next night makes it again"
    finally:
        live.api.rename_registered_model("mine", "demo")
    for _ in range(LAGGING_LOOKS):
        live.watch.look()
    assert live.ledger.alerts() == [], "it ends when all is well"
    away = live.settings.model_copy(update={"mlflow_port": free_ports(1)[0]})
    AliasWatch(away, live.ledger, live.watch.client).look()
    assert live.ledger.alerts() == []
