"""Fixtures: a home with a registered, packaged version of a tiny real model, and that version served."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pipelines import settings as settings_module
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.ledger import Ledger
from pipelines.spec import ModelSpec


def night_of(name: str = "night-1", day: int = 1, fence: int = 1, platform: bool = False) -> Night:
    """Make a night of the tiny model."""
    model = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
    return Night(model=model, night=name, as_of=datetime(2026, 3, day, 2, tzinfo=UTC), fence=fence, platform=platform)


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The maker of tiny models."""
    return import_module("tiny")


@pytest.fixture(scope="session")
def packaged_home(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that is made once and copied for each module."""
    root = tmp_path_factory.mktemp("packaged")
    settings = settings_module.load(home=root / "home", mlflow_port=1024).ensure()
    tiny.take_to_bento(root, settings, night_of())
    return settings.home


@pytest.fixture(scope="session")
def tiny_service(packaged_home: Path) -> Iterator[str]:
    """Address of version 1, served by a real bento process for all tests that only ask it."""
    from pipelines.deployment.serve import private_service

    with private_service(settings_module.load(home=packaged_home, mlflow_port=1024), "demo", 1, 60) as url:
        yield url


@pytest.fixture(scope="module")
def packaged(packaged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Version 1 registered and packaged: settings, ledger, night, inputs of deploy."""
    root = tmp_path_factory.mktemp("module")
    settings = settings_module.load(home=shutil.copytree(packaged_home, root / "home"), mlflow_port=1024)
    row = Ledger.open(settings).version("demo", 1)
    facts = {"verdict": "promoted", "model_uri": row.model_uri, "model_digest": row.model_digest}
    done = {
        "register": Artifact(ref=Ref(uri="r", digest="r", stage="register", meta={"version": 1, **facts}), path=root),
        "upload": Artifact(
            ref=Ref(uri="p", digest="p", stage="upload", meta={"version": 1, "bento": row.bento_uri}), path=root
        ),
    }
    return SimpleNamespace(
        root=root, settings=settings, ledger=Ledger.open(settings), night=night_of(), night_of=night_of, done=done
    )


@pytest.fixture(scope="module")
def served(packaged: SimpleNamespace, tiny_service: str) -> SimpleNamespace:
    """Version 1 live, served as the supervisor would have it."""
    packaged.ledger.want("demo", 1, "serve")
    packaged.ledger.switch("demo", 1, 0, "test", "test")
    packaged.ledger.observe("demo", 1, "ready", address=tiny_service)
    packaged.url = tiny_service
    return packaged
