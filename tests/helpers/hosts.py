"""Hosts of the tests: network namespaces on one bridge, with folders of their own, and clusters of Ray or Dask there.

Root is needed. The tests' own process is on the bridge, too, at the address ``.1``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
NUMBERS = itertools.count(1)
FAST_RAY = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
"""A node that is cut off is given up after two seconds; by default it takes half a minute."""
FAST_DASK = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}
"""The same for a host of Dask; it takes no less."""


def why_not() -> str:
    """Why there can be no hosts on this machine; empty: there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command ip"
    name = f"am-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return "" if made.returncode == 0 else f"ip netns: {made.stderr.strip()}"


def ip(*words: str) -> None:
    """Run a command of ``ip``."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@dataclass
class Host:
    """A network namespace with an address and a short folder of its own."""

    name: str
    address: str
    link: str
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a program here; its output goes to ``log``."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                env={**plain_environment(self.folder), **(environment or {})},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def cut(self) -> None:
        """Take the host off the network: what it sends and what is sent to it is lost from now on."""
        ip("link", "set", self.link, "down")

    def processes(self) -> list[psutil.Process]:
        """All processes that live here."""
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        return [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]

    def log(self) -> str:
        """What its programs wrote."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""


def plain_environment(folder: Path) -> dict[str, str]:
    """The environment of a program on a host: this checkout, folders of its own, nothing of the product's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    return {**kept, "PYTHONPATH": path, "HOME": str(folder), "TMPDIR": str(folder), "OMP_WAIT_POLICY": "passive"}


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Make hosts that reach one another and this process; everything on them ends afterwards."""
    net, number = f"10.{64 + os.getpid() % 128}.{next(NUMBERS) % 256}", os.getpid() % 100_000
    bridge, folder = f"amb{number}-{net.rpartition('.')[2]}", Path(tempfile.mkdtemp(prefix="am-", dir="/tmp"))
    made: list[Host] = []
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", f"{net}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for index in range(count):
            host = Host(
                f"{bridge}-h{index}",
                f"{net}.{index + 10}",
                f"amv{number}-{net.rpartition('.')[2]}-{index}",
                folder / f"h{index}",
            )
            host.folder.mkdir(mode=0o700)
            made.append(host)
            ip("netns", "add", host.name)
            ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            ip("link", "set", host.link, "master", bridge, "up")
            ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
            ip("-n", host.name, "link", "set", "lo", "up")
            ip("-n", host.name, "link", "set", "eth0", "up")
        yield made
    finally:
        for host in made:
            _clear(host)
        subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _clear(host: Host) -> None:
    until = time.time() + 10.0
    while (left := host.processes()) and time.time() < until:
        for process in left:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    for process in host.started:
        process.wait()
    subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)
    assert not left, f"{host.name} still runs {left}"


def wait_until(true: Callable[[], bool], what: str, seconds: float = 30.0, log: Callable[[], str] = str) -> None:
    """Wait for something."""
    until = time.time() + seconds
    while not true():
        assert time.time() < until, f"{what} after {seconds:g} s\n{log()[-3000:]}"
        time.sleep(0.05)


# --- Ray ---


def start_ray(head: Host, nodes: list[Host], token: str, cores: int = 1, gpus: int = 0) -> str:
    """Start a Ray whose head takes no work and whose nodes have ``cores`` and ``gpus`` each; return its address."""
    address = f"{head.address}:6379"
    _ray(head, token, "--head", "--port=6379", "--num-cpus=0", "--num-gpus=0", "--include-dashboard=false")
    wait_until(lambda: listens(head.address, 6379), "Ray's head does not listen", log=head.log)
    for host in nodes:
        join_ray(host, address, token, cores, gpus)
    for host in nodes:
        wait_until(lambda host=host: "now block forever" in host.log(), "a node has not joined", log=host.log)
    return address


def join_ray(host: Host, address: str, token: str, cores: int = 1, gpus: int = 0, **environment: str) -> None:
    """Start a node of a Ray."""
    _ray(host, token, f"--address={address}", f"--num-cpus={cores}", f"--num-gpus={gpus}", **environment)


def _ray(host: Host, token: str, *options: str, **environment: str) -> None:
    path = host.folder / "ray_token"
    path.write_text(token)
    path.chmod(0o600)
    host.start(
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--block",
        "--disable-usage-stats",
        f"--node-ip-address={host.address}",
        f"--temp-dir={host.folder}/ray",
        f"--object-store-memory={100 * 2**20}",
        *options,
        environment={**FAST_RAY, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path), **environment},
    )


def trials_on(host: Host) -> list[psutil.Process]:
    """The processes of a host that run trials; Ray names a process by what it does."""
    return [process for process in host.processes() if any("Trainable" in word for word in words_of(process))]


def words_of(process: psutil.Process) -> list[str]:
    """The command line of a process; empty if it has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def listens(address: str, port: int) -> bool:
    """Whether somebody listens there."""

    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((address, port)) == 0


def other_versions(host: Host) -> dict[str, str]:
    """The environment of a program on a host that has another release of a library, as far as anybody can tell."""
    folder = host.folder / "site" / "optuna-0.0.1.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 0.0.1\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder.parent), plain_environment(host.folder)["PYTHONPATH"]])}


def other_code(host: Host) -> dict[str, str]:
    """The environment of a program on a host that has another release of the project."""
    folder = host.folder / "release"
    kept = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipelines", folder / "pipelines", ignore=kept, dirs_exist_ok=True)
    with (folder / "pipelines" / "quoting.py").open("a") as stream:
        stream.write("# another release\n")
    return {"PYTHONPATH": str(folder)}


# --- Dask ---


def start_dask(scheduler: Host, workers: list[Host], certificates: Path | None = None) -> str:
    """Start a Dask scheduler and workers of one thread; return the scheduler's address."""
    scheme = "tcp" if certificates is None else "tls"
    address = f"{scheme}://{scheduler.address}:8786"
    _dask(scheduler, certificates, "scheduler", "--protocol", scheme, "--host", scheduler.address, "--port", "8786")
    wait_until(lambda: listens(scheduler.address, 8786), "Dask's scheduler does not listen", log=scheduler.log)
    for host in workers:
        join_dask(host, address, certificates)
    return address


def join_dask(host: Host, address: str, certificates: Path | None = None, **environment: str) -> None:
    """Start a worker of one thread."""
    options = ("--nthreads", "1", "--nworkers", "1", "--host", host.address, "--local-directory", str(host.folder))
    _dask(host, certificates, "worker", address, *options, "--no-dashboard", **environment)


def _dask(host: Host, certificates: Path | None, *words: str, **environment: str) -> None:
    tls = (
        ()
        if certificates is None
        else (
            "--tls-ca-file",
            f"{certificates}/ca.pem",
            "--tls-cert",
            f"{certificates}/cert.pem",
            "--tls-key",
            f"{certificates}/key.pem",
        )
    )
    more = () if words[0] == "worker" else ("--no-dashboard",)
    host.start(sys.executable, "-m", "dask", *words, *more, *tls, environment={**FAST_DASK, **environment})


def certificates(folder: Path) -> Path:
    """A CA of the tests' own and a certificate that it signed, as Dask's own command line takes them."""
    from distributed.security import Security

    folder.mkdir(mode=0o700)
    made = Security.temporary()
    for name, text in (("ca", made.tls_ca_file), ("cert", made.tls_client_cert), ("key", made.tls_client_key)):
        (folder / f"{name}.pem").write_text(text)
        (folder / f"{name}.pem").chmod(0o600)
    return folder
