"""What becomes of each stage is foretold by the key that the night itself asks by, and the night keeps to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chain import WIRES, Chain, write_small_source

from pipelines import settings as settings_module
from pipelines import stages
from pipelines.artifacts import Night
from pipelines.local.dag_file import Chain as Declarations
from pipelines.local.dag_file import Declared
from pipelines.planning.reuse import Fate, foresee
from pipelines.spec import ModelSpec

pytestmark = pytest.mark.slow

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
DATA = ("ingest", "sample", "clean", "split", "features")
AT = datetime(2026, 3, 2, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A home whose model had two nights, up to their features."""
    root = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIMASS_HOME", str(root / "home"))
        settings = settings_module.load(home=root / "home", dags_folder=root / "dags").ensure()
        write_small_source(root / "in.csv", 300)
        specs = {name: each.spec.model_dump(mode="json") for name, each in declared(root).stages.items()}
        for night in ("manual__1", "manual__2"):  # the first one finds the bounds of the seal, the second knows them
            chain = Chain(settings, MODEL, night, specs)
            chain.run_here(*DATA)
            chain.ledger.close_night("demo", night, "success")
        yield SimpleNamespace(root=root, settings=settings, ledger=chain.ledger)
        chain.ledger.close()


def declared(root: Path, **changed: dict[str, Any]) -> Declarations:
    found = {}
    for name in (*DATA, "tune", "register"):
        fields = {**({"source": str(root / "in.csv")} if name == "ingest" else {}), **changed.get(name, {})}
        inputs = dict(wire.split(":") for wire in WIRES[name])
        found[name] = Declared(stages.get(name).spec_class()(**fields), inputs, "heavy", "default")
    return Declarations(MODEL, found)


def fates(past: SimpleNamespace, **changed: dict[str, Any]) -> dict[str, Fate]:
    night = Night(model=MODEL, night="plan", as_of=AT)
    return foresee(past.settings, past.ledger, night, declared(past.root, **changed))


def test_what_has_not_changed_is_re_used_and_the_night_does_so(past: SimpleNamespace) -> None:
    before = {path: path.stat().st_mtime_ns for path in past.settings.storage.rglob("*")}
    found = fates(past)
    assert {path: path.stat().st_mtime_ns for path in past.settings.storage.rglob("*")} == before
    assert {name: fate.reused for name, fate in found.items()} == {
        **dict.fromkeys(DATA, True), "tune": False, "register": False,
    }  # fmt: skip
    assert found["clean"].why == "nothing has changed since manual__2"
    assert found["tune"].why == "it was never done"
    assert found["register"].why == "publishes, which every night does itself"
    ref = found["ingest"].ref
    assert ref is not None
    assert ref.rows == 300


def test_the_setting_that_changed_is_named_and_what_follows_is_made_anew(past: SimpleNamespace) -> None:
    found = fates(past, sample={"fraction": 0.5})
    assert found["ingest"].reused
    assert (found["sample"].reused, found["sample"].why) == (False, "fraction was 1.0 and is 0.5")
    assert found["clean"].why == "sample is made anew"
    assert found["features"].why == "clean and split are made anew"


def test_a_new_source_a_lost_result_and_a_missing_file_are_told(past: SimpleNamespace) -> None:
    source = past.root / "in.csv"
    kept = source.read_bytes()
    try:
        source.write_bytes(kept + b"9999,1.5,red,2026-01-01,yes\n")
        found = fates(past)
        assert found["ingest"].why == "what it reads besides its inputs has changed (files, suite, date)"
        source.unlink()
        assert fates(past)["ingest"].why.startswith("it cannot be told: no source file")
    finally:
        source.write_bytes(kept)
    ref = fates(past)["split"].ref
    assert ref is not None
    folder = past.settings.storage / ref.uri
    aside = folder.with_name("aside")
    shutil.move(folder, aside)
    try:
        assert fates(past)["split"].why == "nothing has changed since manual__2, but its result was tidied away"
    finally:
        shutil.move(aside, folder)


def test_other_code_and_another_lock_are_told(past: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.runner.environment_digest", lambda: "another")
    assert fates(past)["ingest"].why == "the lock of the environment has changed"
    monkeypatch.undo()
    monkeypatch.setattr("pipelines.runner.code_digest", lambda module: "another" if "sampling" in module else "x")
    assert fates(past)["ingest"].why == "its code has changed"
