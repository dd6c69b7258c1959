"""A home with a registered, packaged version of a tiny real model."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pipelines import settings as settings_module
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.deployment.serve import private_service
from pipelines.ledger import Ledger
from pipelines.spec import ModelSpec


def load_tiny() -> ModuleType:
    """Load the maker of tiny models, which lies beside the tests of deployment."""
    path = Path(__file__).with_name("tiny.py")
    spec = importlib.util.spec_from_file_location("tiny_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def night_of(name: str = "night-1", day: int = 1, fence: int = 1, platform: bool = False) -> Night:
    """Make a night of the tiny model."""
    model = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
    return Night(model=model, night=name, as_of=datetime(2026, 3, day, 2, tzinfo=UTC), fence=fence, platform=platform)


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The maker of tiny models."""
    return load_tiny()


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Version 1 registered and packaged: settings, ledger, night, inputs of deploy."""
    night = night_of()
    template = tmp_path_factory.getbasetemp() / "packaged"  # made once, copied for each module
    if not template.exists():
        made = settings_module.load(home=template / "home", mlflow_port=1024).ensure()
        load_tiny().take_to_bento(template, made, night)
    root = tmp_path_factory.mktemp("module")
    settings = settings_module.load(home=shutil.copytree(template / "home", root / "home"), mlflow_port=1024)
    row = Ledger.open(settings).version("demo", 1)
    facts = {"verdict": "promoted", "model_uri": row.model_uri, "model_digest": row.model_digest}
    done = {
        "register": Artifact(ref=Ref(uri="r", digest="r", stage="register", meta={"version": 1, **facts}), path=root),
        "package": Artifact(
            ref=Ref(uri="p", digest="p", stage="package", meta={"version": 1, "bento": row.bento_uri}), path=root
        ),
    }
    return SimpleNamespace(
        root=root, settings=settings, ledger=Ledger.open(settings), night=night, night_of=night_of, done=done
    )


@pytest.fixture(scope="module")
def served(packaged: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """Version 1 live and served by a real bento process, as the supervisor would have it."""
    with private_service(packaged.settings, "demo", 1, 60) as url:
        packaged.ledger.want("demo", 1, "serve")
        packaged.ledger.switch("demo", 1, 0, "test", "test")
        packaged.ledger.observe("demo", 1, "ready", port=int(url.rpartition(":")[2]))
        packaged.url = url
        yield packaged
