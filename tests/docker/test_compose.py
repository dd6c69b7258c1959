"""The compose file is valid, publishes two ports on loopback alone, and has secrets in files and health checks."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from setting_names import known, used

from pipelines.settings import Settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker" / "compose.yaml"
HEALTHY = ROOT / "docker" / "healthy.py"
OURS = ("aimass", "aimass-serving")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file with its anchors resolved."""
    return yaml.safe_load(FILE.read_text())


def test_it_is_what_the_compose_specification_says() -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_the_whole_stack(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {
        "postgres", "valkey", "objects", "bucket", "airflow", "worker", "mlflow", "dask-scheduler", "dask-worker",
        "ray-head", "ray-worker", "serving",
    }  # fmt: skip


def test_only_gateway_and_airflow_are_published_and_on_loopback(compose: dict[str, Any]) -> None:
    published = {name: each["ports"] for name, each in compose["services"].items() if "ports" in each}
    assert published == {"airflow": ["127.0.0.1:8080:8080"], "serving": ["127.0.0.1:8000:8000"]}
    assert not any("network_mode" in each for each in compose["services"].values())


def test_what_runs_on_has_a_health_check_and_is_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, each in services.items():
        once = each.get("restart") == "no"
        assert once or each["healthcheck"]["test"], name
        for other, how in each.get("depends_on", {}).items():
            once = services[other].get("restart") == "no"
            assert how["condition"] == ("service_completed_successfully" if once else "service_healthy"), (name, other)


def test_secrets_are_files_and_no_variable_holds_one(compose: dict[str, Any]) -> None:
    declared = compose["secrets"]
    assert all(each == {"file": f"secrets/{name}"} for name, each in declared.items())
    for name, each in compose["services"].items():
        given = set(each.get("secrets", ()))
        assert given <= declared.keys(), name
        for variable, value in (each.get("environment") or {}).items():
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), (name, variable)
            secret = re.fullmatch(r"(?:/run|/home/aimass)/secrets/(.+)", str(value))
            assert (
                not re.search(r"PASSWORD|SECRET|TOKEN|_URL|DATABASE|BROKER", variable)
                or secret
                or (variable in ("AIMASS_SECRETS_FOLDER", "POSTGRES_DB"))
            ), (name, variable)
            if secret and variable not in ("AIMASS_DASK_TLS", "AIMASS_SECRETS_FOLDER"):
                readers = {"AIMASS_TLS_CERT", "AIMASS_TLS_KEY", "AIMASS_TLS_CA"} if name == "dask-worker" else set()
                assert secret[1] in given or variable in readers, (name, variable)


def test_our_containers_are_locked_down(compose: dict[str, Any]) -> None:
    ours = {name: each for name, each in compose["services"].items() if each["image"] in OURS}
    assert len(ours) == 9
    for name, each in ours.items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in each["security_opt"], name
        assert any(place.startswith("/home/aimass/secrets:") for place in each["tmpfs"]), name
    images = {each["image"] for each in compose["services"].values()} - set(OURS)
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]+", image) and not image.endswith(":latest") for image in images)


def test_every_setting_exists() -> None:
    files = [FILE, *(ROOT / "docker").rglob("*.yaml")]
    assert used(*files) - known() == set()
    assert {"AIMASS_LEDGER_URL", "AIMASS_STORAGE", "AIMASS_LIMITS_URL"} <= used(FILE)


def test_health_checks_exist_and_tell(compose: dict[str, Any]) -> None:
    kinds = {each["healthcheck"]["test"][3] for each in compose["services"].values() if str(HEALTHY.name) in str(each)}
    assert kinds == {"url", "port", "parts"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_port = server.getsockname()[1]
        assert subprocess.run([sys.executable, HEALTHY, "port", f"127.0.0.1:{open_port}"]).returncode == 0
    done = subprocess.run([sys.executable, HEALTHY, "port", f"127.0.0.1:{open_port}"], capture_output=True, text=True)
    assert (done.returncode, open_port) == (1, open_port)
    assert "refused" in done.stderr


def test_make_secrets_writes_what_the_services_read_and_replaces_nothing(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"AIMASS_{name.upper()}", raising=False)
    folder = tmp_path / "secrets"
    runs = []
    for _ in range(2):
        words = [sys.executable, str(ROOT / "docker" / "make_secrets.py"), str(folder), "--host", "models.example.com"]
        done = subprocess.run(words, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
        assert done.returncode == 0, done.stderr
        runs.append({path.name: path.read_bytes() for path in folder.iterdir()})
    found = runs[0]
    assert runs[1] == found
    assert set(compose["secrets"]) <= found.keys()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert found["ledger_url"].decode().startswith("postgresql+psycopg://aimass:")
    words = ["openssl", "verify", "-CAfile", str(folder / "ca.pem"), str(folder / "cert.pem")]
    assert subprocess.run(words, capture_output=True).returncode == 0
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(folder / "cert.pem"), "-noout", "-ext", "subjectAltName"],
        capture_output=True, text=True,
    )  # fmt: skip
    names = set(re.findall(r"DNS:([\w.-]+)", shown.stdout))
    assert {"models.example.com", "localhost", "airflow", "mlflow", "serving", "dask-scheduler"} <= names
