"""R9: tables generated from a schema go through clean, split, features and a small fit; nothing ends untyped."""

from __future__ import annotations

import os
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import storage
from pipelines.algorithms import families
from pipelines.algorithms.base import FitContext
from pipelines.algorithms.training_data import load_columns
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.cleaning import stage as clean_stage
from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import AimassError
from pipelines.features import stage as features_stage
from pipelines.features.spec import FeatureSpec
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.settings import Settings
from pipelines.splitting import stage as split_stage
from pipelines.splitting.spec import SplitSpec

FULL = os.environ.get("AIMASS_FULL") == "1"
TABLES = 500 if FULL else 25
NAMES = (
    "a",
    "A",
    "a.b",
    "a=b",
    "größe (m²)",
    'qu"ote',
    "day",
    "a/b",
    "a*b",
    "a.frequency",
    "名前",
    "-",
    "x y",
    "select",
)
WORDS = (
    "red",
    "Red ",
    "grün",
    "",
    "?",
    "nan",
    "-1",
    "007",
    "1.0",
    "true",
    "\u3000",
    "a" * 300,
    "it's",
    '"',
    "b\nc",
    "👍",
)
Values = Callable[[np.random.Generator, int], list[str | None]]


def numbers(random: np.random.Generator, n: int) -> list[str | None]:
    return [repr(float(x)) for x in random.normal(size=n) * 10.0 ** random.integers(-5, 6)]


def whole(random: np.random.Generator, n: int) -> list[str | None]:
    return [str(x) for x in random.integers(-3, random.integers(2, 10**6), n)]


def extreme(random: np.random.Generator, n: int) -> list[str | None]:
    return [str(x) for x in random.choice(["1e308", "-1e308", "1e-320", "0", "-0", "99999999999999999999"], n)]


def constant(random: np.random.Generator, n: int) -> list[str | None]:
    return [str(random.choice(["3", "x", "2020-01-01", ""]))] * n


def few(random: np.random.Generator, n: int) -> list[str | None]:
    return [str(x) for x in random.choice(WORDS[: random.integers(1, len(WORDS))], n)]


