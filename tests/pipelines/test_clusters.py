from __future__ import annotations

import fcntl
import ipaddress
import os
import subprocess
import sys

import psutil
import pytest

from pipelines import clusters

pytestmark = pytest.mark.slow

SESSION = """
import os, resource, subprocess, sys, time, psutil
from pipelines import clusters, installation, settings
from pipelines.process_usage import measured
if sys.argv[1] == "prepared":
    clusters.prepare_environment()
    import ray
elif sys.argv[1] == "unprepared":
    for name in clusters.RAY_ENVIRONMENT:
        os.environ.pop(name, None)
    import ray
def work():
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    return time.process_time()
with measured(from_birth=True) as meter:
    with clusters.ray_session(settings.load()) as ray:
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        print(*(item.laddr.ip for process in family for item in process.net_connections() if item.status == "LISTEN"))
        stranger = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64, "RAY_NUM_REDIS_GET_RETRIES": "1"}
        asks = f"import ray; ray.init(address={ray.get_runtime_context().gcs_address!r}, log_to_driver=False)"
        done = subprocess.run([sys.executable, "-P", "-c", asks], env=stranger, capture_output=True, text=True)
        assert done.returncode and "uthenticat" in done.stderr, done.stderr
        worker = ray.get(ray.remote(work).remote())
        assert ray.get(ray.remote(installation.code_of_project).remote()) == installation.code_of_project()
        words = " ".join(word for process in family[1:] for word in process.cmdline())
        assert len(family) > 3 and "raylet" in words, words
        assert not [part for part in ("monitor.py", "dashboard/dashboard.py") if part in words], words
    added_by_linux = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(6 * 7, worker, meter.usage().cpu_seconds - added_by_linux, *(process.pid for process in family[1:]))
"""


def session(kind, folder=None):
    words = [sys.executable, "-P", "-c", SESSION, kind]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.full
@pytest.mark.parametrize("kind", ["alone", *(["prepared"] if os.environ.get("AIMASS_FULL") else [])])
def test_ray_listens_on_loopback_only_and_leaves_nothing(home, kind, crowded_folder):
    done = session(kind, crowded_folder)
    assert done.returncode == 0, done.stderr
    addresses, last = done.stdout.splitlines()[-2:]
    result, worker, more, *pids = last.split()
    assert result == "42"
    assert float(more) > 0.9 * float(worker), "nobody waits for Ray's workers, and what they take counts all the same"
    assert len(pids) >= 2
    assert addresses.split()
    assert all(ipaddress.ip_address(text.removeprefix("::ffff:")).is_loopback for text in addresses.split())
    assert not [pid for pid in pids if alive(int(pid))]


def test_ray_imported_too_early_is_refused(home):
    done = session("unprepared")
    assert done.returncode != 0
    assert "prepare_environment" in done.stderr


def test_small_tables_stay_on_threads(home):
    import dask

    with clusters.dask_scheduler(home, 1000):
        assert dask.config.get("scheduler") is dask.threaded.get
        assert dask.delayed(lambda: 6 * 7)().compute() == 42


def test_large_tables_get_processes_on_loopback(home, monkeypatch):
    import dask
    import httpx
    from distributed import Client, get_client

    monkeypatch.setattr(clusters, "THREADS_BELOW_BYTES", 10)
    with clusters.dask_scheduler(home, 1000):
        address = get_client().scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises((OSError, TypeError)), Client(address, timeout=3, set_as_default=False):
            pytest.fail("a stranger without the certificate was let in")
        page = httpx.get(f"http://127.0.0.1:{get_client().cluster.scheduler.http_server.port}/info/main/workers.html")
        assert page.status_code == 404
        assert dask.delayed(lambda: 6 * 7)().compute() == 42
    with pytest.raises(ValueError, match="No global client"):
        get_client()


@pytest.mark.parametrize(("allowed", "count"), [(None, 2), ("1", 1), ("0,1,2", 2), ("0,-1,1", 1), ("-1", 0), ("", 0)])
def test_gpus_are_those_that_drivers_show_and_the_process_may_use(tmp_path, monkeypatch, allowed, count):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert clusters.visible_gpus(tmp_path) == count
    assert clusters.visible_gpus(tmp_path / "none") == 0


def test_scratch_is_private_gone_after_use_and_clears_up_after_the_killed(tmp_path):
    left, used, fresh, other = (tmp_path / f"aimass-{name}" for name in ("pool-left", "pool-used", "pool-new", "ray-x"))
    for folder in (left, used, fresh, other):
        folder.mkdir()
        (folder / clusters.LOCK).touch()
        if folder != fresh:
            os.utime(folder / clusters.LOCK, (1.0, 1.0))
    with (used / clusters.LOCK).open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with clusters.scratch("pool", str(tmp_path)) as mine:
            assert mine.stat().st_mode & 0o777 == 0o700
            assert sorted(tmp_path.iterdir()) == sorted([mine, used, fresh, other])
    assert not mine.exists()
