"""Two hosts, each with a gateway and services, share one ledger, one object store and one count of requests."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from certificates import Authority, give_key
from cluster import BUCKET, KEYS, Cluster, needs_cluster, start_postgres, start_redis, start_store
from hosts import Host, hosts
from inside import inside, mend
from serving_platform import stop

from pipelines import settings as settings_module
from pipelines.inference.service.client import ServiceClient, is_ready
from pipelines.inference.service.tls import Certificates
from pipelines.ledger import Ledger
from pipelines.local import supervisor
from pipelines.local.airflow_config import MARK, common_environment
from pipelines.local.components import components, watcher
from pipelines.local.processes import mark_of
from pipelines.migration.migrate import migrate
from pipelines.settings import Settings
from pipelines.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, needs_cluster]

ROW = {"id": 1, "amount": "120.5", "town": "Bern", "age": 44}
HOSTS = ("a", "b")
FULL = bool(os.environ.get("AIMASS_FULL"))
"""Whether a host is cut off until its lease is over, too."""


@contextmanager
def platform_of(host: Host, settings: Settings) -> Iterator[supervisor.RunningPlatform]:
    """Run what ``aimass up`` runs on a serving host."""
    environment = common_environment(settings) | {MARK: mark_of(settings)}
    settings.ensure()
    with inside(host):
        watchers = [watcher(settings, each) for each in components(settings)]
        running = supervisor.start(settings, watchers, environment, {})
    try:
        yield running
    finally:
        stop(settings, running)


@pytest.fixture(scope="module")
def shared(packaged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Two serving hosts with one version that is asked for on both; all that they share is on a third."""
    root, old = tmp_path_factory.mktemp("hosts"), settings_module.load(home=packaged_home, mlflow_port=1024)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in KEYS.items():
            patch.setenv(name, value)
        data, *others = stack.enter_context(hosts(3))
        made = Cluster(data, others[0], others[1:], data.folder.parent)
        start_postgres(made)
        start_redis(made)
        start_store(made)
        place = {"ledger_url": made.database("ledger"), "storage_address": f"s3://{BUCKET}/aimass"}
        path = root / "cluster.env"
        path.write_text(
            f"AIMASS_HOME={root / 'first'}\nAIMASS_LEDGER_URL={place['ledger_url']}\n"
            f"AIMASS_STORAGE={place['storage_address']}\nAIMASS_S3_ENDPOINT={made.store}\n"
        )
        migrate(old, path, print)
        authority, settings = Authority(root / "authority"), {}
        for name, host in zip(HOSTS, others, strict=True):
            own = authority.issue(host.address)
            give_key(host.folder / "home" / "secrets", old)
            settings[name] = settings_module.load(
                home=host.folder / "home",
                parts=("gateway", "controller"),
                limits_url=made.broker,
                s3_endpoint=made.store,
                serve_address=host.address,
                serve_certificate=own.certificate,
                serve_key=own.key,
                serve_authority=own.authority,
                **place,
            )
        ledger = stack.enter_context(Ledger.open(settings["a"]))
        ledger.want("demo", 1, "serve", hosts=2)
        ledger.switch("demo", 1, 0, "test", "test")
        for name, host in zip(HOSTS, others, strict=True):
            stack.enter_context(platform_of(host, settings[name]))
        found = SimpleNamespace(
            hosts=dict(zip(HOSTS, others, strict=True)),
            settings=settings,
            ledger=ledger,
            authority=authority,
            outside=f"{others[0].address.rpartition('.')[0]}.1",
        )
        for name, host in found.hosts.items():
            with inside(host):
                assert wait_until(lambda name=name: healthy(settings[name]) or None, seconds=60, every=0.2)
        assert wait_until(lambda: on_both(found) or None, seconds=60, every=0.2), ledger.serving()
        yield found


