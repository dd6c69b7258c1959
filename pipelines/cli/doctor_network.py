"""Checks of what an installation reaches over the network: databases, broker, limits, Airflow, MLflow, machines."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipelines.cli.checked import Checked
from pipelines.errors import AimassError
from pipelines.settings import Settings
from pipelines.several_hosts import file_of

if TYPE_CHECKING:
    import httpx

PATIENCE_S = 5
SKEW_S = 60.0
"""Seconds by which two clocks may differ: tokens of Airflow and the age of heartbeats depend on them."""
CERT_DAYS = 14
CLOCK = "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())"
ONE_HOST = ("LocalExecutor", "SequentialExecutor")
DATABASES = {"airflow": "airflow_database", "mlflow": "mlflow_database", "ledger": "ledger_url"}


def variable_of(name: str) -> str:
    """Return the variable that a setting stands in."""
    return f"AIMASS_{name.upper()}" + ("_FILE" if file_of(name) is not None else "")


def databases(settings: Settings) -> Iterator[Checked]:
    """Connect to each PostgreSQL; a clock that is wrong shows here, too."""
    import psycopg

    given = {
        "airflow": settings.airflow_database and settings.airflow_database.get_secret_value(),
        "mlflow": settings.mlflow_database and settings.mlflow_database.get_secret_value(),
        "ledger": settings.ledger_url,
    }
    for name, address in given.items():
        if not address or address.startswith("sqlite"):
            continue
        what, where = f"database of {name}" if name != "ledger" else "ledger's database", variable_of(DATABASES[name])
        url = urlsplit(address)
        shown = f"{url.username}@{url.hostname or 'a local socket'}{url.path}"
        try:
            plain = address.replace("postgresql+psycopg:", "postgresql:", 1)
            with psycopg.connect(plain, connect_timeout=PATIENCE_S) as connection:
                release, clock = connection.execute(CLOCK).fetchone() or ("", 0.0)
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            yield Checked(what, "wrong", f"{shown}: {reason[:200]}", _database_cure(reason, where, url.path.strip("/")))
            continue
        yield skewed(what, f"{shown}, PostgreSQL {release}", float(clock))


def _database_cure(reason: str, where: str, name: str) -> str:
    if "password" in reason or "role" in reason:
        return f"correct user and password in {where}"
    if "does not exist" in reason:
        return f"CREATE DATABASE {name}, or correct {where}"
    return f"start PostgreSQL there and let this machine in (listen_addresses, pg_hba.conf), or correct {where}"


def skewed(what: str, seen: str, clock: float) -> Checked:
    """Return a check that is wrong where the other's clock is far from this one's."""
    ahead = clock - time.time()
    if abs(ahead) <= SKEW_S:
        return Checked(what, "ok", seen)
    return Checked(
        what, "wrong", f"{seen}; its clock is {ahead:+.0f} s from this one", "set the clock that is wrong (NTP)"
    )


def brokers(settings: Settings) -> Iterator[Checked]:
    """Ask the broker and the store of the limits."""
    broker = settings.celery_broker and settings.celery_broker.get_secret_value()
    limits = None if settings.limits_url.startswith("memory") else settings.limits_url
    for what, name, address in (("broker", "celery_broker", broker), ("limits", "limits_url", limits)):
        if address:
            yield _redis(settings, what, variable_of(name), address)


def _redis(settings: Settings, what: str, where: str, address: str) -> Checked:
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

    from pipelines.local.machines import redis_of

    host = urlsplit(address).hostname
    shown = f"{host}:{urlsplit(address).port or 6379}"
    try:
        with redis_of(address, settings) as client:
            seconds, micro = client.time()
            policy = client.info("memory").get("maxmemory_policy", "noeviction")
            release = client.info("server").get("redis_version", "")
    except (AuthenticationError, NoPermissionError, ResponseError) as error:
        return Checked(what, "wrong", f"{shown}: {error}"[:200], f"correct the password in {where}")
    except (RedisError, OSError) as error:
        return Checked(
            what, "wrong", f"{shown}: {error}"[:200], f"start Redis or Valkey there (bind, port), or correct {where}"
        )
    if what == "broker" and policy != "noeviction":
        return Checked(
            what, "wrong", f"{shown}: maxmemory-policy {policy} drops tasks", "set maxmemory-policy noeviction there"
        )
    plain = address.startswith("redis://") and host not in ("127.0.0.1", "localhost", "::1")
    seen = f"{shown}, Redis {release}" + ("; not encrypted: for a trusted network" if plain else "")
    return skewed(what, seen, float(seconds) + float(micro) / 1e6)


def servers(settings: Settings) -> Iterator[Checked]:
    """Ask Airflow and MLflow where other machines serve them."""
    if settings.airflow_address is not None:
        yield _airflow(settings)
    if settings.mlflow_address is not None:
        yield _mlflow(settings)


def _airflow(settings: Settings) -> Checked:
    response = _get(settings, "airflow", settings.airflow_url, "/api/v2/version")
    if isinstance(response, Checked):
        return response
    seen, own = str(response.json().get("version", "no version")), version("apache-airflow-core")
    if seen != own:
        return Checked(
            "airflow", "wrong", f"{seen} at {settings.airflow_url}, {own} here", "make env with one lock on both"
        )
    return Checked("airflow", "ok", f"{seen} at {settings.airflow_url}")


def _mlflow(settings: Settings) -> Checked:
    from pipelines.registry.tracking import TOKEN, login

    response = _get(settings, "mlflow", settings.mlflow_uri, "/version", login(settings))
    if isinstance(response, Checked):
        return response
    if response.status_code == 401:
        return Checked(
            "mlflow",
            "wrong",
            f"{settings.mlflow_uri} does not take the login of this machine",
            f"copy {settings.secrets / TOKEN} from the machine that serves it (AIMASS_SECRETS_FOLDER)",
        )
    seen, own = response.text.strip(), version("mlflow")
    if seen != own:
        return Checked(
            "mlflow", "wrong", f"{seen} at {settings.mlflow_uri}, {own} here", "make env with one lock on both"
        )
    return Checked("mlflow", "ok", f"{seen} at {settings.mlflow_uri}")


def _get(
    settings: Settings, what: str, address: str, path: str, auth: tuple[str, str] | None = None
) -> httpx.Response | Checked:
    import httpx

    where = f"AIMASS_{what.upper()}_ADDRESS"
    try:
        with httpx.Client(timeout=PATIENCE_S, trust_env=False, verify=settings.trusted) as client:
            response = client.get(f"{address}{path}", auth=auth)
    except (httpx.HTTPError, OSError) as error:
        if "CERTIFICATE" in str(error).upper():
            cure = "name the authority that signed its certificate: AIMASS_TLS_CA"
        else:
            cure = f"start it there (aimass up), or correct {where}"
        return Checked(what, "wrong", f"{address}: {error}"[:250], cure)
    if response.status_code in (200, 401):
        return response
    return Checked(what, "wrong", f"{address}{path} gives HTTP {response.status_code}", f"correct {where}")


def certificate(settings: Settings) -> Iterator[Checked]:
    """Look at this machine's own certificate: does its key fit, and how long is it valid."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        ends = x509.load_pem_x509_certificate(settings.tls_cert.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        yield Checked(
            "certificate", "wrong", f"{settings.tls_cert}: {error}"[:200], "correct AIMASS_TLS_CERT and AIMASS_TLS_KEY"
        )
        return
    if settings.tls_key.stat().st_mode & 0o077:
        yield Checked("certificate", "wrong", f"{settings.tls_key} is open to others", f"chmod 600 {settings.tls_key}")
    days = (ends - datetime.now(UTC)).total_seconds() / 86400
    state = "wrong" if days <= 0 else "warning" if days < CERT_DAYS else "ok"
    yield Checked(
        "certificate",
        state,
        f"{settings.tls_cert}, until {ends:%Y-%m-%d %H:%M} UTC",
        "" if state == "ok" else "renew it",
    )


