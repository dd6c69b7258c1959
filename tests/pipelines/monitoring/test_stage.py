from __future__ import annotations

import json
import logging
import shutil
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from calls import operate

from pipelines import storage
from pipelines.inference.enrichment.request import EMPTY, Computed, Enrichment, Lookup
from pipelines.inference.manifest import write_manifest
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.inference.schema import ServeSchema
from pipelines.ledger import Ledger
from pipelines.monitoring.drift.bins import Bins, counts_of
from pipelines.monitoring.drift.significance import psi
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.stage import http_probe, monitor
from pipelines.monitoring.traffic import predicted_classes
from pipelines.private_columns import hashed, masked
from pipelines.secret_files import signing_key
from pipelines.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)
RECIPE = RowRecipe((Column("amount", "number"), Column("color", "category"), Column("label", "dropped")))
REFERENCE = {
    "amount": {"kind": "number", "edges": [-0.67, 0.0, 0.67], "shares": [0.25, 0.25, 0.25, 0.25]},
    "color": {"kind": "category", "categories": ["red", "blue"], "shares": [0.5, 0.5]},
    "(prediction)": {"kind": "prediction", "edges": [0.5], "shares": [0.5, 0.5]},
}


@pytest.fixture
def live(home: Settings, make_night: Callable[..., Any]) -> Settings:
    """A home with one model whose version 1 is live and served."""
    return go_live(home, make_night)


def go_live(
    home: Settings, make_night: Callable[..., Any], added: Enrichment = EMPTY, private: dict[str, str] | None = None
) -> Settings:
    led = Ledger.open(home)
    night = make_night(name="demo")
    led.open_night(night, "platform")
    fence = led.begin_stage("demo", night.night, "evaluate")
    staging = storage.stage_folder(home, "evaluate")
    (staging / "reference.json").write_text(json.dumps(REFERENCE))
    uri = "nights/demo/manual__1/evaluate-1"
    digest = storage.publish(staging, storage.resolve(home, uri), stage="evaluate")
    ref = {"uri": uri, "digest": digest, "stage": "evaluate", "rows": None, "meta": {}}
    led.finish_stage("demo", night.night, "evaluate", fence, state="done", ref=ref)
    source = home.run_dir / "model"
    (source / "plan").mkdir(parents=True)
    (source / "plan" / "recipe.json").write_text(RECIPE.to_json())
    added.save(source / "plan" / "enrichment")
    ServeSchema("demo", "binary", "label", (), None, (), (), (), (), {}, private=private or {}).save(source)
    write_manifest(source, signing_key(home).read_bytes())
    model_uri, model_digest = storage.adopt_model(home, source, "demo")
    led.reserve("demo", night.night, fence)
    led.assign_version("demo", night.night, fence)
    led.advance(
        "demo",
        night.night,
        fence,
        state="registered",
        as_of=night.as_of,
        model_uri=model_uri,
        model_digest=model_digest,
    )
    led.switch("demo", 1, fence, "test", "test")
    led.want("demo", 1, "serve")
    led.observe("demo", 1, "ready", address="unix:/run/demo", pid=1)
    led.close()
    return home


def write_log(
    home: Settings,
    rows: int,
    *,
    shift: float = 0.0,
    status: int = 200,
    name: str = "a",
    version: int = 1,
    scale: float = 1.0,
) -> Path:
    """Write one log file the way the gateway does, with cells as callers send them."""
    rng = np.random.default_rng(rows)
    amounts = rng.normal(shift, 1, size=rows)
    instances = [
        json.dumps({"amount": f" {a} " if i % 3 else float(a), "color": ["red ", "blue"][i % 2], "extra": i})
        for i, a in enumerate(amounts)
    ]
    at = [NOW - timedelta(minutes=5)] * rows
    folder = home.storage / "predictions" / "demo" / at[0].date().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "request_id": [f"{name}-{i}" for i in range(rows)],
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "model": ["demo"] * rows,
            "version": [version] * rows,
            "instance": instances,
            "prediction": [json.dumps({"prediction": "yes", "probability": i % 2 * scale}) for i in range(rows)],
            "status": [status] * rows,
            "ms": [1.0] * rows,
        }
    )
    pq.write_table(table, folder / f"{name}.parquet", write_page_checksum=True)
    return folder / f"{name}.parquet"


