"""`aimass why`: what changed between two versions, and what the score's change comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines import storage
from pipelines.artifacts import Night
from pipelines.cli.compare_versions import lines_of, why
from pipelines.cli.main import app
from pipelines.cli.rescore import on_tonights_rows
from pipelines.errors import SpecError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
Make = Callable[..., None]


@pytest.fixture
def ledger(home: Settings) -> Ledger:
    return Ledger.open(home)


@pytest.fixture
def version(home: Settings, ledger: Ledger) -> Make:
    """Record a night with a version."""

    def make(
        number: int,
        score: float = 0.8,
        same: float | None = None,
        *,
        data: str = "d1",
        rows: int = 1000,
        trials: int = 20,
        seed: int = 0,
        code: str = "c1",
        shift: float = 0.0,
        columns: tuple[str, ...] = ("x", "y"),
        detectable: float | None = None,
        made: bool = True,
    ) -> None:
        model = MODEL.model_copy(update={"seed": seed})
        night = Night(model=model, night=f"n{number}", as_of=datetime(2026, 3, number, tzinfo=UTC))
        ledger.open_night(night, "local")
        draw = np.random.default_rng(number)
        folder = home.storage / f"nights/demo/n{number}/split"
        train = {name: draw.normal(shift if name == "x" else 0.0, 1.0, rows) for name in columns}
        storage.write_table(pa.table({"_key": [str(index) for index in range(rows)], **train}), folder / "train")
        meta = {"tune": {"trials": trials, "best": {"family": "linear"}}, "ensemble": {"kind": "single", "members": 1}}
        for stage in ("ingest", "sample", "split", "tune", "ensemble"):
            fence = ledger.begin_stage("demo", night.night, stage, {"trials": trials} if stage == "tune" else {"a": 1})
            digest = f"{stage} {data}" if stage in ("ingest", "sample", "split") else f"{stage} {number}"
            uri = f"nights/demo/n{number}/{stage}"
            ref = {"uri": uri, "digest": digest, "stage": stage, "meta": meta.get(stage, {})}
            of = {"model": model.model_dump(mode="json"), "code": code if stage == "tune" else "c", "environment": "e"}
            ledger.finish_stage(
                "demo", night.night, stage, fence, state="done", ref=ref, rows=rows, made_of=of if made else None
            )
        ledger.reserve("demo", night.night, fence)
        assert ledger.assign_version("demo", night.night, fence) == number
        verdict = {"champion_version": number - 1, "champion_score": same, "detectable": detectable}
        ledger.advance(
            "demo",
            night.night,
            fence,
            state="registered",
            metric="roc_auc",
            score=score,
            as_of=night.as_of,
            verdict=verdict,
        )

    return make


def told(home: Settings, ledger: Ledger, **options: Any) -> dict[str, Any]:
    return why(home, ledger, "demo", options.get("version"), options.get("against"))


def test_only_the_data_changed(home: Settings, ledger: Ledger, version: Make) -> None:
    version(1, 0.80)
    version(2, 0.83, 0.81, data="d2", rows=1200, shift=1.5, columns=("x", "y", "z"))
    facts = told(home, ledger)
    assert facts["causes"] == ["data"]
    assert facts["data"]["stages"] == {"ingest": [1000, 1200], "sample": [1000, 1200], "split": [1000, 1200]}
    assert facts["data"]["columns"] == {"added": ["z"], "removed": []}
    assert list(facts["data"]["drift"]) == ["x"]
    assert (facts["score"]["model"], facts["score"]["rows"]) == (pytest.approx(0.02), pytest.approx(0.01))
    assert facts["sentence"] == (
        "only data changed and so explains the model's part: of the change in roc_auc (+0.03, above 0 is better) "
        "the model makes +0.02 and other sealed rows +0.01."
    )
    text = "\n".join(lines_of(facts))
    assert "demo version 2 (2026-03-02) against version 1 (2026-03-01)" in text
    assert "seed         same" in text
    assert "code         same" in text


def test_parameters_seed_and_code_are_told_apart(home: Settings, ledger: Ledger, version: Make) -> None:
    version(1, 0.80)
    version(2, 0.82, 0.80, trials=40, seed=7, code="c2")
    facts = told(home, ledger)
    assert facts["causes"] == ["parameters", "seed", "code"]
    assert facts["parameters"] == {"tune.trials": [20, 40]}
    assert facts["seed"] == [0, 7]
    assert (facts["code"], facts["environment"]) == (["tune"], [])
    assert facts["search"] == {"trials": [20, 40]}
    assert "parameters, seed and code changed, and share the model's part" in facts["sentence"]
    text = "\n".join(lines_of(facts))
    for part in ("tune.trials: 20 -> 40", "seed         0 -> 7", "code         changed: tune", "data         same"):
        assert part in text


def test_nothing_changed_and_chance(home: Settings, ledger: Ledger, version: Make) -> None:
    version(1, 0.80)
    version(2, 0.80, 0.80)
    assert "nothing that is recorded changed: the versions are equal" in told(home, ledger)["sentence"]
    version(3, 0.801, 0.80, seed=1, detectable=0.01)
    assert "within the noise of these rows (below 0.01)" in told(home, ledger)["sentence"]


def test_versions_are_chosen_and_old_nights_are_unknown(home: Settings, ledger: Ledger, version: Make) -> None:
    version(1, made=False)
    with pytest.raises(SpecError, match="no two versions"):
        told(home, ledger)
    version(2)
    version(3, trials=30)
    assert told(home, ledger, version=2)["code"] is None
    assert "code         unknown" in "\n".join(lines_of(told(home, ledger, version=2)))
    far = told(home, ledger, version=3, against=1)
    assert (far["against"]["version"], far["score"]["same_rows"]) == (1, None)
    assert "were not scored on the same rows" in far["sentence"]
    for wrong in ({"version": 9}, {"against": 9}, {"version": 1}, {"version": 2, "against": 2}):
        with pytest.raises(SpecError, match="no two versions"):
            told(home, ledger, **wrong)


@pytest.mark.usefixtures("home")
def test_the_command(version: Make, capfd: pytest.CaptureFixture[str]) -> None:
    version(1)
    version(2, 0.7, 0.75, trials=1)
    assert CliRunner().invoke(app, ["why", "demo"]).exit_code == 0
    assert "Only parameters changed" in capfd.readouterr().out
    assert CliRunner().invoke(app, ["why", "demo", "--json"]).exit_code == 0
    assert json.loads(capfd.readouterr().out)["score"]["model"] == pytest.approx(-0.05)
    assert CliRunner().invoke(app, ["why", "demo", "--against", "8"]).exit_code == 2


def test_the_version_before_is_scored_on_tonights_rows(home: Settings, tiny: ModuleType) -> None:
    for name in ("old", "new"):
        tiny.make_model_dir(home.storage / "models" / name, home, seed=0 if name == "old" else 3)
    plan = ModelDirectory(home.storage / "models" / "old", "").plan
    raw = tiny.rows(200, seed=4)
    clean = plan.recipe.apply(plan.enrichment.apply(raw))[0]
    label = np.where(raw["age"] > 50, "yes", "no")
    sealed = clean.assign(_key=raw["id"].astype(str), _y=label)
    storage.write_table(pa.Table.from_pandas(sealed, preserve_index=False), home.storage / "split" / "sealed")
    stages = {"split": SimpleNamespace(ref={"uri": "split"})}
    before, after = (SimpleNamespace(model_uri=f"models/{name}", metric="roc_auc") for name in ("old", "new"))
    score = on_tonights_rows(home, before, after, stages)
    assert score is not None
    assert 0.0 < score < 1.0
    assert on_tonights_rows(home, before, SimpleNamespace(model_uri="models/gone"), stages) is None
    assert on_tonights_rows(home, before, after, {}) is None


def test_of_an_imported_version_nothing_is_claimed(home: Settings, ledger: Ledger, version: Make) -> None:
    version(1)
    night = Night(model=MODEL, night="import__2026", as_of=datetime(2026, 3, 2, tzinfo=UTC))
    ledger.open_night(night, "import")
    ledger.reserve("demo", night.night, 1)
    ledger.assign_version("demo", night.night, 1)
    verdict = {"verdict": "kept", "imported": {"file": "m.onnx"}}
    ledger.advance("demo", night.night, 1, state="registered", metric="roc_auc", verdict=verdict)
    facts = why(home, ledger, "demo", None, None)
    told = "\n".join(lines_of(facts))
    assert facts["imported"] == [2]
    assert facts["seed"] is None
    assert "same " not in told.replace("same sealed rows", "")
    assert told.count("unknown") == 5  # data, parameters, seed, code, environment
    assert told.endswith("version 2 came from elsewhere by aimass import.")
