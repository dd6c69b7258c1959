"""Suites judge cleaned tables: soft rules warn, hard ones stop the night."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.artifacts import Artifact, Outcome
from pipelines.errors import DataError, SpecError
from pipelines.settings import Settings
from pipelines.storage import write_table
from pipelines.validation.spec import ValidateSpec
from pipelines.validation.stage import fingerprint, run
from pipelines.validation.suite import learn_suite, suite_text, write_suite

Validate = Callable[..., tuple[Outcome, Path]]


def cleaned(rows: int = 200, **columns: Any) -> pa.Table:
    days = [datetime(2026, 1, day + 1, tzinfo=UTC).replace(tzinfo=None) for day in range(28)]
    return pa.table(
        {
            "_key": [f"k{n}" for n in range(rows)],
            "_time": pa.nulls(rows, pa.timestamp("us", tz="UTC")),
            "_sealed": [False] * rows,
            "_weight": [1.0] * rows,
            "_y": ["yes" if n % 4 else "no" for n in range(rows)],
            "size / (m).1": [None if n % 9 == 0 else float(n) for n in range(rows)],
            "Colour": ["red" if n % 2 else "blue" for n in range(rows)],
            "when": pa.array([days[n % 28] for n in range(rows)], pa.timestamp("us")),
            "constant": [0.0] * rows,
            "nothing": pa.nulls(rows, pa.float64()),
            **columns,
        }
    )


@pytest.fixture
def validate(home: Settings, make_night: Any, publish_stage: Callable[..., Artifact], tmp_path: Path) -> Validate:
    def build(table: pa.Table, **spec: Any) -> tuple[Outcome, Path]:
        index = len(list(tmp_path.glob("out-*")))
        staging, out = tmp_path / f"in-{index}", tmp_path / f"out-{index}"
        write_table(table, staging / "cleaned")
        out.mkdir()
        artifact = publish_stage("clean", staging)
        return run(ValidateSpec(**spec), night=make_night(), settings=home, out=out, cleaned=artifact), out

    return build


@pytest.fixture
def suite_folder(home: Settings) -> Path:
    return home.dags.parent / "expectations" / "demo"


def test_a_learned_suite_holds_for_its_own_table(validate: Validate, suite_folder: Path, home: Settings) -> None:
    table = cleaned()
    write_suite(learn_suite("demo", table, unique_key=True), suite_folder)
    outcome, out = validate(table)
    report = json.loads((out / "report.json").read_text())
    counts = {"rules": outcome.stats["rules"], "rows": 200, "partitions": 1, "whole": []}
    assert report == {"success": True, "hard_failed": [], "soft_failed": [], **counts}
    assert sorted(path.name for path in out.iterdir()) == ["docs", "report.json"]
    for site in (out / "docs", home.docs / "demo"):
        assert "Data Docs" in (site / "index.html").read_text()


def test_learned_suites_are_soft_fixed_and_diffable(suite_folder: Path) -> None:
    suite = learn_suite("demo", cleaned())
    assert {rule["severity"] for rule in suite["expectations"]} == {"warning"}
    assert suite_text(suite) == suite_text(learn_suite("demo", cleaned()))
    wider = {rule["id"] for rule in learn_suite("demo", cleaned(400))["expectations"]}
    assert wider == {rule["id"] for rule in suite["expectations"]}
    assert len(wider) == len(suite["expectations"])
    assert {rule["id"] for rule in learn_suite("other", cleaned())["expectations"]}.isdisjoint(wider)


def test_soft_rules_warn(validate: Validate, suite_folder: Path) -> None:
    write_suite(learn_suite("demo", cleaned()), suite_folder)
    table = cleaned(50, Colour=["mauve"] * 50)
    outcome, out = validate(table, docs=False)
    report = json.loads((out / "report.json").read_text())
    assert outcome.stats["soft_failed"] == len(report["soft_failed"]) == 2
    assert not report["success"]
    assert not (out / "docs").exists()
    line = next(line for line in report["soft_failed"] if "Colour" in line)
    assert "'mauve'" in line
    assert "100.00 % of values" in line


def test_all_broken_hard_rules_are_named_and_shown(validate: Validate, suite_folder: Path, home: Settings) -> None:
    write_suite(learn_suite("demo", cleaned(), unique_key=True, hard=True), suite_folder)
    broken = cleaned(_key=["k"] * 200, _y=["perhaps"] * 200).drop_columns(["when"])
    with pytest.raises(DataError, match="break 4 hard rules") as error:
        validate(broken)
    named = " ".join(error.value.faults)
    assert all(text in named for text in ("'_key'", "unique", "'perhaps'", "column 'when'", "to_exist", "gone"))
    assert (home.docs / "demo" / "index.html").is_file()


def test_quantiles_can_be_judged(validate: Validate, suite_folder: Path) -> None:
    ranges = {"quantiles": [0.5], "value_ranges": [[90, 110]]}
    rule = {
        "type": "expect_column_quantile_values_to_be_between",
        "severity": "critical",
        "kwargs": {"column": "size / (m).1", "quantile_ranges": ranges},
    }
    write_suite({"name": "demo", "expectations": [rule], "meta": {}}, suite_folder)
    outcome, _ = validate(cleaned())
    assert outcome.stats == {"rules": 1, "soft_failed": 0}
    with pytest.raises(DataError, match="1 hard rule"):
        validate(cleaned(50))


def test_the_latest_docs_replace_the_older_ones(validate: Validate, suite_folder: Path, home: Settings) -> None:
    write_suite(learn_suite("demo", cleaned()), suite_folder)
    validate(cleaned())
    before = (home.docs / "demo").resolve()
    validate(cleaned())
    assert (home.docs / "demo").resolve() != before
    assert not before.exists()
    assert len(list(home.docs.iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "has no suite"),
        ("{", "cannot be read"),
        ('{"expectations": []}', "no rule"),
        ('{"name": "demo", "expectations": [{"type": "expect_magic", "kwargs": {}}]}', "cannot be read"),
    ],
)
def test_bad_suites_are_spec_errors(validate: Validate, suite_folder: Path, text: str | None, what: str) -> None:
    suite_folder.mkdir(parents=True)
    if text is not None:
        (suite_folder / "suite.json").write_text(text)
    with pytest.raises(SpecError, match=what) as error:
        validate(cleaned(), suite=str(suite_folder))
    assert error.value.cure


def test_an_edited_rule_is_judged_anew(home: Settings, make_night: Any, suite_folder: Path) -> None:
    write_suite(learn_suite("demo", cleaned()), suite_folder)
    before = fingerprint(ValidateSpec(), make_night(), home)
    write_suite(learn_suite("demo", cleaned(), hard=True), suite_folder)
    assert fingerprint(ValidateSpec(), make_night(), home) != before
