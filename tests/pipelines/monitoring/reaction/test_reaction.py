"""What the monitor does by itself: a probe of drift on real labels, and the way back from a version below its floor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from monitored import Monitored

from pipelines.deployment.spec import DeploySpec
from pipelines.gateway.feedback import SCHEMA as FEEDBACK
from pipelines.gateway.prediction_log import Answered, prediction_log
from pipelines.ledger import Ledger
from pipelines.ledger.reactions import BEGUN, LONGEST
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.performance.estimated import WHOLE
from pipelines.monitoring.performance.realised import KIND as LABELS
from pipelines.monitoring.reaction.drift import probed
from pipelines.monitoring.reaction.floor import _back
from pipelines.monitoring.reaction.probe import probe
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.stage import monitor
from pipelines.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)
SPEC = MonitorSpec(max_age_days=366)


@pytest.fixture(scope="module")
def two(packaged: SimpleNamespace, tiny: ModuleType) -> SimpleNamespace:
    """Versions 1 and 2, both once live; 2 is, and its night declares floors."""
    night = packaged.night_of("night-2", day=2)
    folder = packaged.root / "second"
    folder.mkdir()
    tiny.take_to_bento(folder, packaged.settings, night, 2)
    ledger: Ledger = packaged.ledger
    ledger.switch("demo", 1, 0, "first", "test")
    ledger.switch("demo", 2, 0, "second", "test")
    ledger.open_night(night, "local")
    declared = DeploySpec(floor_score=0.7, floor_errors=0.2).model_dump(mode="json")
    ledger.begin_stage("demo", "night-2", "deploy", declared)
    return packaged


def ask(two: SimpleNamespace, rows: pd.DataFrame, labels: list[str], name: str) -> None:
    """Log requests of these rows and the labels that came for them."""
    at = NOW - timedelta(hours=3)
    log = prediction_log(two.settings.storage)
    for start in range(0, len(rows), 100):
        part = rows.iloc[start : start + 100]
        outputs = {"prediction": ["no"] * len(part), "probability": [0.3] * len(part)}
        cells = {column: part[column].tolist() for column in part}
        log.add(Answered(f"{name}{start}", at, "demo", 2, 200, 1.0, len(part), cells, outputs))
    log.flush()
    folder = two.settings.storage / "feedback" / "demo" / NOW.date().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    n = len(rows)
    came = {
        "request_id": [f"{name}{number - number % 100}" for number in range(n)],
        "row": [number % 100 for number in range(n)],
        "label": labels,
        "at": [NOW - timedelta(hours=1)] * n,
        "token": ["test"] * n,
    }
    pq.write_table(pa.table(came, schema=FEEDBACK), folder / f"{name}.parquet", write_page_checksum=True)


def live_model(two: SimpleNamespace) -> LiveModel:
    champion = two.ledger.champion("demo")
    assert champion is not None
    return LiveModel(two.settings, two.ledger, champion)


def test_a_probe_tells_a_world_that_changed_from_one_that_did_not(two: SimpleNamespace, tiny: ModuleType) -> None:
    assert probe(SPEC, live_model(two), NOW).text.startswith("No probe: 0 labelled rows of 30 days, 600 are needed")
    rows = tiny.rows(900, 5)
    p = live_model(two).opened.predictor.predict_frame(rows)["probability"].to_numpy()
    ask(two, rows, ["yes" if one else "no" for one in np.random.default_rng(0).random(len(p)) < p], "as-ever")
    found = probe(SPEC, live_model(two), NOW)
    assert found.outcome == "no gain", found.text
    again = tiny.rows(2_400, 6)
    ask(two, again, ["yes" if age > 50 else "no" for age in again["age"]], "changed")
    alert = Finding(model="demo", kind="drift", state="alert", message="age shifted", about=("age",))
    other = Finding(model="demo", kind="nulls", state="ok", message="none")
    told, untouched = probed(SPEC, live_model(two), [alert, other], NOW)
    assert told.retrain, told.text
    assert told.text.startswith("age shifted. A probe trained on 2200 recent labelled rows scores roc_auc 0.9")
    assert untouched is other
    (later,) = probed(SPEC, live_model(two), [alert], NOW + timedelta(hours=23))
    assert later == told, "what it said is said again for a day"
    assert len(two.ledger.reactions("demo", "probe")) == 1
    assert probed(SPEC.model_copy(update={"probe": False}), live_model(two), [alert], NOW) == [alert]
    tomorrow = NOW + timedelta(days=2)
    two.ledger.react("demo", "probe", outcome=BEGUN, text="", version=2, every=timedelta(days=1), moment=tomorrow)
    waits = Finding(model="demo", kind="drift", state="unknown", message="insufficient data")
    assert probed(SPEC, live_model(two), [waits], tomorrow + LONGEST / 2) == [waits], "it may be under way"
    (made_up,) = probed(SPEC, live_model(two), [waits], tomorrow + LONGEST)
    assert made_up.retrain, "the process that began it has died"
    assert two.ledger.reactions("demo", "probe")[-1].outcome == "pays"
    assert probed(SPEC, live_model(two), [waits], tomorrow + LONGEST) == [waits]


def test_a_version_below_its_floor_is_rolled_back_once_and_never_to_one_that_was(two: SimpleNamespace) -> None:
    ledger: Ledger = two.ledger
    scores = {"rows": 400, "score": 0.61, "error": 0.02}
    figures = {"version": 2, "metric": "roc_auc", "columns": {WHOLE: {"live": scores}}, "verdict": {}}
    ledger.add_window("demo", LABELS, started_at=NOW, ended_at=NOW, rows=400, figures=figures)
    late = ledger.version("demo", 1)
    assert late is not None
    assert _back(two.settings, ledger, late, "low") == "nothing is done, version 2 is live by now"
    assert ledger.reactions("demo", "floor") == []
    ledger.react("demo", "floor", outcome=BEGUN, text="", version=2, moment=datetime.now(UTC) - LONGEST)  # and died
    found = look(two)
    assert found.message.startswith("version 2 is below its floor: realised roc_auc 0.61 over 400 labelled rows, floor")
    assert "version 1 is live again" in found.message
    last = ledger.history("demo")[-1]
    assert (last.from_version, last.to_version, last.actor) == (2, 1, "rollback:monitor")
    assert "realised roc_auc 0.61" in last.why
    assert ledger.verify_history()
    assert look(two).state == "unknown", "nothing is known of version 1 yet"
    (alert,) = [row for row in ledger.alerts() if row.kind == "floor"]
    log = prediction_log(two.settings.storage)
    for number in range(60):
        log.add(Answered(f"f{number}", datetime.now(UTC), "demo", 1, 503, 1.0, 0, {}, {}))
    log.flush()
    for _ in range(2):
        found = look(two)
        assert found.message.startswith("version 1 is below its floor: 100.0% of 60 requests failed, floor 20.0%")
        assert "it stays live, for no other version was live before" in found.message
    assert ledger.route("demo") == 1
    assert [(row.version, row.outcome) for row in ledger.reactions("demo", "floor")] == [
        (2, "rolled back"),
        (1, "stays"),
    ]
    (open_now,) = [row for row in ledger.alerts() if row.kind == "floor"]
    assert open_now.id == alert.id, "one alert"
    assert open_now.changed_at is not None, "which says so again"
    ledger.switch("demo", 2, 0, "a person knows better", "test")
    found = look(two)
    assert "nothing more is done" in found.message
    assert "version 1 is live again" in found.message
    assert ledger.route("demo") == 2


def look(two: SimpleNamespace) -> Finding:
    found = monitor(two.settings, datetime.now(UTC), SPEC, lambda _: "")
    (one,) = [finding for finding in found if finding.kind == "floor"]
    return one


def test_without_a_floor_nothing_is_said_and_the_live_versions_own_rows_are_scored(
    home: Settings, make_night: Callable[..., Any]
) -> None:
    random = np.random.default_rng(0)
    training = pd.DataFrame({"score": random.normal(size=2_000), "town": random.choice(list("abc"), size=2_000)})
    model = Monitored(home, make_night, training)
    ids = model.ask(training.head(600), NOW - timedelta(hours=5))
    model.label(ids, training.head(600), NOW - timedelta(hours=1))
    found = monitor(home, NOW, SPEC, lambda _: "")
    assert not [finding for finding in found if finding.kind == "floor"]
    with Ledger.open(home) as ledger:
        own = ledger.windows("demo", LABELS, 1)[0].figures["columns"][WHOLE]["live"]
    assert own["rows"] == 600
    assert own["score"] == pytest.approx(0.8, abs=0.06)
    assert 0 < own["error"] < 0.05
