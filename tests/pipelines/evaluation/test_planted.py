"""Planted bad models: each is refused, with its own reason. Permuted labels score as chance (R8, the gate's part)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import judging
import learning
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines import settings as settings_module
from pipelines.algorithms.training_data import Columns
from pipelines.artifacts import Artifact, Night, Outcome
from pipelines.errors import DeployError, GateError
from pipelines.inference.manifest import write_manifest
from pipelines.row_hash import TRAINING_KEYS, key_hash, save_keys
from pipelines.secret_files import signing_key
from pipelines.settings import Settings
from pipelines.splitting import spec as splitting
from pipelines.splitting.spec import SplitSpec
from pipelines.storage import read_table

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.usefixtures("untraced")]
NIGHT = learning.make_night()
FULL = os.environ.get("AIMASS_FULL") == "1"
SEEDS = range(20 if FULL else 6)


class World:
    """Data of one night, a good version of it that may be live, and planted ones."""

    def __init__(self, root: Path, settings: Settings, raw: pa.Table, night: Night = NIGHT, **good: Any) -> None:
        self.root, self.settings, self.count, self.night = root, settings, 0, night
        self.stages = learning.data_stages(root, settings, night, raw)
        self.good = self.made(**good)

    def made(self, **planted: Any) -> Artifact:
        self.count += 1
        return judging.made(self.root / f"made-{self.count}", self.settings, self.stages, self.night, **planted)

    def judge(
        self, candidate: Artifact, *, alone: bool = False, night: Any = None, live: Artifact | None = None, **given: Any
    ) -> Outcome:
        self.count += 1
        champion = None if alone else judging.live(live or self.good, 3, self.night, **given.pop("known", {}))
        folder = self.root / f"judged-{self.count}"
        tonight = night or self.night
        return judging.judge(folder, self.settings, self.stages, tonight, candidate, champion=champion, **given)

    def written(self, name: str, plain: bool = False) -> Any:
        """Read a file of the newest judgement."""
        text = (self.root / f"judged-{self.count}" / name).read_text()
        return text if plain else json.loads(text)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_module.load(home=tmp_path_factory.mktemp("home"), cores=2).ensure()


@pytest.fixture(scope="module")
def world(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), settings, learning.raw_table(rows=3000))


def shuffled(seed: int) -> Callable[[Columns], np.ndarray]:
    return lambda columns: np.asarray(np.random.default_rng(seed).permutation(columns.y))


def test_a_good_model_passes_alone_and_against_itself(world: World) -> None:
    assert world.judge(world.good, alone=True).meta["verdict"] == "promoted"
    assert world.judge(world.good).meta["verdict"] == "promoted"


def test_shuffled_labels(world: World) -> None:
    planted = world.made(labels=shuffled(0))
    kept = world.judge(planted).meta
    assert kept["verdict"] == "kept"
    assert "by more than the margin" in kept["sentence"]
    assert refused_alone(world, planted)
    lucky = world.judge(planted, alone=True).meta
    assert lucky["baseline_lower_bound"] > 0  # the permutation lies with the truth: sure, and yet nothing
    assert "a linear model with default settings reaches 0.9" in lucky["sentence"]


def refused_alone(world: World, planted: Artifact) -> bool:
    """Whether it is unfit, or kept out of service: by luck a model of nothing beats a constant."""
    try:
        alone = world.judge(planted, alone=True).meta
    except GateError as error:
        return "not better than the baseline" in error.what
    return alone["verdict"] == "kept" and alone["sentence"].startswith("Kept out of service:")


def test_permuted_labels_score_as_chance_and_none_is_promoted(world: World) -> None:
    """Labels that mean nothing, learned for real: the mean over seeds lies within three standard errors of one half."""
    scores = []
    for seed in SEEDS:
        planted = world.made(labels=shuffled(seed))
        verdict = world.judge(planted).meta
        assert verdict["verdict"] == "kept"
        scores.append(verdict["score"])
    error = np.std(scores, ddof=1) / len(scores) ** 0.5
    assert abs(np.mean(scores) - 0.5) < 3.0 * error, scores


def leaking(rows: int = 1500) -> pa.Table:
    raw = learning.raw_table(rows=rows)
    label = [text.as_py().strip() for text in raw["label"]]
    noise = np.random.default_rng(0).normal(scale=0.2, size=rows)
    values = [f"{(text == 'yes') + extra:.4f}" for text, extra in zip(label, noise, strict=True)]
    return raw.append_column("outcome", pa.array(values))


def test_leaked(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The column reveals the target with an area of 0.9998, and split is set to let it through."""
    monkeypatch.setattr(splitting, "SplitSpec", lambda: SplitSpec(leaks="off"))
    world = World(tmp_path, settings, leaking())
    with pytest.raises(GateError, match="one column reveals the target") as caught:
        world.judge(world.good, alone=True)
    assert caught.value.where == "outcome"
    assert world.judge(world.good, alone=True, leaks_allowed=("outcome",)).meta["verdict"] == "promoted"
    assert (
        "too good to be believed"
        in world.judge(world.good, alone=True, leaks_allowed=("outcome",), ceiling=0.99).meta["sentence"]
    )


