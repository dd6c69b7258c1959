"""The images are built from the locks and from folders that exist; the slim one holds what serving imports."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILES = {"Dockerfile": r"requirements\.lock", "serving.Dockerfile": r"docker/serving\.lock"}
MODULES = {"botocore": "boto3", "google": "protobuf", "grpc": "grpcio", "prometheus_client": "prometheus-client"}
"""Module → distribution, where the names differ."""
OPTIONAL = {"celery", "kombu", "opentelemetry"}
"""Imported by the doctor of hosts with tasks, and where traces are on, from what the user installs."""


@pytest.mark.parametrize("name", FILES)
def test_image_installs_the_lock_hash_checked_and_copies_what_exists(name: str) -> None:
    text = (DOCKER / name).read_text()
    assert re.search(rf"--require-hashes.* -r {FILES[name]}", text)
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = [name for line in re.findall(r"^COPY (?!--)(.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name in allowed, name
    assert "USER aimass" in text


def locked(path: Path) -> dict[str, str]:
    """Return each entry of a lock, its hashes included, by ``name==version``."""
    entries = re.split(r"\n(?=\S)", path.read_text())
    return {re.split(r"[ ;\\]", entry, maxsplit=1)[0]: re.sub(r"\s+", " ", entry).strip() for entry in entries}


def test_the_slim_lock_is_a_part_of_the_one_lock() -> None:
    whole, slim = locked(ROOT / "requirements.lock"), locked(DOCKER / "serving.lock")
    assert slim
    assert sorted(slim.keys() - whole.keys()) == []
    hashes = {name: set(re.findall(r"sha256:\w+", entry)) for name, entry in whole.items()}
    for name, entry in slim.items():
        own = set(re.findall(r"sha256:\w+", entry))
        assert own, name
        assert own <= hashes[name], name
    heavy = {"apache-airflow", "mlflow", "ray", "bentoml", "dask", "scikit-learn", "great-expectations", "duckdb"}
    assert not heavy & {name.split("==")[0] for name in slim}


def source(module: str) -> Path | None:
    whole = ROOT.joinpath(*module.split("."))
    return next((each for each in (whole.with_suffix(".py"), whole / "__init__.py") if each.is_file()), None)


def imported(path: Path) -> set[str]:
    """Return all modules that a source imports, inside functions too, and those of types left out."""
    found: set[str] = set()

    class Imports(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if "TYPE_CHECKING" not in ast.dump(node.test):
                self.generic_visit(node)

        def visit_Import(self, node: ast.Import) -> None:
            found.update(each.name for each in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            if node.module and not node.level:
                found.update({node.module, *(f"{node.module}.{each.name}" for each in node.names)})

    Imports().visit(ast.parse(path.read_text()))
    return found


def test_the_slim_image_has_whatever_gateway_services_and_controller_import() -> None:
    parts = (ROOT / "pipelines" / part for part in ("gateway", "inference"))
    waiting = [".".join(path.relative_to(ROOT).with_suffix("").parts) for part in parts for path in part.rglob("*.py")]
    waiting += ["pipelines.local.controller", "pipelines.local.keep"]
    seen: set[str] = set()
    third: set[str] = set()
    while waiting:
        module = waiting.pop()
        path = source(module)
        if module in seen or path is None:
            continue
        seen.add(module)
        for name in imported(path):
            if name.startswith("pipelines"):
                waiting.append(name)
            elif (top := name.split(".")[0]) not in sys.stdlib_module_names:
                third.add(top)
    declared = {re.split(r"[\[ #\n]", line)[0] for line in (DOCKER / "serving.in").read_text().splitlines()}
    needed = {MODULES.get(name, name).replace("_", "-") for name in third - OPTIONAL}
    assert {"uvicorn", "lightgbm", "circus"} <= needed
    assert sorted(needed - declared) == []


def test_the_entrypoint_makes_secrets_private_and_becomes_the_command(tmp_path: Path) -> None:
    given, own = tmp_path / "run", tmp_path / "own"
    given.mkdir()
    (given / "..data").mkdir()  # as Kubernetes mounts them
    (given / "..data" / "token").write_text("one\n")
    (given / "token").symlink_to("..data/token")
    script = (DOCKER / "entrypoint.sh").read_text()
    script = script.replace("/run/secrets", str(given)).replace("/home/aimass/secrets", str(own))
    path = tmp_path / "entrypoint.sh"
    path.write_text(script)
    words = ["sh", str(path), "sh", "-c", "umask; echo $0 $1", "a b"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "AIMASS_HOME": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, "0077\na b\n"), done.stderr
    assert (own / "token").read_text() == "one\n"
    assert (own / "token").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in own.iterdir()) == ["token"]