def ready(_address: str) -> str:
    return ""


def look(home: Settings, probe: Callable[[str], str] = ready, now: datetime = NOW, **spec: Any) -> dict[str, Finding]:
    return {finding.kind: finding for finding in monitor(home, now, MonitorSpec(**spec), probe)}


def alert_lines(home: Settings) -> list[dict[str, Any]]:
    path = home.logs / "alerts.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_cells_that_cannot_be_read_are_named(live: Settings) -> None:
    path = write_log(live, 600)
    assert look(live)["cells"].state == "ok"
    logged = pq.read_table(path)
    sent = [
        json.dumps({**json.loads(text.as_py()), "amount": "about 12" if number % 4 == 0 else 1.0})
        for number, text in enumerate(logged["instance"])
    ]
    index = logged.column_names.index("instance")
    pq.write_table(logged.set_column(index, "instance", pa.array(sent)), path, write_page_checksum=True)
    found = look(live)["cells"]
    assert found.state == "alert"
    assert "amount (25%)" in found.message
    assert look(live, max_unreadable=0.5)["cells"].state == "ok"


def test_healthy_model_has_no_alert(live: Settings) -> None:
    write_log(live, 1000)
    found = look(live)
    assert {kind: finding.state for kind, finding in found.items()} == dict.fromkeys(
        ("gateway", "service", "age", "log", "errors", "availability", "cells", "drift", "nulls", "unseen", "traffic"),
        "ok",
    )
    assert alert_lines(live) == []


def test_home_without_models_looks_at_the_gateway_only(home: Settings) -> None:
    assert [finding.kind for finding in monitor(home, NOW, probe=ready)] == ["gateway"]


def test_service_that_does_not_respond_fires_once_and_resolves_once(live: Settings) -> None:
    def down(address: str) -> str:
        return "answered 503" if address == "unix:/run/demo" else ""

    for _ in range(20):
        assert look(live, down)["service"].state == "alert"
    for _ in range(3):
        assert look(live)["service"].state == "ok"
    assert [(line["state"], line["kind"], line["model"]) for line in alert_lines(live)] == [
        ("firing", "service", "demo"),
        ("resolved", "service", "demo"),
    ]
    assert stat.S_IMODE((live.logs / "alerts.log").stat().st_mode) == 0o600
    led = Ledger.open(live)
    assert led.alerts() == []
    assert len(led.alerts(open_only=False)) == 1
    led.close()


@pytest.mark.parametrize("actual", ["absent", "starting", "failed"])
def test_service_that_the_supervisor_sees_down_is_an_alert(live: Settings, actual: str) -> None:
    led = Ledger.open(live)
    led.observe("demo", 1, actual, detail="exit 1")
    led.close()
    finding = look(live)["service"]
    assert finding.state == "alert"
    assert actual in finding.message


def test_gateway_that_is_down_is_an_alert_of_no_model(live: Settings) -> None:
    found = look(live, lambda address: "gave no answer" if address.startswith(live.gateway_url) else "")
    assert found["gateway"].state == "alert"
    assert found["gateway"].model is None
    assert found["service"].state == "ok"


def test_error_rate_counts_requests_not_rows(live: Settings) -> None:
    write_log(live, 95, name="good")
    write_log(live, 5, status=503, name="bad")
    finding = look(live)["errors"]
    assert finding.state == "alert"
    assert finding.value == pytest.approx(0.05)
    assert look(live, max_error_rate=0.05)["errors"].state == "ok"