def test_trained_on_sealed_rows(world: World) -> None:
    planted = world.made()
    sealed = read_table(world.stages["split"].path / "sealed", ["_key"])["_key"]
    save_keys(planted.path / "model" / TRAINING_KEYS, key_hash(sealed, 0))
    write_manifest(planted.path / "model", signing_key(world.settings).read_bytes())
    with pytest.raises(GateError, match="the model trained on sealed rows"):
        world.judge(planted)


def test_stale(world: World) -> None:
    """A night of long ago, and a night of today whose newest row is older than what the live version knew."""
    old = NIGHT.model_copy(update={"as_of": NIGHT.as_of - timedelta(days=30)})
    found = world.judge(world.good, night=old).meta
    assert found["verdict"] == "kept"
    assert "older than version 3" in found["sentence"]


def test_truncated_data(world: World) -> None:
    """The same model, as good on the sealed rows, but the live version was trained on three times as many."""
    found = world.judge(world.good, known={"rows_trained": 9_000}).meta
    assert found["verdict"] == "kept"
    assert "it was trained on 2700 rows, version 3 on 9000" in found["sentence"]
    few = world.made(rows=lambda columns: np.arange(len(columns.y)) < 60)
    assert world.judge(few).meta["verdict"] == "kept"


def test_truncated_file(world: World) -> None:
    planted = world.made()
    (member,) = (planted.path / "model" / "members").iterdir()
    member.write_bytes(member.read_bytes()[: member.stat().st_size // 2])
    with pytest.raises(DeployError):
        world.judge(planted)


def test_constant(world: World) -> None:
    def flatten(member: Any) -> None:
        member.coefficients = member.coefficients * 0.0

    planted = world.made(name="linear", spoil=flatten)
    kept = world.judge(planted).meta
    assert kept["verdict"] == "kept"
    assert "its predictions are the same for every row" in kept["reasons"]
    with pytest.raises(GateError, match="not better than the baseline") as caught:
        world.judge(planted, alone=True)
    assert caught.value.faults == ["its predictions are the same for every row"]


def test_not_a_number(world: World) -> None:
    def spoil(member: Any) -> None:
        member.intercept = member.intercept * np.nan

    with pytest.raises(GateError, match="not finite") as caught:
        world.judge(world.made(name="linear", spoil=spoil))
    assert caught.value.seen == "300 of 300 rows"


def test_bad_in_one_slice(world: World) -> None:
    """As good on the whole, but its labels were shuffled where c is level 2."""

    def partly(columns: Columns) -> np.ndarray:
        # codes are given in order of frequency: the slice is found by what the labels say, not by the code's number
        rng, y = np.random.default_rng(0), columns.y.copy()
        code = columns.X[:, columns.features.index("c")]
        best = max(np.unique(code[code >= 0]), key=lambda value: float(y[code == value].mean()))
        where = np.flatnonzero(code == best)
        y[where] = rng.permutation(y[where])
        return y

    found = world.judge(world.made(labels=partly), slices=("c",), slice_rows=30, slice_margin=0.02, margin=0.5).meta
    assert found["verdict"] == "kept"
    assert "where c is level 2" in found["sentence"]


@pytest.fixture(scope="module")
def forgetful(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    """A world of three classes, and a night of it whose training rows lack the class c; its sealed rows have it."""
    raw, night = learning.raw_table("multiclass", rows=1500), learning.make_night("multiclass")
    gone = pc.and_(pc.equal(pc.utf8_trim_whitespace(raw["label"]), "c"), pc.invert(raw["_sealed"]))
    before, tonight = (tmp_path_factory.mktemp(name) for name in ("before", "tonight"))
    few = raw.filter(pc.invert(gone))
    return World(before, settings, raw, night, name="linear"), World(tonight, settings, few, night, name="linear")


def lost_rows(forgetful: tuple[World, World]) -> int:
    sealed = read_table(forgetful[1].stages["split"].path / "sealed", ["_y"])["_y"].to_pylist()
    assert sealed.count("c") > 30
    return sealed.count("c")


@pytest.mark.parametrize("explain_rows", [0, 200])
def test_a_lost_class_is_paid_for(forgetful: tuple[World, World], explain_rows: int) -> None:
    """Judged in its own classes alone it would look as good as the champion on the rows of class c."""
    before, tonight = forgetful
    found = tonight.judge(tonight.good, live=before.good, explain_rows=explain_rows, fairness=("c",), plots=True).meta
    count = lost_rows(forgetful)
    lost = f"c ({count} rows)"
    assert (found["lost_classes"], found["rows"]) == ([lost], 150)
    assert found["verdict"] == "kept"
    assert found["reasons"] == ["it may be worse than version 3 by more than the margin"]
    assert f"it lost classes that an earlier version knows: {lost}" in found["sentence"]
    assert found["improvement"] < -1.0, "log loss: 16 for each row of the class"
    scores, classes = tonight.written("metrics.json"), tonight.written("details.json")["classes"]
    assert scores["champion"]["accuracy"] > scores["model"]["accuracy"] + 0.2
    assert scores["champion"]["macro_f1"] > scores["model"]["macro_f1"] + 0.2
    assert [entry["class"] for entry in classes] == ["a", "b", "c"]
    assert (classes[2]["rows"], classes[2]["recall"], classes[2]["roc_auc"]) == (count, 0.0, 0.5)
    assert set(tonight.written("reference.json")["(prediction)"]) == {"kind", "edges", "shares"}, "of its own classes"


def test_a_new_class_is_no_lost_one(forgetful: tuple[World, World]) -> None:
    before, tonight = forgetful
    found = before.judge(before.good, live=tonight.good).meta
    assert (found["verdict"], found["lost_classes"]) == ("promoted", [])
    assert found["improvement"] > 1.0


def test_rows_of_a_class_that_nobody_knows_are_left_out(forgetful: tuple[World, World]) -> None:
    _, tonight = forgetful
    found = tonight.judge(tonight.good).meta
    assert (found["verdict"], found["improvement"], found["lost_classes"]) == ("promoted", 0.0, [])
    assert found["rows"] == 150 - lost_rows(forgetful)
    assert [entry["class"] for entry in tonight.written("details.json")["classes"]] == ["a", "b"]


def test_rows_of_many_days_are_paired_by_day(settings: Settings, tmp_path: Path) -> None:
    raw = learning.raw_table(rows=1500)
    days = [86_400_000_000 * (20_000 + row // 120) for row in range(1500)]
    dated = raw.set_column(raw.column_names.index("_time"), "_time", pa.array(days, pa.timestamp("us", "UTC")))
    world = World(tmp_path, settings, dated)
    weak = world.made(rows=lambda columns: np.arange(len(columns.y)) < 200)
    found = world.judge(weak, slices=("c",), slice_rows=10).meta
    assert (found["test"], found["days"]) == ("days", 13)
    assert "150 rows paired by day (13 days)" in found["sentence"]
    assert "paired by day (bootstrap of 13 days)" in world.written("card.html", plain=True)
    assert world.judge(world.good, test="delong").meta["days"] is None


def test_rows_sealed_by_group_are_paired_by_group(settings: Settings, tmp_path: Path) -> None:
    """A version that was sealed by key trained on their like, and on themselves: it is not compared."""
    raw = learning.raw_table(rows=1500)
    sealed = [number % 12 == 5 for number in range(1500)]
    raw = raw.set_column(raw.column_names.index("_sealed"), "_sealed", pa.array(sealed))
    raw = raw.append_column("_group", pa.array([f"g{number % 12}-{number // 150}" for number in range(1500)]))
    world = World(tmp_path, settings, raw)
    split = world.stages["split"]
    assert "_group" not in read_table(world.stages["features"].path / "train").column_names
    meta = {**split.ref.meta, "sealed_by": ["who"]}
    world.stages["split"] = Artifact(ref=split.ref.model_copy(update={"meta": meta}), path=split.path)
    alone = world.judge(world.good, alone=True).meta
    assert (alone["sealed_by"], alone["test"], alone["groups"], alone["days"]) == (["who"], "groups", 10, None)
    assert "125 rows paired by group (10 groups)" in alone["sentence"]
    assert "paired by group (bootstrap of 10 groups)" in world.written("card.html", plain=True)
    known = read_table(split.path / "sealed", ["_key"])["_key"]
    older = world.made()
    save_keys(older.path / "model" / TRAINING_KEYS, key_hash(known, 0))
    write_manifest(older.path / "model", signing_key(settings).read_bytes())
    found = world.judge(world.good, live=older).meta
    assert "was sealed by another group" in found["champion_unfit"]
    assert (found["verdict"], found["champion_score"]) == ("promoted", None)
    alike = world.judge(world.good, known={"sealed_by": ["who"]}).meta
    assert (alike["champion_unfit"], alike["improvement"]) == (None, 0.0)


def test_too_large_and_too_slow(world: World) -> None:
    found = world.judge(world.good, max_megabytes=0.001, max_row_ms=1e-6).meta
    assert found["verdict"] == "kept"
    assert len(found["reasons"]) == 2
    assert found["row_ms"] > 0


def test_slid_below_the_best_ever(world: World) -> None:
    """Just as good as the live version, which itself is far below the best one."""
    weak = world.made(rows=lambda columns: np.arange(len(columns.y)) < 200)
    found = judging.judge(
        world.root / "slid",
        world.settings,
        world.stages,
        NIGHT,
        weak,
        champion=judging.live(weak, 9, NIGHT),
        anchor=judging.live(world.good, 3, NIGHT),
    ).meta
    assert found["verdict"] == "kept"
    assert "below version 3, the best that ever was live" in found["sentence"]
    assert json.loads((world.root / "slid" / "verdict.json").read_text())["anchor_improvement"] < -0.01
