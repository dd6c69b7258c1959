"""R3: the values of a source change overnight; hard rules stop the night with what was expected, soft ones warn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.artifacts import Artifact
from pipelines.errors import DataError
from pipelines.settings import Settings
from pipelines.storage import write_table
from pipelines.validation.spec import ValidateSpec
from pipelines.validation.stage import run
from pipelines.validation.suite import Hard, learn_nights, write_suite

pytestmark = pytest.mark.fault
ROWS = 1_500


def night(seed: int, change: str = "") -> pa.Table:
    """Return a cleaned night; ``change`` is what the source did to it."""
    draw = np.random.default_rng(seed)
    amount = draw.lognormal(4, 0.6, ROWS)
    opened = np.datetime64("2026-02-02T07:00", "us") + (
        draw.integers(0, 28, ROWS) * 86_400 + draw.integers(0, 10 * 3600, ROWS)
    ) * np.timedelta64(1, "s")
    closed = opened + draw.integers(60, 3 * 3600, ROWS) * np.timedelta64(1, "s")
    columns: dict[str, Any] = {
        "_key": [f"k{seed}-{n}" for n in range(ROWS)],
        "_time": pa.array(opened, pa.timestamp("us", "UTC")),
        "_sealed": [False] * ROWS,
        "_weight": [1.0] * ROWS,
        "_y": draw.choice(["yes", "no"], ROWS),
        "amount": pa.array(amount, mask=draw.random(ROWS) < (0.4 if change == "nulls" else 0.05)),
        "colour": draw.choice(["red", "green", "blue"], ROWS),
        "opened": opened,
        "closed": closed,
    }
    if change == "type":
        columns["amount"] = [f"{value:.2f} EUR" for value in amount]
    if change == "category":
        columns["colour"] = draw.choice(["red", "green", "mauve"], ROWS)
    if change == "unit":
        columns["amount"] = amount * 1000
    if change == "zone":
        columns["opened"] = opened + np.timedelta64(6, "h")
    if change == "dropped":
        del columns["colour"]
    if change == "label":
        columns["_y"] = draw.choice(["1", "0"], ROWS)
    return pa.table(columns)


@pytest.fixture
def validate(
    home: Settings, make_night: Any, publish_stage: Callable[..., Artifact], tmp_path: Path
) -> Callable[[str, Hard], dict[str, Any]]:
    def judged(change: str, hard: Hard) -> dict[str, Any]:
        suite = learn_nights("demo", [night(1), night(2)], unique_key=True, hard=hard)
        write_suite(suite, home.dags.parent / "expectations" / "demo")
        write_table(night(3, change), tmp_path / "in" / "cleaned")
        out = tmp_path / "out"
        out.mkdir()
        facts = {"night": make_night(), "settings": home, "out": out}
        run(ValidateSpec(docs=False), cleaned=publish_stage("clean", tmp_path / "in"), **facts)
        report: dict[str, Any] = json.loads((out / "report.json").read_text())
        return report

    return judged


EXPECTED = {
    "type": ("amount", '"type_": "float64"', "str"),
    "category": ("colour", '["blue", "green", "red"]', "'mauve'"),
    "unit": ("amount", "max_value", "% of values"),
    "nulls": ("amount", "mostly", "% of values"),
    "zone": ("opened", "column_times_of_day", "% of values"),
    "dropped": ("colour", "to_exist", "a breach"),
    "label": ("_y", '["no", "yes"]', "'1'"),
}


def test_an_ordinary_night_breaks_no_rule(validate: Callable[..., dict[str, Any]]) -> None:
    assert validate("", "all")["success"]


@pytest.mark.parametrize("change", EXPECTED)
def test_hard_rules_stop_the_night(validate: Callable[..., dict[str, Any]], change: str) -> None:
    with pytest.raises(DataError) as error:
        validate(change, "all")
    column, expected, seen = EXPECTED[change]
    said = [fault for fault in error.value.faults if f"'{column}'" in fault and expected in fault]
    assert said
    assert seen in said[0]
    assert error.value.cure


@pytest.mark.parametrize("change", ["category", "unit", "nulls", "zone"])
def test_soft_rules_warn(
    validate: Callable[..., dict[str, Any]], change: str, caplog: pytest.LogCaptureFixture
) -> None:
    report = validate(change, "structure")
    column, expected, seen = EXPECTED[change]
    assert not report["success"]
    assert report["hard_failed"] == []
    assert any(f"'{column}'" in line and expected in line and seen in line for line in report["soft_failed"])
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(f"column '{column}'" in line for line in warned)


@pytest.mark.parametrize("change", ["type", "dropped", "label"])
def test_a_table_that_is_of_no_use_stops_the_night_by_default(
    validate: Callable[..., dict[str, Any]], change: str
) -> None:
    with pytest.raises(DataError):
        validate(change, "structure")
