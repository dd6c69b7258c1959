"""The guide to production: its shell lines are run as they stand; those for Docker and clusters name what is there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from here import aimass

from tests.e2e.test_guide import write_churn
from tests.helpers.postgres import postgres

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "production.md"
TEXT = GUIDE.read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
QUICK = (
    "--param",
    "evaluate__plots=false",
    "--param",
    "deploy__stop_before=true",
    "--param",
    'tune__families=["linear"]',
)


def lines(heading: str, kind: str = "sh") -> list[str]:
    section = next(part for part in TEXT.split("\n## ") if part.startswith(heading))
    return [line for found, block in BLOCK.findall(section) for line in block.splitlines() if found == kind]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("production")
    (folder / "data").mkdir()
    write_churn(folder / "data")
    words = ("init", "churn", "--source", "data/churn.csv", "--target", "churned", "--positive", "yes")
    done = aimass(*words, "--key", "customer_id", folder=folder, AIMASS_HOME=str(folder / ".aimass"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as address:
        yield address


def follow(commands: list[str], folder: Path, home: str = ".aimass", **replaced: str) -> list[str]:
    """Run aimass commands with the exports before them; return what each printed."""
    environment = {"AIMASS_HOME": str(folder / home), "AIMASS_DAGS_FOLDER": str(folder / "dags")}
    outputs = []
    for line in commands:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            environment[name] = replaced[name]
            assert value.partition(":")[0] == replaced[name].partition(":")[0]
            continue
        command, *words = shlex.split(line)
        assert command == "aimass"
        done = aimass(*words, *(QUICK if words[0] == "run" else ()), folder=folder, **environment)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr[-4000:]}"
        outputs.append(done.stdout)
    return outputs


def test_every_block_is_run_or_needs_a_cluster() -> None:
    kinds = {kind for kind, _ in BLOCK.findall(TEXT)}
    assert kinds == {"sh", "console"}
    assert TEXT.count("```") == 2 * len(BLOCK.findall(TEXT))
    run = [line for number in range(1, 5) for line in lines(f"{number}. ")]
    assert run == [line for kind, block in BLOCK.findall(TEXT) for line in block.splitlines() if kind == "sh"]


def test_a_night_is_planned_before_it_runs_and_after(project: Path) -> None:
    before, night, after, large = follow(lines("1. Plan"), project)
    assert "curves" in before
    assert "promoted" in night
    assert "1 night " in after
    facts = json.loads(large)
    assert facts["stages"][0]["rows"]["value"] == 100_000_000
    assert facts["total"]["minutes"]["value"] > 10


def test_the_ledger_in_postgresql_begins_empty_and_has_its_nights(project: Path, database: str) -> None:
    night, models, plan = follow(lines("2. The ledger"), project, home="other", AIMASS_LEDGER_URL=database)
    assert "version 1 promoted" in night
    assert "churn" in models
    assert "1 night " in plan
    assert not (project / "other" / "ledger.db").exists()


def test_secrets_and_compose_are_made_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "docker", tmp_path / "docker", ignore=shutil.ignore_patterns("secrets"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    for line in [*lines("3. Secrets"), *lines("4. The whole")]:
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "docker" / "secrets" / "signing_key.pem").is_file()


def test_console_lines_name_files_services_and_secrets_that_are_there() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    values = yaml.safe_load((ROOT / "docker" / "kubernetes" / "airflow-values.yaml").read_text())
    named: set[str] = set()
    for line in [*lines("4. The whole", "console"), *lines("5. Kubernetes", "console")]:
        words = shlex.split(line)
        assert words[0] in ("docker", "kubectl", "helm"), line
        if "exec" in words:
            assert words[words.index("exec") + 1] in compose["services"], line
        if "generic" in words:
            named.add(words[words.index("generic") + 1])
        for path in re.findall(r"docker/[\w./-]+", line):
            secret = path.startswith("docker/secrets")
            there = (
                path == "docker/secrets" or Path(path).name in compose["secrets"] if secret else (ROOT / path).exists()
            )
            assert there, line
    wanted = {values["data"]["metadataSecretName"], values["data"]["brokerUrlSecretName"], "aimass"}
    wanted |= {values[f"{name}SecretName"] for name in ("fernetKey", "apiSecretKey", "jwt")}
    assert wanted == named