def many(random: np.random.Generator, n: int) -> list[str | None]:
    return [f"k{x}" for x in random.integers(0, max(2, n // 2), n)]


def free_text(random: np.random.Generator, n: int) -> list[str | None]:
    return [" ".join(random.choice(["late", "order", "ÄRGER", "a-b", "42"], random.integers(1, 9))) for _ in range(n)]


def identifiers(random: np.random.Generator, n: int) -> list[str | None]:
    return [f"id-{index}" for index in range(n)]


def dates(random: np.random.Generator, n: int) -> list[str | None]:
    span = 10 ** random.integers(9, 16)
    moments = random.integers(-span, span, n).astype("datetime64[us]").astype("datetime64[s]")
    form = random.integers(3)
    days = [str(moment) for moment in moments]
    return [day if form == 0 else day[:10] if form == 1 else f"{day[8:10]}.{day[5:7]}.{day[:4]}" for day in days]


def junk(random: np.random.Generator, n: int) -> list[str | None]:
    return [str(random.choice(["1", "x", "2020-01-01", "true", "1e999", "NaN", "?"])) for _ in range(n)]


def nothing(random: np.random.Generator, n: int) -> list[str | None]:
    return [None] * n


KINDS: tuple[Values, ...] = (
    numbers,
    numbers,
    whole,
    extreme,
    constant,
    few,
    few,
    many,
    free_text,
    identifiers,
    dates,
    junk,
    nothing,
)
TASKS = {"binary": ["yes", "no"], "multiclass": ["a", "b", "c"], "regression": None}


def generate(seed: int) -> tuple[pa.Table, dict[str, Any]]:
    """Return a sampled table and the fields of its model."""
    random = np.random.default_rng(seed)
    n = int(random.choice([0, 1, 2, 30, 90, 400], p=[0.03, 0.03, 0.04, 0.2, 0.4, 0.3]))
    names = random.permutation(NAMES)[: random.integers(1, 9)].tolist()
    columns: dict[str, Any] = {}
    for name in names:
        values = random.choice(np.array(KINDS, dtype=object))(random, n)
        share = random.choice([0.0, 0.1, 0.9], p=[0.5, 0.4, 0.1])
        gone = random.random(n) < share
        values = [None if gap else value for value, gap in zip(values, gone, strict=True)]
        columns[name] = pa.array(values, pa.string())
    task = str(random.choice(list(TASKS)))
    labels = TASKS[task]
    target = numbers(random, n) if labels is None else [str(x) for x in random.choice(labels, n)]
    columns["label"] = pa.array([None if random.random() < 0.02 else label for label in target], pa.string())
    stamps = {
        "_key": pa.array([str(index) for index in range(n)], pa.string()),
        "_time": pa.nulls(n, pa.timestamp("us", "UTC")),
        "_sealed": pa.array(random.random(n) < 0.2, pa.bool_()),
        "_weight": pa.array(random.choice([1.0, 2.5], n), pa.float64()),
    }
    if seed % 4 > 1:
        hours = random.integers(0, 90 * 24, n) * 3_600_000_000
        stamps["_time"] = pa.array(hours, pa.timestamp("us", "UTC"))
    model = {"task": task, **({"positive": "yes"} if task == "binary" else {})}
    return pa.table({**columns, **stamps}), model


STEPS: dict[str, tuple[dict[str, Any], ...]] = {
    "number": (
        {"kind": "impute", "indicator": True},
        {"kind": "clip"},
        {"kind": "standardise"},
        {"kind": "min_max"},
        {"kind": "robust"},
        {"kind": "quantile", "to": "normal"},
        {"kind": "power"},
        {"kind": "bin", "how": "uniform"},
    ),
    "category": (
        {"kind": "rare_group", "min_share": 0.1},
        {"kind": "one_hot"},
        {"kind": "frequency"},
        {"kind": "hashing", "buckets": 5},
        {"kind": "target_encode"},
        {"kind": "hashed_text", "buckets": 4, "of": "characters", "ngrams": (2, 3)},
        {"kind": "text_length"},
        {"kind": "codes"},
    ),
    "date": ({"kind": "date_parts"}, {"kind": "cycles"}),
}
LAST: tuple[dict[str, Any], ...] = (
    {"kind": "pca", "components": 2},
    {"kind": "svd", "components": 1, "keep": True},
    {"kind": "select", "by": "variance"},
    {"kind": "select", "by": "correlation"},
    {"kind": "select", "by": "mutual_information", "most": 5},
    {"kind": "select", "by": "shadow"},
)


def steps_for(random: np.random.Generator, recipe: Any) -> list[dict[str, Any]]:
    """Choose steps for some of the columns; a wrong one now and then."""
    steps = []
    for column in recipe.kept:
        for step in random.permutation(np.array(STEPS[column.kind], dtype=object))[: random.integers(0, 4)]:
            steps.append({**step, "columns": (column.name,)})
    by_kind = [[c.name for c in recipe.kept if c.kind == kind] for kind in ("number", "category")]
    if len(by_kind[0]) > 1:
        steps.append({"kind": "ratio", "numerator": by_kind[0][0], "denominator": by_kind[0][1]})
    if len(by_kind[1]) > 1:
        steps.append({"kind": "cross", "columns": tuple(by_kind[1][:2])})
    if random.random() < 0.1:
        steps.append({"kind": "standardise", "columns": ("nowhere",)})
    return steps + several(random, *by_kind, [c.name for c in recipe.kept if c.kind == "date"])


def several(
    random: np.random.Generator, numbers: list[str], texts: list[str], dates: list[str]
) -> list[dict[str, Any]]:
    """Choose steps that read several columns, the past or many features."""
    steps: list[dict[str, Any]] = []
    if len(numbers) > 1:
        steps.append({"kind": "difference", "left": numbers[1], "right": numbers[0]})
    if texts:
        steps.append({"kind": "ordinal", "columns": texts[:1], "order": WORDS[:3]})
        steps.append({"kind": "target_encode", "columns": (*texts, *numbers)[:2], "together": True})
        past = {"entity": texts[:1], "delay_hours": float(random.choice([0.0, 24.0]))}
        if numbers and random.random() < 0.5:
            steps.append({"kind": "lag", "value": numbers[0], **past})
            steps.append({"kind": "rolling", "value": numbers[-1], "how": ("mean", "sum", "std", "min"), **past})
        if random.random() < 0.3:
            steps.append({"kind": "rolling", "value": "label", "how": ("mean", "sum"), "window_days": 30.0, **past})
    if dates:
        steps.append({"kind": "age", "columns": dates[:1], "until": dates[-1]})
    return [step for step in steps if random.random() < 0.5] + [step for step in LAST if random.random() < 0.08]


def through(table: pa.Table, night: Night, home: Settings, folder: Path, seed: int) -> None:
    """Run the stages and a small fit, and compare batch with single rows."""
    folder.mkdir()
    storage.write_table(table, folder / "in" / "sampled")

    def call(stage: Any, name: str, spec: Any, **inputs: Artifact) -> Artifact:
        (folder / name).mkdir()
        stage.run(spec, night=night, settings=home, out=folder / name, **inputs)
        return artifact(folder / name)

    cleaned = call(clean_stage, "clean", CleanSpec(), sampled=artifact(folder / "in"))
    split = call(split_stage, "split", SplitSpec(folds=3), cleaned=cleaned)
    random = np.random.default_rng(seed + 10**6)
    recipe = features_stage.RowRecipe.from_json((cleaned.path / "recipe.json").read_bytes())
    steps = tuple(steps_for(random, recipe)) if seed % 2 else ()
    spec = FeatureSpec(steps=steps, auto=seed % 5 > 0, drop_unique_text=seed % 3 > 0)
    call(features_stage, "features", spec, split=split, cleaned=cleaned)
    columns = load_columns(folder / "features", night.model)
    assert not np.isinf(columns.X).any()
    family = families.family("lightgbm")
    params = {**family.portfolio(columns.shape)[0], "iterations": 5}
    fitted = family.fit(params, columns.whole(), None, columns.shape, FitContext())
    assert np.isfinite(fitted.predict(columns.X)).all()
    plan = FeaturePlan.load(folder / "features" / "plan")
    raw = storage.read_table(folder / "clean" / "examples").to_pandas().iloc[:5]
    used = plan.recipe.subset(plan.sources)
    singly = [plan.transform_row(used.apply_row(row)) for row in raw.to_dict("records")]
    np.testing.assert_array_equal(plan.transform(used.apply(raw)[0]), np.array(singly).reshape(len(raw), -1))


def artifact(path: Path) -> Artifact:
    return Artifact(ref=Ref(uri="x", digest="d", stage="s"), path=path)


@pytest.mark.fault
def test_generated_tables_end_well_or_with_a_typed_error(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night]
) -> None:
    ends: Counter[str] = Counter()
    crashes = []
    for seed in range(TABLES):
        table, model = generate(seed)
        folder = tmp_path / "run"
        try:
            through(table, make_night(**model), home, folder, seed)
            ends["done"] += 1
        except AimassError as error:
            ends[error.kind] += 1
        except Exception as error:  # noqa: BLE001 - every table is tried, whatever becomes of one
            crashes.append(
                f"table {seed}: {type(error).__name__}: {error}, {traceback.format_tb(error.__traceback__)[-1]}"
            )
        shutil.rmtree(folder)
    print(dict(ends))
    assert crashes == []
    assert ends["done"] >= TABLES * 0.5
    assert not list(home.staging.glob("features-scratch-*"))