def password_files(settings: Settings) -> Iterator[Checked]:
    """Look at the secrets of a folder that all machines share."""
    if settings.secrets_folder is not None and not os.access(settings.secrets_folder, os.R_OK | os.X_OK):
        yield Checked(
            "shared secrets",
            "wrong",
            f"{settings.secrets_folder} is not there",
            "copy it from the machine that schedules, or correct AIMASS_SECRETS_FOLDER",
        )


def other_machines(settings: Settings) -> Iterator[Checked]:
    """Compare this machine, and all others that told of themselves, with the one that schedules."""
    if settings.celery_broker is None:
        return
    from redis.exceptions import RedisError

    from pipelines.local.components import components
    from pipelines.local.machines import differences, machines, redis_of, this_machine

    try:
        with redis_of(settings.celery_broker.get_secret_value(), settings) as client:
            known = machines(client)
    except (RedisError, OSError):
        return  # the check of the broker tells
    own = this_machine(settings, {part.name for part in components(settings)})
    scheduler = next((each for each in known if each.schedules), own if own.schedules else None)
    if scheduler is None:
        yield Checked("machines", "warning", "no machine that schedules was started yet", "aimass up there, first")
        return
    for each in [own, *(each for each in known if each.name != own.name)]:
        faults = [] if each.name == scheduler.name and each is not own else differences(each, scheduler)
        yield Checked(
            f"machine {each.name}",
            "wrong" if faults else "ok",
            "; ".join(faults) or f"Python {each.python}, {len(each.libraries)} libraries, as on {scheduler.name}",
            "make env with one lock on both, one folder of secrets" if faults else "",
        )


def executor(settings: Settings) -> Iterator[Checked]:
    """Look whether the executor has what it needs; that of an Airflow of one's own is named by its variables."""
    from pipelines.local.executors import missing_provider, require_shared

    name = os.environ.get("AIRFLOW__CORE__EXECUTOR", settings.executor)
    airflow = "sqlite" if settings.airflow_database is None else "postgresql"
    airflow = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", airflow).partition(":")[0]
    seen = f"{name}, Airflow on {airflow}, ledger on {settings.ledger_address.partition(':')[0]}"
    cure = ""
    try:
        require_shared(settings)
    except AimassError as error:
        cure = "; ".join(error.faults)
    if name.rpartition(".")[2] not in ONE_HOST and "sqlite" in (airflow, settings.ledger_address[:6]):
        cure = cure or "an executor of several hosts needs PostgreSQL for Airflow and for AIMASS_LEDGER_URL"
    cure = cure or missing_provider(name)
    yield Checked("executor", "wrong" if cure else "ok", seen, cure)


NETWORK = (executor, password_files, certificate, databases, brokers, servers, other_machines)
"""Further checks of this kind take the settings and yield :class:`Checked`; they are added here."""
