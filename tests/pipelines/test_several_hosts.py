"""Settings of several machines: what is refused, and what may stand in a private file."""

from __future__ import annotations

import re
import ssl
import stat
from pathlib import Path

import pytest

from pipelines import settings as settings_module
from pipelines.child_environment import as_environment
from pipelines.cli.doctor_network import executor
from pipelines.errors import SpecError
from pipelines.local import executors
from pipelines.local.airflow_config import airflow_environment
from pipelines.local.components import components, ports
from pipelines.local.executors import require_shared
from pipelines.local.mlflow_server import command
from pipelines.settings import Settings

SHARED = {
    "executor": "CeleryExecutor",
    "airflow_database": "postgresql+psycopg://airflow:hidden@data/airflow",
    "celery_broker": "redis://:hidden@data:6379/0",
    "ledger_url": "postgresql+psycopg://aimass:hidden@data/ledger",
}


def load(home: Settings, **fields):
    return settings_module.load(home=home.home, dags_folder=home.dags_folder, **fields)


def environment_of(settings: Settings) -> dict[str, str]:
    return airflow_environment(settings, home=settings.airflow_home, dags=settings.dags, port=settings.airflow_port)


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("missing", ["airflow_database", "celery_broker", "ledger_url"])
def test_an_executor_of_several_machines_needs_what_all_of_them_reach(home: Settings, missing: str) -> None:
    settings = load(home, **{name: value for name, value in SHARED.items() if name != missing})
    with pytest.raises(SpecError) as caught:
        environment_of(settings)
    assert f"AIMASS_{missing.upper()}" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"host": "10.1.2.3"}, "TLS"),
        ({"tls_cert": "a.pem"}, "tls_key"),
        ({"host": "10.1.2.3", "tls_cert": "a.pem", "tls_key": "b.pem", "grpc_port": 9000}, "gRPC"),
        ({"executor": "SequentialExecutor"}, "executor"),
        ({"airflow_database": "mysql://root:hidden@data/airflow"}, "postgresql"),
        ({"mlflow_database": "sqlite:////tmp/x.db"}, "postgresql"),
        ({"celery_broker": "amqp://guest:hidden@data"}, "redis"),
        ({"airflow_address": "data:8080"}, "https://HOST:PORT"),
    ],
)
def test_wrong_settings_are_refused_without_their_passwords(home: Settings, fields, word: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(home, **fields)
    assert word in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_other_addresses_are_bound_to_with_tls(home: Settings) -> None:
    settings = load(home, host="10.1.2.3", tls_cert="/a.pem", tls_key="/b.pem")
    assert settings.airflow_url == "https://10.1.2.3:8080"
    assert load(home, host="0.0.0.0", tls_cert="/a.pem", tls_key="/b.pem").gateway_url == "https://localhost:8000"
    environment = environment_of(settings)
    assert environment["AIRFLOW__API__SSL_CERT"] == "/a.pem"
    assert environment["AIRFLOW__API__SSL_KEY"] == "/b.pem"
    assert "--ssl-certfile /a.pem --ssl-keyfile /b.pem" in command(settings)


def test_celery_on_postgresql(home: Settings) -> None:
    settings = load(home, **SHARED, airflow_address="https://control:8080/", parts="celery-worker", tls_ca="/ca.pem")
    environment = environment_of(settings)
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == SHARED["airflow_database"]
    assert environment["AIRFLOW__CELERY__BROKER_URL"] == SHARED["celery_broker"]
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "https://control:8080/execution/"
    assert environment["AIRFLOW__API__SSL_CA_FILE"] == "/ca.pem"
    assert [part.name for part in components(settings)] == ["celery-worker"]
    assert ports(settings) == {}


def test_kubernetes_makes_pods_from_a_template(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {name: SHARED[name] for name in ("airflow_database", "ledger_url")} | {"executor": "KubernetesExecutor"}
    template = tmp_path / "pod.yaml"
    with pytest.raises(SpecError, match="AIMASS_POD_TEMPLATE"):
        environment_of(load(home, **shared, pod_template=template))
    template.touch()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    environment = environment_of(load(home, **shared, pod_template=template, pod_namespace="nights"))
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "KubernetesExecutor"
    assert environment["AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE"] == str(template)
    assert environment["AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE"] == "nights"
    assert environment["AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER"] == "False"
    assert environment["AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS"] == "aimass_airflow.task_logs.LOGGING_CONFIG"
    monkeypatch.setenv("AIMASS_PLATFORM", "kubernetes")  # Airflow's chart has a pod of its own
    require_shared(load(home, **shared))


def test_the_provider_of_kubernetes_is_named_where_it_is_missing(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "pod.yaml"
    template.touch()
    settings = load(home, **{**SHARED, "executor": "KubernetesExecutor"}, pod_template=template)
    (found,) = executor(settings)
    assert found.state == "ok", found.cure
    monkeypatch.setattr(executors, "PROVIDER", "apache-airflow-providers-not-here")
    (found,) = executor(settings)
    assert found.state == "wrong"
    assert "apache-airflow-providers-not-here is not installed" in found.cure
    with pytest.raises(SpecError, match=re.escape("aimass[cluster]")):
        environment_of(settings)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor,KubernetesExecutor")  # an Airflow of one's own
    (found,) = executor(load(home, **SHARED))
    assert "apache-airflow-providers-not-here" in found.cure


def test_a_worker_checks_the_certificate_of_the_broker(home: Settings) -> None:
    environment = environment_of(load(home, **{**SHARED, "celery_broker": "rediss://data:6379/0"}, tls_ca="/ca.pem"))
    assert environment["AIRFLOW__CELERY__SSL_ACTIVE"] == "True"
    assert environment["AIRFLOW__CELERY__SSL_CACERT"] == "/ca.pem"


def test_a_night_in_process_has_a_database_of_its_own(home: Settings) -> None:
    settings = load(home, **SHARED)
    environment = airflow_environment(settings, home=home.airflow_home, dags=home.dags, port=None)
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("sqlite:")
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


def test_a_part_that_is_none_is_named(home: Settings) -> None:
    with pytest.raises(SpecError, match="celery-worker"):
        components(load(home, parts="airflow-api,celery-worker"))  # LocalExecutor has no such part


def test_passwords_may_stand_in_private_files(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("airflow_database", "celery_broker", "ledger_url"):
        path = private(tmp_path / name, SHARED[name] + "\n")
        monkeypatch.setenv(f"AIMASS_{name.upper()}_FILE", str(path))
    settings = load(home, executor="CeleryExecutor")
    assert settings.ledger_url == SHARED["ledger_url"]
    environment = environment_of(settings)
    assert not any("hidden" in value for value in {**environment, **as_environment(settings)}.values())
    assert str(tmp_path / "airflow_database") in environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD"]
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in environment
    assert environment["AIMASS_LEDGER_URL_FILE"] == str(tmp_path / "ledger_url")


def test_a_file_with_a_password_is_to_be_private_there_and_alone(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(tmp_path / "ledger", SHARED["ledger_url"])
    monkeypatch.setenv("AIMASS_LEDGER_URL_FILE", str(path))
    path.chmod(0o640)
    with pytest.raises(SpecError, match=re.escape(f"chmod 600 {path}")):
        load(home)
    path.chmod(0o600)
    monkeypatch.setenv("AIMASS_LEDGER_URL", "sqlite:///x")
    with pytest.raises(SpecError, match="given twice"):
        load(home)
    monkeypatch.delenv("AIMASS_LEDGER_URL")
    path.unlink()
    with pytest.raises(SpecError, match="No such file"):
        load(home)


def test_the_older_name_of_the_limits_is_read(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMASS_RATE_STORE", "redis://old:1")
    assert load(home).limits_url == "redis://old:1"
    monkeypatch.setenv("AIMASS_LIMITS_URL", "redis://new:1")
    assert load(home).limits_url == "redis://new:1"


def test_shared_secrets_lie_in_a_folder_of_their_own(home: Settings, tmp_path: Path) -> None:
    from pipelines.secret_files import secret

    settings = load(home, secrets_folder=tmp_path / "shared")
    assert secret(settings, "airflow_jwt") == (tmp_path / "shared" / "airflow_jwt").read_text()
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o700


def test_clients_trust_the_given_authorities(home: Settings, tmp_path: Path) -> None:
    import certifi

    assert load(home).trusted is True
    assert isinstance(load(home, tls_ca=certifi.where()).trusted, ssl.SSLContext)
