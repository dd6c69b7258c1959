"""`aimass doctor` on clusters of hosts: what is wrong is named, with both sides and the cure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import (
    Host,
    certificates,
    hosts,
    join_dask,
    join_ray,
    other_code,
    other_versions,
    start_dask,
    start_ray,
    wait_until,
    why_not,
)

from pipelines import dask_cluster
from pipelines.cli.doctor_clusters import check_dask, check_ray
from pipelines.installation import code_of_project
from pipelines.settings import Settings

TOKEN = "7" * 64
FULL = bool(os.environ.get("AIMASS_FULL"))
needs_hosts = pytest.mark.skipif(not FULL or bool(why_not()), reason=why_not() or "in full form only")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def told(check: str) -> dict[str, str]:
    """What `aimass doctor` says of Dask or Ray, as a process of its own: the whole line and those that follow."""
    program = (
        "from pipelines import settings; from pipelines.cli import doctor_clusters as d;"
        f"print(*(f'{{c.what}}|{{c.state}}|{{c.seen}}|{{c.cure}}' for c in d.check_{check}(settings.load())))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    line = next(text for text in done.stdout.splitlines() if text.startswith(f"{check}|"))
    whole = done.stdout[done.stdout.index(line) :].strip().split("|")
    return dict(zip(("what", "state", "seen", "cure"), whole, strict=True))


def test_without_clusters_nothing_is_imported(home: Settings) -> None:
    program = (
        "import sys; from pipelines import settings; from pipelines.cli import doctor_clusters as d; s=settings.load();"
        "print([c.state for c in (*d.check_dask(s), *d.check_ray(s))]);"
        "print({'ray', 'dask', 'distributed'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[:2] == ["['ok', 'ok']", "set()"]


def test_nobody_answers(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    away = home.model_copy(update={"dask_scheduler": "tcp://127.0.0.1:9", "ray_address": "127.0.0.1:9"})
    (dask,) = check_dask(away)
    assert (dask.state, "AIMASS_DASK_SCHEDULER=tcp://127.0.0.1:9" in dask.seen) == ("wrong", True)
    (ray,) = check_ray(away)
    assert (ray.state, "AIMASS_RAY_ADDRESS=127.0.0.1:9" in ray.seen) == ("wrong", True)
    assert "start the head" in ray.cure


@pytest.fixture(scope="module")
def four() -> Iterator[list[Host]]:
    with hosts(4) as made:
        yield made


@pytest.mark.cluster
@needs_hosts
def test_dask(four: list[Host], home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = certificates(tmp_path / "keys")
    address = start_dask(four[0], four[1:2], keys)
    monkeypatch.setenv("AIMASS_DASK_SCHEDULER", address)
    seen = told("dask")
    assert seen["state"] == "wrong"
    assert "ca.pem: not there" in seen["seen"]
    monkeypatch.setenv("AIMASS_DASK_TLS", str(certificates(tmp_path / "strangers")))
    seen = told("dask")
    assert (seen["state"], "cannot be reached" in seen["seen"]) == ("wrong", True)
    monkeypatch.setenv("AIMASS_DASK_TLS", str(keys))
    wait_until(lambda: told("dask")["state"] == "ok", "the cluster is not well", 60, four[1].log)
    join_dask(four[2], address, keys, **other_versions(four[2]))
    join_dask(four[3], address, keys, **other_code(four[3]))
    wait_until(lambda: four[3].address in told("dask")["seen"], "the others are not found", 60, four[3].log)
    seen = told("dask")
    assert seen["state"] == "wrong"
    assert f"tls://{four[2].address}" in seen["seen"]
    assert "optuna 0.0.1 instead of" in seen["seen"]
    assert f"instead of {code_of_project()}" in seen["seen"]
    assert f"tls://{four[1].address}" not in seen["seen"]
    assert "same release" in seen["cure"]
    (four[1].folder / "key").touch()
    (keys / "key.pem").chmod(0o644)
    assert "mode 644" in told("dask")["seen"]


@pytest.mark.cluster
@needs_hosts
def test_ray(four: list[Host], home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = start_ray(four[0], four[1:2], TOKEN, gpus=2)
    monkeypatch.setenv("AIMASS_RAY_ADDRESS", address)
    seen = told("ray")
    assert (seen["state"], "no token" in seen["seen"]) == ("wrong", True)
    token = home.secrets / "ray_token"
    token.write_text("8" * 64)
    token.chmod(0o600)
    seen = told("ray")
    assert (seen["state"], "refuses the token" in seen["seen"]) == ("wrong", True)
    token.write_text(TOKEN)
    wait_until(lambda: "1 nodes with 1 cores and 2 GPUs" in told("ray")["seen"], "no node", 60, four[1].log)
    assert told("ray")["state"] == "ok"
    join_ray(four[2], address, TOKEN, **other_versions(four[2]))
    join_ray(four[3], address, TOKEN, **other_code(four[3]))
    wait_until(lambda: four[3].address in told("ray")["seen"], "the others are not found", 60, four[3].log)
    seen = told("ray")
    assert (seen["state"], "same release" in seen["cure"]) == ("wrong", True)
    assert f"{four[2].address}: optuna 0.0.1 instead of" in seen["seen"]
    assert f"instead of {code_of_project()}" in seen["seen"]
