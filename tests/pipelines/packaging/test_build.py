from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.errors import DeployError
from pipelines.inference.sources import BELOW, copy_inference
from pipelines.packaging import bento_contents
from pipelines.packaging.build import bento_folder, build_bento, store_bento, stored_bento, verify_bento
from pipelines.secret_files import public_key
from pipelines.storage import resolve


@pytest.fixture
def version(packaged):
    return packaged.ledger.version("demo", 1)


def build(packaged, version, folder):
    model_dir = resolve(packaged.settings, version.model_uri)
    what = {"model": "demo", "version": 1, "digest": version.model_digest}
    build_bento(packaged.settings, model_dir=model_dir, folder=folder, **what)
    return store_bento(packaged.settings, built=folder, **what)


def test_the_bento_is_signed_and_named_after_version_and_digest(packaged, version):
    path = bento_folder(packaged.settings, "demo", 1, version.model_digest)
    assert path.name == f"v1-{version.model_digest[:12]}"
    assert version.bento_uri == f"demo:{path.name}"
    assert verify_bento(path, public_key(packaged.settings))
    carried = {item.relative_to(path / "src" / "pipelines").parts[0] for item in (path / "src" / "pipelines").iterdir()}
    assert carried == {"inference", *(name.partition("/")[0] for name in BELOW)}
    assert (path / "src" / "model" / "manifest.sig").is_file()
    assert not list(path.rglob("*.pyc"))


def test_what_is_in_the_store_is_adopted(packaged, version, tmp_path):
    path = bento_folder(packaged.settings, "demo", 1, version.model_digest)
    before = path.stat().st_mtime_ns
    digest = stored_bento(packaged.settings, "demo", 1, version.model_digest)
    assert digest
    assert build(packaged, version, tmp_path / "bento") == digest
    assert path.stat().st_mtime_ns == before


def test_what_was_built_and_then_changed_is_not_stored(packaged, version, tmp_path):
    what = {"model": "demo", "version": 7, "digest": version.model_digest}
    model_dir = resolve(packaged.settings, version.model_uri)
    build_bento(packaged.settings, model_dir=model_dir, folder=tmp_path / "bento", **what)
    (tmp_path / "bento" / "src" / "service.py").write_text("")
    with pytest.raises(DeployError, match="differs from its manifest"):
        store_bento(packaged.settings, built=tmp_path / "bento", **what)
    assert not list(packaged.settings.bentoml_home.glob("bentos/demo/v7*"))


@pytest.mark.parametrize("where", ["src/service.py", "src/model/model.json", "bento.yaml", "src/evil.py"])
def test_a_changed_bento_is_refused_and_built_again(packaged, version, where, tmp_path):
    path = bento_folder(packaged.settings, "demo", 1, version.model_digest)
    with (path / where).open("a") as stream:
        stream.write(" ")
    with pytest.raises(DeployError, match="differs from its manifest"):
        verify_bento(path, public_key(packaged.settings))
    assert stored_bento(packaged.settings, "demo", 1, version.model_digest) is None
    assert build(packaged, version, tmp_path / "bento")
    assert verify_bento(path, public_key(packaged.settings))


def test_a_changed_model_directory_is_not_built(packaged, version, tmp_path):
    copy = shutil.copytree(resolve(packaged.settings, version.model_uri), tmp_path / "model")
    (copy / "model.json").write_text("{}")
    with pytest.raises(DeployError, match="differs from its manifest"):
        build_bento(
            packaged.settings,
            model="demo",
            version=9,
            model_dir=copy,
            digest=version.model_digest,
            folder=tmp_path / "bento",
        )
    assert not list(packaged.settings.bentoml_home.glob("bentos/demo/v9*"))


HEAVY = ("bentoml", "dask", "distributed", "duckdb", "mlflow", "optuna", "ray", "sklearn", "sqlalchemy", "lightgbm")


def test_every_import_of_what_is_carried_is_carried(tmp_path):
    """Also those that a function makes, and for both who carry it."""
    copy_inference(tmp_path)
    carried = {path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.py")}
    names = {".".join(part for part in path.parts if part != "__init__") for path in carried}
    for path in tmp_path.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipelines"):
                assert node.level == 0
                assert node.module in names, path
            if isinstance(node, ast.Import):
                assert all(alias.name in names for alias in node.names if alias.name.startswith("pipelines")), path


def test_what_is_carried_stands_alone(tmp_path):
    """The carried code imports nothing of the project that is not carried, and nothing heavy."""
    copy_inference(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import pipelines.inference.predictor as p\n"
        "import importlib, pkgutil, pipelines.inference\n"
        "for m in pkgutil.walk_packages(pipelines.inference.__path__, 'pipelines.inference.'):\n"
        "    importlib.import_module(m.name)\n"
        f"assert p.__file__.startswith({str(tmp_path)!r}), p.__file__\n"
        f"print(sorted(m for m in sys.modules if m in {HEAVY}))\n"
        f"assert all(m.__file__.startswith({str(tmp_path)!r})"
        " for n, m in sys.modules.items() if n.split('.')[0] == 'pipelines')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", code], capture_output=True, text=True, cwd=Path("/"), timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_requirements_are_exact_and_unique():
    members = [{"family": "linear"}, {"inner": [{"family": "catboost"}]}]
    names = [text.split("==") for text in bento_contents.requirements({"members": members})]
    assert "catboost" in [pair[0] for pair in names]
    assert "boost" not in "".join(bento_contents.requirements({"members": [{"family": "xgboost"}]}))
    assert all(len(pair) == 2 and pair[1] for pair in names)
    assert len({pair[0] for pair in names}) == len(names)