def test_callers_mistakes_are_no_errors(live: Settings) -> None:
    write_log(live, 100, status=400)
    assert look(live)["errors"].state == "ok"


def test_few_requests_are_not_judged(live: Settings) -> None:
    write_log(live, 20, status=500)
    finding = look(live)["errors"]
    assert finding.state == "unknown"
    assert "insufficient data" in finding.message


def test_old_champion_is_an_alert(live: Settings) -> None:
    finding = look(live, now=NOW + timedelta(days=15))["age"]
    assert finding.state == "alert"
    assert finding.value == pytest.approx(15, abs=0.1)


@pytest.mark.parametrize(("rows", "shift", "state"), [(499, 3.0, "unknown"), (500, 0.0, "ok"), (500, 1.0, "alert")])
def test_drift(live: Settings, rows: int, shift: float, state: str) -> None:
    write_log(live, rows, shift=shift)
    finding = look(live)["drift"]
    assert finding.state == state
    assert ("insufficient data" in finding.message) == (state == "unknown")
    assert ("amount" in finding.message) == (state == "alert")


def test_many_shifted_columns_make_one_alert_that_names_the_worst(live: Settings) -> None:
    path = write_log(live, 600, shift=1.0)
    table = pq.read_table(path)
    texts = [json.dumps({**json.loads(text.as_py()), "color": "green"}) for text in table["instance"]]
    pq.write_table(table.set_column(table.column_names.index("instance"), "instance", pa.array(texts)), path)
    message = look(live, named_columns=1)["drift"].message
    assert message.startswith("2 of 3 columns shifted")
    assert "color (PSI" in message
    assert message.endswith("and 1 more")
    assert len(alert_lines(live)) == 1


@pytest.mark.parametrize(("doubled", "state"), [(False, "ok"), (True, "alert")])
def test_columns_that_serving_adds_are_compared_too(
    home: Settings, make_night: Callable[..., Any], doubled: bool, state: str
) -> None:
    table = pa.table({"_key": ["0", "1"], "color": ["red", "red" if doubled else "blue"], "unused": [1, 2]})
    colors = Lookup("colors", ("code",), ("color", "unused"), table, "2026-01-01T00:00:00Z")
    go_live(home, make_night, Enrichment((colors,), (Computed("amount", "left - right"), Computed("label", "1"))))
    path = write_log(home, 600)
    logged = pq.read_table(path)
    sent = [
        json.dumps({"left": json.loads(text.as_py())["amount"], "right": 0, "code": index % 2})
        for index, text in enumerate(logged["instance"])
    ]
    pq.write_table(logged.set_column(logged.column_names.index("instance"), "instance", pa.array(sent)), path)
    finding = look(home)["drift"]
    assert finding.state == state
    assert ("color (PSI" in finding.message) == doubled
    assert "amount" not in finding.message


def test_private_columns_and_what_is_made_of_them_are_not_compared(
    home: Settings, make_night: Callable[..., Any]
) -> None:
    table = pa.table({"_key": ["a", "b"], "color": ["red", "red"]})
    colors = Lookup("colors", ("code",), ("color",), table, "2026-01-01T00:00:00Z")
    declared = {"code": "hash", "amount": "drop"}
    go_live(home, make_night, Enrichment((colors,), (Computed("label", "1"),)), declared)
    path = write_log(home, 600)
    logged = pq.read_table(path)
    sent = [
        json.dumps({name: cells[0] for name, cells in masked({"code": ["a"], "amount": [row]}, declared, b"k").items()})
        for row in range(logged.num_rows)
    ]
    pq.write_table(logged.set_column(logged.column_names.index("instance"), "instance", pa.array(sent)), path)
    found = look(home)
    assert found["drift"].state == "ok"
    assert found["drift"].message.startswith("1 columns over 600 rows")
    assert found["drift"].message.endswith("; 2 private left out")
    assert found["cells"].state == "ok", "a hash is no number that cannot be read"


