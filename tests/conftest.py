"""Fixtures shared by all tests: a private home, nights, published stages, the shared data sets."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test
from hypothesis import settings as hypothesis_settings

from pipelines import settings as settings_module
from pipelines import storage
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.clusters import prepare_environment
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))  # for the tests' own helpers
SHARED = ROOT.parent / "shared" / "data"

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait for each other take nobody else's time
prepare_environment()
logging.getLogger("pipelines").setLevel(logging.INFO)  # as the process of a stage logs
# A busy machine makes single examples slow; the same examples are tried every time.
hypothesis_settings.register_profile("aimass", deadline=None, max_examples=60, derandomize=True, database=None)
hypothesis_settings.load_profile("aimass")


pytest_plugins = ("packaged", "fault_table", "moto_store", "aliases")

WAITING = ("e2e", "faults", "cluster")
"""Folders of tests that start processes and wait for them."""


def room_of(path: Path) -> str:
    """Return the folder of the tests that a file lies in."""
    return path.relative_to(ROOT / "tests").parts[0]


def mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """Spread the files that start processes and wait for them evenly among those that calculate.

    Two workers that take file after file then mostly have one of each kind, which leaves no core idle.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    order = []
    for waits in (True, False):
        some = [path for path in files if (room_of(path) in WAITING) is waits]
        order += [(place / len(some), not waits, path) for place, path in enumerate(some)]
    return [item for *_, path in sorted(order) for item in files[path]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what boots, kills, packages or draws examples as slow; skip what needs absent shared data sets."""
    if hasattr(config, "workerinput"):
        items[:] = mixed(items)
    for item in items:
        room = room_of(item.path)
        packaged = "packaged_home" in getattr(item, "fixturenames", ())
        if room in WAITING or packaged or is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("slow")
        if item.get_closest_marker("real_data") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="the shared data sets are not beside this checkout"))


@pytest.fixture(scope="session", autouse=True)
def measured_here_only() -> Iterator[None]:
    """Measure coverage in the tests' own processes: tracing makes what they start half as slow again."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
            patch.delenv(name)
        yield


@contextmanager
def unmeasured() -> Iterator[None]:
    """Pause the measurement of coverage.

    ``Coverage.start`` would go on with it, but measure the processes that are started from then on, too.
    """
    tracing = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Leave the examples of property tests out of the coverage: the tests beside them measure the same lines."""
    with unmeasured() if item.get_closest_marker("hypothesis") else nullcontext():
        return (yield)


@pytest.fixture(scope="module")
def untraced() -> Iterator[None]:
    """Leave a module's tests out of the coverage, too: long work whose lines shorter tests measure."""
    with unmeasured():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the shared data sets; for tests marked ``real_data``."""
    return SHARED


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a private, empty home; the environment of child processes points there too."""
    for name in list(os.environ):
        if name.startswith("AIMASS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AIMASS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIMASS_DAGS_FOLDER", str(tmp_path / "dags"))
    return settings_module.load().ensure()


@pytest.fixture
def own_temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder for housekeeping in the future, where all that other tests run now is old."""
    from pipelines.housekeeping import leftovers

    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(leftovers, "SHORT", str(folder))
    monkeypatch.setattr(leftovers.tempfile, "gettempdir", lambda: str(folder))
    return folder


@pytest.fixture
def crowded_folder(tmp_path: Path) -> Path:
    """A project of somebody who has packages named like ours and like Airflow's."""
    for name in ("pipelines", "airflow", "aimass_airflow", "ray"):
        package = tmp_path / "crowded" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise SystemExit('this is the package of the current folder')\n")
    return tmp_path / "crowded"


@pytest.fixture
def make_night() -> Callable[..., Night]:
    """Build a night; keyword arguments go to its ModelSpec, ``as_of``, ``fence`` and ``night`` to the night."""

    def build(night: str = "manual__1", as_of: str = "2026-03-01T02:00:00", fence: int = 1, **model: Any) -> Night:
        fields = {"name": "demo", "task": "binary", "target": "label", "positive": "yes", **model}
        if fields["task"] != "binary":
            fields.pop("positive")
        moment = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
        return Night(model=ModelSpec(**fields), night=night, as_of=moment, fence=fence)

    return build


@pytest.fixture
def publish_stage(home: Settings) -> Callable[..., Artifact]:
    """Publish a staging folder as a stage's result and return it as an input."""

    def publish(stage: str, staging: Path, rows: int | None = None, **meta: Any) -> Artifact:
        uri = f"nights/demo/manual__1/{stage}-{len(list(home.storage.rglob('manifest.json')))}"
        target = storage.resolve(home, uri)
        digest = storage.publish(staging, target, stage=stage, rows=rows)
        return Artifact(ref=Ref(uri=uri, digest=digest, stage=stage, rows=rows, meta=meta), path=target)

    return publish
