"""Two hosts, each with a gateway and services, share one ledger, one storage and one count of requests."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import namespaces
import psutil
import pytest
from certificates import Authority
from circus.exc import CallError
from namespaces import Network, relayed
from ports import free_ports
from postgres import postgres
from sqlalchemy import make_url, select

from pipelines import settings as settings_module
from pipelines.inference.service.client import ServiceClient, is_ready
from pipelines.inference.service.tls import Certificates
from pipelines.ledger import Ledger
from pipelines.ledger.schema import publications
from pipelines.local import supervisor
from pipelines.local.airflow_config import MARK, common_environment
from pipelines.local.components import components, watcher
from pipelines.local.processes import mark_of, sweep
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.waiting import wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("ip") or not namespaces.able(), reason="no cluster: no right to make network namespaces"),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no cluster: no redis-server is installed"),
]

ROW = {"id": 1, "amount": "120.5", "town": "Bern", "age": 44}
HOSTS = ("a", "b")
FULL = bool(os.environ.get("AIMASS_FULL"))
"""Whether a host is cut off until its lease is over, too."""


@contextmanager
def redis(host: str, folder: Path) -> Iterator[str]:
    """Run a store of counters at an address of the tests' network."""
    port = free_ports(1)[0]
    command = ["redis-server", "--bind", host, "--port", str(port), "--requirepass", "secret", "--save", ""]
    child = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://:secret@{host}:{port}"
    finally:
        child.terminate()
        child.wait(10)


def home_of(root: Path, name: str, packaged_home: Path) -> Path:
    """Make the home of a further host: the shared storage and the public key, no bento, no ledger, no secret."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    home = root / name
    (home / "secrets").mkdir(parents=True, mode=0o700)
    (home / "storage").symlink_to(root / "storage")
    key = Ed25519PublicKey.from_public_bytes(public_key(settings_module.load(home=packaged_home, mlflow_port=1024)))
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (home / "secrets" / "public_key.pem").write_bytes(pem)
    return home


def copy_publications(packaged_home: Path, ledger: Ledger) -> None:
    """Let the shared ledger know the version of the packaged home."""
    old = Ledger.open(settings_module.load(home=packaged_home, mlflow_port=1024))
    with old, old.engine.connect() as source, ledger.transaction() as target:
        for row in source.execute(select(publications)):
            target.execute(publications.insert().values(**row._mapping))


@contextmanager
def platform_of(network: Network, name: str, settings: Settings) -> Iterator[supervisor.RunningPlatform]:
    """Run what ``aimass up`` runs on a serving host."""
    environment = common_environment(settings) | {MARK: mark_of(settings)}
    settings.ensure()
    with network.inside(name):
        running = supervisor.start(
            settings, [watcher(settings, each) for each in components(settings)], environment, {}
        )
    try:
        yield running
    finally:
        with suppress(CallError):
            running.call("quit", timeout=60, waiting=True)
        with suppress(psutil.Error):
            psutil.Process(running.pid).wait(timeout=15)
        left = sweep(settings)
        supervisor.forget(settings)
        assert not left


@pytest.fixture(scope="module")
def cluster(packaged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Two serving hosts with one version that is asked for on both."""
    root = tmp_path_factory.mktemp("hosts")
    shutil.copytree(packaged_home / "storage", root / "storage")
    authority = Authority(root / "authority")
    with ExitStack() as stack:
        network = stack.enter_context(Network("10.77.9", list(HOSTS)))
        address = make_url(stack.enter_context(postgres()))
        port = free_ports(1)[0]
        folder = str(address.query["host"])
        stack.enter_context(relayed(Path(folder) / ".s.PGSQL.5432", network.address, port))
        url = f"postgresql+psycopg://postgres@{network.address}:{port}/postgres"
        store = stack.enter_context(redis(network.address, root))
        settings, running = {}, {}
        for name in HOSTS:
            own = authority.issue(network.address_of(name))
            settings[name] = settings_module.load(
                home=home_of(root, name, packaged_home),
                parts=("gateway", "controller"),
                ledger_url=url,
                limits_url=store,
                serve_address=network.address_of(name),
                serve_certificate=own.certificate,
                serve_key=own.key,
                serve_authority=own.authority,
            )
        ledger = stack.enter_context(Ledger.open(settings["a"]))
        copy_publications(packaged_home, ledger)
        ledger.want("demo", 1, "serve", hosts=2)
        ledger.switch("demo", 1, 0, "test", "test")
        for name in HOSTS:
            running[name] = stack.enter_context(platform_of(network, name, settings[name]))
        found = SimpleNamespace(network=network, settings=settings, ledger=ledger, running=running, authority=authority)
        for name in HOSTS:
            with network.inside(name):
                assert wait_until(lambda name=name: healthy(settings[name]) or None, seconds=60, every=0.2)
        assert wait_until(lambda: on_both(found) or None, seconds=60, every=0.2), ledger.serving()
        yield found


