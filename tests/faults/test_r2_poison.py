"""R2: poison rows of 13 kinds at 0.1, 1 and 5 %: quarantine equals the injected set exactly."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from adult import COLUMNS as ADULT
from poison import LINE, Targets, kinds, poison, stamped

from pipelines import storage
from pipelines.artifacts import Artifact, Night
from pipelines.cleaning import stage
from pipelines.cleaning.spec import CleanSpec, Outliers
from pipelines.errors import DataError
from pipelines.settings import Settings

pytestmark = pytest.mark.fault
FULL = os.environ.get("AIMASS_FULL") == "1"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run_clean(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night], publish_stage: Callable[..., Artifact]
) -> Run:
    """Clean a table of texts; return the report with the ``held`` lines and their reasons."""

    def run(frame: pd.DataFrame, spec: CleanSpec, key: str, **model: Any) -> dict[str, Any]:
        staging = storage.stage_folder(home, "t")
        storage.write_table(stamped(frame, key), staging / "sampled")
        sampled = publish_stage("sample", staging, len(frame))
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        night = make_night(key=(key,), drop=(LINE,), **model)
        stage.run(spec, night=night, settings=home, out=out, sampled=sampled)
        report: dict[str, Any] = json.loads((out / "report.json").read_text())
        held = storage.read_table(out / "quarantine")
        lines = [int(line) for line in held[LINE].to_pylist()]
        report["held"] = dict(zip(lines, held["_reason"].to_pylist(), strict=True))
        return report

    return run


def exactly(report: dict[str, Any], lines: dict[str, set[int]]) -> None:
    injected = set().union(*lines.values())
    held = set(report["held"])
    assert held == injected, {name: sorted(rows - held)[:5] for name, rows in lines.items() if rows - held} or {
        line: report["held"][line] for line in sorted(held - injected)[:5]
    }
    assert report["quarantined"] == len(report["held"]) == len(injected)
    outcomes = ("clean", "quarantined", "duplicates", "filtered", "unlabelled")
    assert report["in"] == sum(report[outcome] for outcome in outcomes)
    assert all(report["held"].values())


def orders(count: int = 12_000) -> tuple[pd.DataFrame, Targets, CleanSpec]:
    draw = np.random.default_rng(1)
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(draw.integers(0, 200, count), unit="D")
    frame = pd.DataFrame(
        {
            LINE: np.arange(count).astype(str),
            "id": [f"A{index}" for index in range(count)],
            "age": draw.integers(18, 90, count).astype(str),
            "price": [f"{value:.2f}" for value in draw.lognormal(3, 0.5, count)],
            "weight": draw.integers(50, 100, count).astype(str),
            "city": draw.choice(["Rome", "Paris", "?"], count),
            "sex": draw.choice(["Male", "Female"], count),
            "day": days.strftime("%Y-%m-%d"),
            "label": draw.choice(["yes", "no"], count),
        }
    )
    to = Targets("id", "price", "age", "weight", "weight", "city", "sex", "label", {"day": "2026-02-30"})
    spec = CleanSpec(
        rules={"age_is_human": "0 <= age <= 120", "weight_is_positive": "weight > 0"},
        allowed={"sex": ("Male", "Female"), "label": ("yes", "no")},
        outliers={"weight": Outliers(action="hold", k=10)},
    )
    return frame, to, spec


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05] if FULL else [0.01, 0.05])
def test_quarantine_is_what_was_injected(run_clean: Run, share: float) -> None:
    frame, to, spec = orders()
    spoilt, lines = poison(frame, to, max(len(kinds(to)), int(share * len(frame))))
    report = run_clean(spoilt, spec, "id")
    exactly(report, lines)
    assert report["duplicates"] == report["filtered"] == report["unlabelled"] == 0
    named = {
        "out of the declared range": "rule 'age_is_human' is broken",
        "unknown category": "column 'sex' holds none of its allowed texts: 'Atlantis'",
        "unit error x1000": "column 'weight' lies outside",
        "missing key": "column 'id' is missing",
        "impossible": "column 'day' cannot be read as a date: '2026-02-30'",
    }
    for name, reason in named.items():
        assert all(reason in report["held"][line] for line in lines[name])


def test_above_the_limit_the_night_stops(run_clean: Run) -> None:
    frame, to, spec = orders()
    spoilt, _ = poison(frame, to, int(0.05 * len(frame)))
    with pytest.raises(DataError, match="too many rows") as caught:
        run_clean(spoilt, spec.model_copy(update={"max_quarantined": 0.049}), "id")
    assert "600 of 12000 rows (5.0%)" in caught.value.seen
    assert any("rule 'age_is_human' is broken" in fault for fault in caught.value.faults)


def each_one_percent(frame: pd.DataFrame, to: Targets) -> int:
    return len(kinds(to)) * len(frame) // 100


@pytest.mark.real_data
def test_adult(run_clean: Run, shared_data: Path) -> None:
    with gzip.open(shared_data / "adult" / "adult-train.csv.gz", "rt") as stream:
        frame = pd.read_csv(stream, names=ADULT, dtype="str", keep_default_na=False)
    frame.insert(0, "id", [f"p{index}" for index in range(len(frame))])
    frame.insert(0, LINE, [str(index) for index in range(len(frame))])
    to = Targets(
        "id",
        "capital-gain",
        "age",
        "hours-per-week",
        "fnlwgt",
        "workclass",
        "sex",
        "income",
        {"education": "Doctorate", "education-num": "3"},
    )
    spec = CleanSpec(
        rules={
            "age_is_human": "0 <= age <= 120",
            "a_week_has_168_hours": "0 < `hours-per-week` <= 168",
            "doctors_studied": "education != 'Doctorate' or `education-num` == 16",
        },
        allowed={"sex": ("Male", "Female"), "income": ("<=50K", ">50K")},
        outliers={"fnlwgt": Outliers(action="hold", k=20)},
    )
    spoilt, lines = poison(frame, to, each_one_percent(frame, to))
    exactly(run_clean(spoilt, spec, "id", target="income", positive=">50K"), lines)


@pytest.mark.real_data
def test_telco_churn(run_clean: Run, shared_data: Path) -> None:
    path = shared_data / "telco_churn" / "Telco-Customer-Churn.csv.gz"
    frame = pd.read_csv(path, dtype="str", keep_default_na=False)
    frame.insert(0, LINE, [str(index) for index in range(len(frame))])
    to = Targets(
        "customerID",
        "TotalCharges",
        "tenure",
        "tenure",
        "MonthlyCharges",
        "PaymentMethod",
        "gender",
        "Churn",
        {"PhoneService": "No", "MultipleLines": "Yes"},
    )
    spec = CleanSpec(
        rules={
            "tenure_in_months": "0 <= tenure <= 120",
            "lines_need_a_phone": "PhoneService == 'Yes' or MultipleLines == 'No phone service'",
        },
        allowed={"gender": ("Male", "Female"), "Churn": ("Yes", "No")},
        outliers={"MonthlyCharges": Outliers(action="hold", k=10)},
    )
    spoilt, lines = poison(frame, to, each_one_percent(frame, to))
    exactly(run_clean(spoilt, spec, "customerID", target="Churn", positive="Yes"), lines)