def healthy(settings: Settings) -> bool:
    """Tell whether the gateway of a host, from there, has a service for the model."""
    try:
        return httpx.get(f"{settings.gateway_url}/readyz/demo", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def on_both(shared: SimpleNamespace) -> bool:
    """Tell whether callers are sent to both hosts."""
    row = shared.ledger.serving("demo")[0]
    return row.actual == "ready" and {each.split(":")[1] for each in row.addresses} == {
        host.address for host in shared.hosts.values()
    }


def statuses(
    shared: SimpleNamespace, name: str, token: str, count: int, until: threading.Event | None = None
) -> Counter[int]:
    """Ask the gateway of a host so many times, or until told otherwise, and count the statuses."""
    found: Counter[int] = Counter()
    settings = shared.settings[name]
    with inside(shared.hosts[name]), httpx.Client(base_url=settings.gateway_url, trust_env=False, timeout=30) as client:
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


def test_callers_are_spread_over_both_hosts_by_each_gateway(shared):
    token = shared.ledger.issue_token("spread", ["predict"], 1)
    before = rows_of(shared)
    assert in_threads(*(lambda name=name: statuses(shared, name, token, 40) for name in HOSTS)) == [{200: 40}] * 2
    gained = [after - was for was, after in zip(before, rows_of(shared), strict=True)]
    assert sum(gained) == 80
    assert min(gained) > 0


def rows_of(shared: SimpleNamespace) -> list[int]:
    """Return how many rows each service predicted so far."""
    found = []
    for address in shared.ledger.serving("demo")[0].addresses:
        with ServiceClient(address, 5.0, Certificates.of(shared.settings["a"])) as client:
            found.append(client.call("usage")["rows"])
    return found


def test_a_limit_is_one_for_both_gateways(shared):
    token = shared.ledger.issue_token("limited", ["predict"], 1, rate="100/min")
    one, other = in_threads(*(lambda name=name: statuses(shared, name, token, 500) for name in HOSTS))
    assert one + other == {200: 100, 429: 900}
    assert min(one[200], other[200]) > 0


def test_a_revoked_token_is_refused_by_both_within_five_seconds(shared):
    token = shared.ledger.issue_token("leaver", ["predict"], 1)
    assert [statuses(shared, name, token, 2) for name in HOSTS] == [{200: 2}] * 2
    shared.ledger.revoke_token("leaver")
    began = time.monotonic()
    for name in HOSTS:
        assert wait_until(lambda name=name: statuses(shared, name, token, 1)[401] or None, seconds=6, every=0.1)
    assert time.monotonic() - began < 5.0


def test_services_refuse_whoever_has_no_certificate_of_theirs(shared, tmp_path):
    address = shared.ledger.serving("demo")[0].addresses[0]
    known = Certificates.of(shared.settings["b"])
    stranger = Authority(tmp_path / "other").issue(shared.outside)
    assert is_ready(address, 5.0, known)
    assert not is_ready(address, 5.0, None), "none at all"
    trusting = Certificates(stranger.certificate, stranger.key, known.authority)
    assert not is_ready(address, 5.0, trusting), "one of another authority"
    assert not is_ready(address, 5.0, Certificates(known.certificate, known.key, stranger.authority)), "of the service"


def test_a_host_that_is_cut_off_costs_no_request_and_comes_back(shared):
    token = shared.ledger.issue_token("steady", ["predict"], 1)
    host, ledger, stop = shared.hosts["b"], shared.ledger, threading.Event()

    def cut() -> str:
        try:
            time.sleep(1.0)
            host.cut()
            if not FULL:
                time.sleep(5.0)
                return "True"
            only_a = wait_until(lambda: addresses() == {shared.hosts["a"].address} or None, seconds=30, every=0.2)
            time.sleep(1.0)
            lost = [alert.key for alert in ledger.alerts() if "serving-host" in alert.key]
            return f"{only_a} {lost}"
        finally:
            stop.set()

    def addresses() -> set[str]:
        return {each.split(":")[1] for each in ledger.serving("demo")[0].addresses}

    assert statuses(shared, "b", token, 1) == {200: 1}
    try:
        through_a, said = in_threads(lambda: statuses(shared, "a", token, 1_000_000, stop), cut)
        through_b = statuses(shared, "b", token, 3)
    finally:
        mend(host)
    assert set(through_a) == {200}, "those under way to the other host are asked again here"
    assert through_a[200] > 100
    assert said.startswith("True"), said
    assert set(through_b) == {200}, "who reaches the host that is cut off is served by it"
    assert wait_until(lambda: on_both(shared) or None, seconds=60, every=0.2), ledger.serving()
    before = rows_of(shared)

    def both_are_asked() -> bool | None:
        assert statuses(shared, "a", token, 20) == {200: 20}
        return all(now > was for was, now in zip(before, rows_of(shared), strict=True)) or None

    assert wait_until(both_are_asked, seconds=10, every=0.2), "the gateway uses the other host again"