def healthy(settings: Settings) -> bool:
    """Tell whether the gateway of a host, from there, has a service for the model."""
    try:
        return httpx.get(f"{settings.gateway_url}/readyz/demo", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def on_both(cluster: SimpleNamespace) -> bool:
    """Tell whether callers are sent to both hosts."""
    row = cluster.ledger.serving("demo")[0]
    return row.actual == "ready" and {each.split(":")[1] for each in row.addresses} == {
        cluster.network.address_of(name) for name in HOSTS
    }


def statuses(
    cluster: SimpleNamespace, name: str, token: str, count: int, until: threading.Event | None = None
) -> Counter[int]:
    """Ask the gateway of a host so many times, or until told otherwise, and count the statuses."""
    found: Counter[int] = Counter()
    settings = cluster.settings[name]
    with (
        cluster.network.inside(name),
        httpx.Client(base_url=settings.gateway_url, trust_env=False, timeout=30) as client,
    ):
        client.headers["Authorization"] = f"Bearer {token}"
        while found.total() < count and not (until is not None and until.is_set()):
            found[client.post("/v1/models/demo:predict", json={"instances": [ROW]}).status_code] += 1
    return found


def in_threads(*work) -> list:
    """Return the results of functions that run at once."""
    found: dict[int, object] = {}
    threads = [threading.Thread(target=lambda n=n, f=f: found.update({n: f()})) for n, f in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[n] for n in range(len(work))]


def test_callers_are_spread_over_both_hosts_by_each_gateway(cluster):
    token = cluster.ledger.issue_token("spread", ["predict"], 1)
    before = rows_of(cluster)
    assert in_threads(*(lambda name=name: statuses(cluster, name, token, 40) for name in HOSTS)) == [{200: 40}] * 2
    gained = [after - was for was, after in zip(before, rows_of(cluster), strict=True)]
    assert sum(gained) == 80
    assert min(gained) > 0


def rows_of(cluster: SimpleNamespace) -> list[int]:
    """Return how many rows each service predicted so far."""
    found = []
    for address in cluster.ledger.serving("demo")[0].addresses:
        with ServiceClient(address, 5.0, Certificates.of(cluster.settings["a"])) as client:
            found.append(client.call("usage")["rows"])
    return found


def test_a_limit_is_one_for_both_gateways(cluster):
    token = cluster.ledger.issue_token("limited", ["predict"], 1, rate="100/min")
    one, other = in_threads(*(lambda name=name: statuses(cluster, name, token, 500) for name in HOSTS))
    assert one + other == {200: 100, 429: 900}
    assert min(one[200], other[200]) > 0


def test_a_revoked_token_is_refused_by_both_within_five_seconds(cluster):
    token = cluster.ledger.issue_token("leaver", ["predict"], 1)
    assert [statuses(cluster, name, token, 2) for name in HOSTS] == [{200: 2}] * 2
    cluster.ledger.revoke_token("leaver")
    began = time.monotonic()
    for name in HOSTS:
        assert wait_until(lambda name=name: statuses(cluster, name, token, 1)[401] or None, seconds=6, every=0.1)
    assert time.monotonic() - began < 5.0


def test_services_refuse_whoever_has_no_certificate_of_theirs(cluster, tmp_path):
    address = cluster.ledger.serving("demo")[0].addresses[0]
    known = Certificates.of(cluster.settings["b"])
    stranger = Authority(tmp_path / "other").issue(cluster.network.address)
    assert is_ready(address, 5.0, known)
    assert not is_ready(address, 5.0, None), "none at all"
    trusting = Certificates(stranger.certificate, stranger.key, known.authority)
    assert not is_ready(address, 5.0, trusting), "one of another authority"
    assert not is_ready(address, 5.0, Certificates(known.certificate, known.key, stranger.authority)), "of the service"


def test_a_host_that_is_cut_off_costs_no_request_and_comes_back(cluster):
    token = cluster.ledger.issue_token("steady", ["predict"], 1)
    network, ledger, stop = cluster.network, cluster.ledger, threading.Event()

    def cut() -> str:
        try:
            time.sleep(1.0)
            network.cut("b")
            if not FULL:
                time.sleep(5.0)
                return "True"
            only_a = wait_until(lambda: addresses() == {network.address_of("a")} or None, seconds=30, every=0.2)
            time.sleep(1.0)
            lost = [alert.key for alert in ledger.alerts() if "serving-host" in alert.key]
            return f"{only_a} {lost}"
        finally:
            stop.set()

    def addresses() -> set[str]:
        return {each.split(":")[1] for each in ledger.serving("demo")[0].addresses}

    assert statuses(cluster, "b", token, 1) == {200: 1}
    try:
        through_a, said = in_threads(lambda: statuses(cluster, "a", token, 1_000_000, stop), cut)
        through_b = statuses(cluster, "b", token, 3)
    finally:
        network.mend("b")
    assert set(through_a) == {200}, "those under way to the other host are asked again here"
    assert through_a[200] > 500
    assert said.startswith("True"), said
    assert set(through_b) == {200}, "who reaches the host that is cut off is served by it"
    assert wait_until(lambda: on_both(cluster) or None, seconds=60, every=0.2), ledger.serving()
    before = rows_of(cluster)

    def both_are_asked() -> bool | None:
        assert statuses(cluster, "a", token, 20) == {200: 20}
        return all(now > was for was, now in zip(before, rows_of(cluster), strict=True)) or None

    assert wait_until(both_are_asked, seconds=10, every=0.2), "the gateway uses the other host again"
