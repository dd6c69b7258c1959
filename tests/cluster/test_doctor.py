"""`aimass doctor` on several hosts: what works is said to, and each planted mistake is named with its cure."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import WORKER, Cluster, authority, cluster, needs_cluster, private

from pipelines.cli import doctor_network
from pipelines.cli.checked import Checked
from pipelines.cli.doctor import examine
from pipelines.local import machines
from pipelines.settings import Settings, load

pytestmark = [pytest.mark.cluster, needs_cluster]
MLFLOW = ("mlflow",)


@pytest.fixture(scope="module")
def made() -> Iterator[Cluster]:
    """A host with PostgreSQL and Redis, a control host, and a worker's host."""
    with cluster(workers=1, store=False) as found:
        yield found


@pytest.fixture(scope="module")
def served(made: Cluster) -> Iterator[None]:
    """The control host serves MLflow."""
    done = made.aimass(made.control, "up", parts=MLFLOW, AIMASS_STORAGE="")
    assert done.returncode == 0, done.stderr + made.logs()
    yield
    done = made.aimass(made.control, "down", parts=MLFLOW, AIMASS_STORAGE="")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def worker(made: Cluster, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables of the worker's host, in force in this process; it stores in its own home here."""
    for name in list(os.environ):
        if name.startswith("AIMASS_"):
            monkeypatch.delenv(name)
    found = {**made.settings(made.workers[0], WORKER), "AIMASS_STORAGE": ""}
    del found["AIMASS_AIRFLOW_ADDRESS"]  # no Airflow runs in this module
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def checked() -> dict[str, Checked]:
    return {each.what: each for each in examine(load())}


def instead(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    private(Path(path), text.replace(old, new))


def announce(settings: Settings, **other: Any) -> None:
    """A control host tells of itself, with something that differs."""
    facts = machines.this_machine(settings, {"airflow-scheduler"}).__dict__ | {"name": "control"} | other
    with machines.redis_of(settings.celery_broker.get_secret_value(), settings) as client:
        client.delete(machines.KEY)
        client.hset(machines.KEY, "control", json.dumps(facts))


def test_what_works_is_said_to(made: Cluster, served: None, worker: dict[str, str]) -> None:
    announce(load())
    found = checked()
    names = ("database of airflow", "database of mlflow", "ledger's database", "ledger", "broker", "mlflow", "executor")
    assert {name: found[name].state for name in names} == dict.fromkeys(names, "ok"), found
    assert found["machine control"].state == "ok"
    assert "not encrypted" in found["broker"].seen
    assert made.password not in str(found)


MISTAKES: dict[str, tuple[Callable[..., None], str, str, str]] = {}


def mistake(check: str, seen: str, cure: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register what plants a mistake: the check that is wrong then, what it saw, and words of its cure."""

    def add(plant: Callable[..., None]) -> Callable[..., None]:
        MISTAKES[plant.__name__] = (plant, check, seen, cure)
        return plant

    return add


@mistake("database of airflow", "password authentication failed", "correct user and password in AIMASS_AIRFLOW_DAT")
def wrong_password(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    instead(given["AIMASS_AIRFLOW_DATABASE_FILE"], made.password, "guess")


@mistake("database of mlflow", 'database "mlfow" does not exist', "CREATE DATABASE mlfow")
def no_such_database(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    instead(given["AIMASS_MLFLOW_DATABASE_FILE"], "/mlflow", "/mlfow")


@mistake("ledger's database", "refused", "start PostgreSQL there")
def nobody_listens(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    instead(given["AIMASS_LEDGER_URL_FILE"], made.data.address, made.control.address)


@mistake("broker", "invalid username-password pair", "correct the password in AIMASS_CELERY_BROKER_FILE")
def wrong_password_of_the_broker(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    instead(given["AIMASS_CELERY_BROKER_FILE"], made.password, "guess")


@mistake("limits", "refused", "start Redis or Valkey there")
def no_limits_store(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AIMASS_LIMITS_URL", f"redis://{made.control.address}:6379")


@mistake("executor", "Airflow on sqlite", "AIMASS_AIRFLOW_DATABASE")
def a_database_of_one_machine(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    patch.delenv("AIMASS_AIRFLOW_DATABASE_FILE")


@mistake("mlflow", "does not take the login", "mlflow_token from the machine that serves it")
def another_login(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    private(Path(given["AIMASS_SECRETS_FOLDER"]) / "mlflow_token", "of another home")


@mistake("mlflow", "CERTIFICATE_VERIFY_FAILED", "AIMASS_TLS_CA")
def an_unknown_authority(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    authority(Path(given["AIMASS_HOME"]) / "other", made.control.address)
    patch.setenv("AIMASS_TLS_CA", f"{given['AIMASS_HOME']}/other/ca.pem")


@mistake("certificate", "mismatch", "correct AIMASS_TLS_CERT and AIMASS_TLS_KEY")
def a_key_of_another_certificate(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    authority(Path(given["AIMASS_HOME"]) / "another", made.control.address)
    patch.setenv("AIMASS_TLS_CERT", f"{given['AIMASS_SECRETS_FOLDER']}/cert.pem")
    patch.setenv("AIMASS_TLS_KEY", f"{given['AIMASS_HOME']}/another/key.pem")


@mistake("secrets", "signing_key.pem", "chmod 600")
def an_open_secret(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    (Path(given["AIMASS_SECRETS_FOLDER"]) / "signing_key.pem").chmod(0o644)


@mistake("machine HERE", "pandas", "make env with one lock on both")
def another_library(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    settings = load()
    libraries = machines.this_machine(settings, set()).libraries
    announce(settings, libraries={**libraries, "pandas": "2.0.0"})


@mistake("machine HERE", "Python 3.", "make env with one lock on both")
def another_python(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    announce(load(), python="3.10.1")


@mistake("machine HERE", "the secret signing_key.pem", "one folder of secrets")
def another_signing_key(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    announce(load(), secrets={"signing_key.pem": "0" * 12})


@mistake("database of airflow", "its clock is", "NTP")
def a_clock_that_is_five_minutes_late(made: Cluster, given: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    now = doctor_network.time.time
    patch.setattr(doctor_network.time, "time", lambda: now() - 300)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_named_with_its_cure(
    made: Cluster,
    worker: dict[str, str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
) -> None:
    if MISTAKES[name][1] == "mlflow":
        request.getfixturevalue("served")
    own = tmp_path / "secrets"
    shutil.copytree(worker["AIMASS_SECRETS_FOLDER"], own)
    given = {key: value.replace(worker["AIMASS_SECRETS_FOLDER"], str(own)) for key, value in worker.items()}
    given["AIMASS_HOME"] = str(tmp_path / "home")
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    announce(load())
    plant, check, seen, cure = MISTAKES[name]
    plant(made, given, monkeypatch)
    found = checked()[check.replace("HERE", socket.gethostname())]
    assert found.state == "wrong", found
    assert seen in found.seen
    assert cure in found.cure
    assert made.password not in str(found)


def test_a_worker_with_other_libraries_does_not_start(made: Cluster, worker: dict[str, str]) -> None:
    settings = load()
    libraries = machines.this_machine(settings, set()).libraries
    announce(settings, libraries={**libraries, "pandas": "2.0.0"})
    done = made.aimass(made.workers[0], "up", parts=WORKER, AIMASS_STORAGE="")
    assert done.returncode != 0
    assert f"pandas {libraries['pandas']} on {made.workers[0].name}, 2.0.0 on control" in done.stderr
    assert not any("celery" in " ".join(each.cmdline()) for each in made.workers[0].processes())