def test_cells_that_were_hashed_for_another_version_are_missing_ones(live: Settings) -> None:
    path = write_log(live, 600)
    logged = pq.read_table(path)
    sent = [json.dumps({"amount": hashed(row, b"key"), "color": "red"}) for row in range(600)]
    pq.write_table(logged.set_column(logged.column_names.index("instance"), "instance", pa.array(sent)), path)
    assert look(live)["cells"].state == "ok"


def test_the_log_is_cleaned_once(live: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(live, 600)
    read: list[int] = []
    apply = RowRecipe.apply

    def counting(self: RowRecipe, raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        read.append(len(raw))
        return apply(self, raw)

    monkeypatch.setattr(RowRecipe, "apply", counting)
    found = look(live)
    assert {found["cells"].state, found["drift"].state} == {"ok"}
    assert read == [600]


def test_shifted_predictions_are_found(live: Settings) -> None:
    write_log(live, 600, scale=0.1)
    finding = look(live)["drift"]
    assert finding.state == "alert"
    assert "(prediction)" in finding.message


def test_shares_of_predicted_classes_are_compared() -> None:
    entry = {"kind": "predicted_class", "categories": ["a", "b"], "shares": [0.5, 0.5]}
    rows: list[Any] = [{"prediction": "a", "probability": 0.9}] * 90 + [{"prediction": "b"}] * 10
    bins = Bins.of(entry)
    assert psi(bins.shares, counts_of(bins.codes(predicted_classes(rows)), len(bins.shares)) / 100) > 0.2


def test_inputs_of_all_versions_count_and_predictions_of_the_live_one_alone(live: Settings) -> None:
    write_log(live, 300, shift=3.0, version=2, scale=0.1)
    write_log(live, 300, shift=3.0, name="b")
    found = look(live)["drift"]
    assert found.state == "alert"
    assert found.about == ("amount",)
    assert "predictions are not compared: 300 rows of the live version, 500 are needed" in found.message


def test_too_little_data_neither_fires_nor_resolves(live: Settings) -> None:
    path = write_log(live, 600, shift=2.0)
    assert look(live)["drift"].state == "alert"
    path.unlink()
    assert look(live)["drift"].state == "unknown"
    led = Ledger.open(live)
    assert [row.kind for row in led.alerts()] == ["drift"]
    led.close()


def test_torn_log_file_is_skipped_and_counted(live: Settings) -> None:
    write_log(live, 600, name="whole")
    torn = write_log(live, 300, name="torn")
    torn.write_bytes(torn.read_bytes()[:-200])
    found = look(live)
    assert found["log"].state == "ok"
    assert found["log"].value == 1
    assert found["drift"].state == "ok"
    shutil.copy(torn, torn.with_name("torn-too.parquet"))
    assert look(live)["log"].state == "alert"


def test_damaged_reference_is_an_alert_not_a_silent_green(live: Settings) -> None:
    write_log(live, 600)
    (live.storage / "nights/demo/manual__1/evaluate-1/reference.json").write_text("{}")
    finding = look(live)["drift"]
    assert finding.state == "alert"
    assert "could not be made" in finding.message


def test_http_probe_and_command(
    home: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Reply(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/readyz" else 503)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Keep the test's output clean."""

    server = HTTPServer(("127.0.0.1", 0), Reply)
    address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        ask = http_probe(2)
        assert ask(f"{address}/readyz") == ""
        assert ask(f"{address}/other") == "answered 503"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "no answer" in ask(f"{address}/readyz")
    with caplog.at_level(logging.INFO):
        assert operate(tmp_path, "monitor", probe_seconds=0.5) == 0
    assert operate(tmp_path, "monitor", probe_secs=1) == 20
    assert capsys.readouterr().out == ""
    assert "gateway" in caplog.text
