from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from monitored import Monitored

from pipelines.monitoring.findings import Finding
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.stage import monitor
from pipelines.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)


def rows(seed: int, count: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame({"score": random.normal(size=count), "town": random.choice(list("abc"), size=count)})


@pytest.fixture
def model(home: Settings, make_night: Callable[..., Any]) -> Monitored:
    return Monitored(home, make_night, rows(0, 3_000))


def look(model: Monitored, now: datetime = NOW, **spec: Any) -> dict[str, Finding]:
    found = monitor(model.settings, now, MonitorSpec(max_age_days=60, **spec), lambda _address: "")
    return {finding.kind: finding for finding in found}


def test_labels_a_day_late_give_the_realised_score_and_the_error_of_the_estimate(model: Monitored) -> None:
    yesterday = NOW - timedelta(days=1)
    asked = rows(1, 2_000)
    ids = model.ask(asked, yesterday)
    found = look(model, yesterday + timedelta(minutes=1))
    assert found["estimate"].state == "ok", found["estimate"].message
    assert found["estimate"].value == pytest.approx(0.78, abs=0.03)
    assert "realised" not in found
    model.label(ids[:150], asked.iloc[:150], NOW - timedelta(hours=2))
    found = look(model)
    assert found["realised"].state == "unknown"
    assert "150 labelled rows" in found["realised"].message
    model.label(ids[150:], asked.iloc[150:], NOW - timedelta(hours=1))
    found = look(model)
    assert found["realised"].state == "ok", found["realised"].message
    assert found["realised"].value == pytest.approx(found["estimate"].value if "estimate" in found else 0.78, abs=0.04)
    assert "estimated without labels 0.7" in found["realised"].message
    assert found["calibration"].state == "ok", found["calibration"].message
    assert "realised" not in look(model), "each window is judged once"


def test_a_model_that_lost_its_skill_is_told_at_once_and_its_estimate_is_said_to_be_off(model: Monitored) -> None:
    asked = rows(2, 2_000)
    ids = model.ask(asked, NOW - timedelta(days=1), skill=0.0)
    model.label(ids, asked, NOW - timedelta(hours=1))
    found = look(model)
    assert found["realised"].state == "alert"
    assert "roc_auc 0.5" in found["realised"].message
    assert "off by -0.2" in found["realised"].message
    assert "0.74 on sealed rows" in found["realised"].message
    assert found["calibration"].state == "alert"
    assert found["drift"].state == "ok"


def test_probabilities_that_say_less_lower_the_estimate(model: Monitored) -> None:
    for hours in (3, 2):
        asked = rows(hours, 2_000)
        asked["score"] *= 0.3
        model.ask(asked, NOW - timedelta(hours=hours))
        found = look(model, NOW - timedelta(hours=hours) + timedelta(minutes=1))
    assert found["estimate"].state == "alert"
    assert "without labels" in found["estimate"].message


def test_labels_without_a_prediction_and_unreadable_ones_are_told(model: Monitored) -> None:
    asked = rows(4, 600)
    ids = model.ask(asked, NOW - timedelta(hours=5))
    model.label([f"other-{one}" for one in ids], asked, NOW - timedelta(hours=1))
    found = look(model)["realised"]
    assert found.state == "unknown"
    assert "600 labels belong to no logged prediction" in found.message


def test_quiet_models_are_told_once(model: Monitored) -> None:
    model.ask(rows(5, 100), NOW + timedelta(days=1))
    assert "traffic" not in look(model, NOW + timedelta(days=2))
    found = look(model, NOW + timedelta(days=9))["traffic"]
    assert found.state == "alert"
    assert "not enough traffic for 7 days: 100 rows" in found.message
    model.ask(rows(6, 500), NOW + timedelta(days=9))
    assert look(model, NOW + timedelta(days=10))["traffic"].state == "ok"


def test_columns_that_grow_are_compared_by_their_gaps_and_left_out_ones_not_at_all(
    home: Settings, make_night: Callable[..., Any]
) -> None:
    training = rows(0, 2_000).assign(order=np.arange(2_000) + 500.0, when=np.arange(2_000) * 37.0 + 1.6e9)
    training["_time"] = pd.to_datetime(training["when"], unit="s", utc=True)
    model = Monitored(home, make_night, training)
    later = rows(1, 800).assign(order=np.arange(800) + 9_000.0, when=np.arange(800) * 11.0 + 1.7e9)
    model.ask(later, NOW - timedelta(hours=3))
    found = look(model)
    assert found["drift"].state == "ok", found["drift"].message
    model.ask(later.assign(order=9_001.0, score=later["score"] + 2), NOW - timedelta(hours=2))
    found = look(model)
    assert set(found["drift"].about or ()) == {"order", "score", "(prediction)"}
    assert "one repeated value" in found["drift"].message
    model.ask(later.assign(score=later["score"] + 2), NOW - timedelta(hours=1))
    found = look(model, leave_out=("score", "demo:order", "(prediction)"))
    assert found["drift"].state == "ok"
    assert found["drift"].message.endswith("; 3 declared left out")
