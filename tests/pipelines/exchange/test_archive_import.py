"""What one installation exports, another imports once it trusts the key; the service there says the same."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from here import aimass

from pipelines import settings as settings_module
from pipelines.exchange.trust import fingerprint, trusted_file
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key

pytestmark = [pytest.mark.slow, pytest.mark.full]

FULL = bool(os.environ.get("AIMASS_FULL"))


@pytest.fixture(scope="module")
def exported(packaged: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The tiny model in an archive, and an empty second home."""
    root = tmp_path_factory.mktemp("archive")
    packaged.ledger.remember_model(packaged.night.model)  # as a night does when it begins
    (root / "terms.txt").write_text("Use it kindly.")
    words = ["export", "demo", "--version", "1", "--out", str(root / "demo.zip"), "--licence", str(root / "terms.txt")]
    said = aimass(*words, AIMASS_HOME=str(packaged.settings.home), AIMASS_MLFLOW_PORT="1024")
    second = settings_module.load(home=root / "second", mlflow_port=1024)
    environment = {"AIMASS_HOME": str(second.home), "AIMASS_MLFLOW_PORT": "1024"}
    key = fingerprint(public_key(packaged.settings))
    return SimpleNamespace(
        root=root, file=root / "demo.zip", said=said, second=second, environment=environment, key=key, first=packaged
    )


def test_an_archive_holds_what_another_needs(exported: SimpleNamespace) -> None:
    assert exported.said.returncode == 0, exported.said.stderr
    assert exported.key in exported.said.stdout
    assert "rows of data" in exported.said.stderr
    with zipfile.ZipFile(exported.file) as archive:
        names = set(archive.namelist())
        facts = json.loads(archive.read("archive.json"))
        assert archive.read("LICENSE") == b"Use it kindly."
    assert {"model/model.json", "model/schema.json", "model/manifest.sig", "lineage.json", "manifest.sig"} <= names
    assert (facts["model"], facts["version"], facts["metric"]) == ("demo", 1, "roc_auc")
    again = exported.root / "again.zip"
    aimass("export", "demo", "--out", str(again), "--licence", str(exported.root / "terms.txt"),
           AIMASS_HOME=str(exported.first.settings.home))  # fmt: skip
    assert again.read_bytes() == exported.file.read_bytes()  # the same version is the same archive


def test_a_key_that_is_not_trusted_is_named(exported: SimpleNamespace) -> None:
    done = aimass("import", str(exported.file), **exported.environment)
    assert done.returncode == 2
    assert f"--trust-key {exported.key}" in done.stderr
    done = aimass("import", str(exported.file), "--trust-key", "SHA256:other", **exported.environment)
    assert "another key" in done.stderr
    with Ledger.open(exported.second) as ledger:
        assert ledger.models() == []
    assert not trusted_file(exported.second).exists()
    assert not list(exported.second.staging.iterdir())


def test_with_its_key_it_becomes_a_version(exported: SimpleNamespace) -> None:
    words = ["import", str(exported.file), "--model", "theirs", "--trust-key", exported.key]
    done = aimass(*words, **exported.environment)
    assert done.returncode == 0, done.stderr
    assert "theirs: version 1 imported from demo.zip; version 1 of demo" in done.stdout
    assert trusted_file(exported.second).stat().st_mode & 0o777 == 0o600
    if FULL:  # one more start of the service
        done = aimass("promote", "theirs", "1", "--why", "good elsewhere", **exported.environment)
        assert done.returncode == 0, done.stderr
    with Ledger.open(exported.second) as ledger:
        assert ledger.route("theirs") == (1 if FULL else None)
        row = ledger.version("theirs", 1)
        assert row.verdict["imported"]["key"] == exported.key
        assert row.score == exported.first.ledger.version("demo", 1).score
    assert not list(exported.second.staging.iterdir())
    asked = [
        aimass("explain", name, "--version", "1", "--json", AIMASS_HOME=str(home))
        for name, home in (("theirs", exported.second.home), ("demo", exported.first.settings.home))
    ]
    answers = [json.loads(each.stdout)["answer"] for each in asked]
    assert answers[0] == answers[1]


def test_a_changed_archive_changes_nothing(exported: SimpleNamespace, tmp_path: Path) -> None:
    with zipfile.ZipFile(exported.file) as old, zipfile.ZipFile(tmp_path / "x.zip", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"demo", b"dem0") if name == "model/model.json" else content)
    third = settings_module.load(home=tmp_path / "third")
    done = aimass(
        "import", str(tmp_path / "x.zip"), "--trust-key", exported.key, AIMASS_HOME=str(third.home)
    )  # fmt: skip
    assert done.returncode == 2
    assert "not what was signed" in done.stderr
    with Ledger.open(third) as ledger:
        assert ledger.models() == []
    assert not list(third.staging.iterdir())


def test_options_that_do_not_fit_are_said(exported: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {loader_module: os}}")
    for words, said in (
        (("import", str(tmp_path)), "MLflow"),
        (("import", str(exported.file), "--schema", "schema.json"), "brings its own schema"),
        (("import", str(tmp_path / "none.onnx")), "no such file"),
        (("import", str(exported.file), "--model", "../x"), "no name of a model"),
        (("import", str(exported.root / "terms.txt"), "--tolerance", "inf"), "less than or equal to 1"),
        (("import", str(exported.root / "terms.txt")), "no --model, --schema, --samples"),
        (("import", str(exported.file), "--max-gb", "0.00001"), "too large"),
        (("export", "nobody", "--out", str(tmp_path / "a.zip")), "no such model"),
        (("export", "demo", "--out", str(exported.file)), "there already"),
        (("export", "demo", "--out", str(tmp_path / "no" / "a.zip")), "no such folder"),
        (("export", "demo", "--version", "9", "--out", str(tmp_path / "a.zip")), "no such version"),
    ):
        home = exported.second.home if words[0] == "import" else exported.first.settings.home
        done = aimass(*words, AIMASS_HOME=str(home))
        assert done.returncode == 2, words
        assert said in done.stderr, done.stderr
