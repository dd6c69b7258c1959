from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from ports import free_ports

from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import SupersededError
from pipelines.registry import stage
from pipelines.registry.aliases import ALERT, reconcile, wanted_aliases
from pipelines.registry.publish import REQUIREMENTS
from pipelines.registry.spec import RegisterSpec
from pipelines.registry.tracking import client, quiet_mlflow, tracking_uri
from pipelines.secret_files import public_key
from pipelines.storage import resolve


def register(packaged, tiny, tmp_path, night, seed=0, lineage=None, **meta):
    out = tmp_path / f"out-{night.night}-{night.fence}"
    out.mkdir()
    inputs = tiny.as_inputs(tmp_path / f"in-{night.night}-{night.fence}", packaged.settings, seed, **meta)
    return stage.run(
        RegisterSpec(tags={"team": "risk"}), night=night, settings=packaged.settings, out=out, lineage=lineage, **inputs
    ), out


def mlflow_versions(packaged):
    known = client(packaged.settings).search_model_versions("name='demo'")
    return {item.tags["aimass.version"]: item for item in known}


def test_one_night_is_one_version_however_often_it_is_retried(packaged, tiny, tmp_path):
    night = packaged.night_of("retried", day=2)
    lineage = {"ingest": {"digest": "f" * 64, "uri": "nights/x"}}
    packaged.ledger.open_night(night, "local")
    fence = packaged.ledger.begin_stage("demo", "retried", "ensemble")
    cost = {"model_bytes": 5_000, "row_ms_p50": 0.2, "row_ms_p99": 0.4}
    packaged.ledger.finish_stage("demo", "retried", "ensemble", fence, state="done", stats={**cost, "members": 2})
    first, out = register(packaged, tiny, tmp_path, night, lineage=lineage)
    again, _ = register(packaged, tiny, tmp_path, night.model_copy(update={"fence": 5}), seed=3)
    assert again.meta == first.meta  # another model came with the retry: the published one is adopted
    assert first.meta["verdict"] == "promoted"
    assert json.loads((out / "version.json").read_text())["version"] == first.meta["version"]
    mine = [item for item in mlflow_versions(packaged).values() if item.tags["aimass.night"] == "retried"]
    assert len(mine) == 1
    assert mine[0].version == first.meta["version"]
    assert mine[0].tags["aimass.dataset_digest"] == "f" * 64
    assert mine[0].tags["team"] == "risk"
    api = client(packaged.settings)
    runs = api.search_runs([api.get_experiment_by_name("demo").experiment_id])
    (run,) = [run for run in runs if run.data.tags["aimass.night"] == "retried"]
    assert {name: run.data.metrics.get(name) for name in cost} == cost
    assert "members" not in run.data.metrics
    assert packaged.ledger.catalog_row("demo").columns == ["amount", "town", "age"], "the catalog is searched by them"


def test_an_older_attempt_is_refused(packaged, tiny, tmp_path):
    night = packaged.night_of("fenced", day=3, fence=7)
    register(packaged, tiny, tmp_path, night)
    with pytest.raises(SupersededError):
        register(packaged, tiny, tmp_path, night.model_copy(update={"fence": 6}))


def test_a_kept_version_is_registered_and_tagged_but_no_challenger(packaged, tiny, tmp_path):
    done, _ = register(packaged, tiny, tmp_path, packaged.night_of("kept", day=4), verdict="kept")
    version = done.meta["version"]
    assert done.meta["verdict"] == "kept"
    assert mlflow_versions(packaged)[str(version)].tags["verdict"] == "kept"
    assert wanted_aliases(packaged.ledger, "demo").get("challenger") != version


def test_the_mlflow_model_predicts_as_the_model_directory_does(packaged, tiny, monkeypatch):
    version = mlflow_versions(packaged)["1"]
    api = client(packaged.settings)
    run = api.get_run(version.run_id)
    assert run.data.metrics["sealed.roc_auc"] == 0.91
    assert run.data.metrics["score"] == 0.91
    plots = api.list_artifacts(version.run_id, "evaluation/plots")
    assert [item.path for item in plots] == ["evaluation/plots/roc.png"]
    assert version.tags["aimass.card"] == "evaluation/card.html"
    assert "evaluation/card.html" in [item.path for item in api.list_artifacts(version.run_id, "evaluation")]
    mlflow = quiet_mlflow()
    mlflow.set_tracking_uri(api.tracking_uri)
    info = mlflow.models.get_model_info(version.source)
    assert [column.name for column in info.signature.inputs.inputs] == ["amount", "town", "age"]
    assert info.saved_input_example_info is not None
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/demo/{version.version}"))
    pins = (folder / "requirements.txt").read_text().split()
    assert all("==" in pin for pin in pins)
    assert sorted(pin.split("==")[0] for pin in pins) == sorted(REQUIREMENTS)
    model_dir = resolve(packaged.settings, packaged.ledger.version("demo", 1).model_uri)
    raw = tiny.rows(20, seed=9)
    expected = ModelDirectory.open(model_dir, public_key(packaged.settings)).predictor.predict_frame(raw)
    raw["age"] = raw["age"].astype(float)
    monkeypatch.setattr(sys, "path", [*sys.path])  # MLflow puts the version's own code in front
    pd.testing.assert_frame_equal(mlflow.pyfunc.load_model(version.source).predict(raw), expected)


def test_aliases_follow_the_ledger(packaged, tiny, tmp_path):
    done, _ = register(packaged, tiny, tmp_path, packaged.night_of("alias", day=5))
    version = done.meta["version"]
    api = client(packaged.settings)
    assert api.get_registered_model("demo").aliases["challenger"] == version
    packaged.ledger.switch("demo", version, 0, "test", "test")
    assert reconcile(packaged.settings, packaged.ledger, "demo")
    assert api.get_registered_model("demo").aliases == {"champion": version}
    packaged.ledger.switch("demo", 1, 0, "roll back", "test")
    assert reconcile(packaged.settings, packaged.ledger, "demo")
    assert api.get_registered_model("demo").aliases["champion"] == 1


@contextmanager
def mlflow_server(packaged):
    """Run the MLflow server as the platform does, on a free port, and yield settings that point to it."""
    settings = packaged.settings.model_copy(update={"mlflow_port": free_ports(1)[0]})
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(settings.mlflow_port),
        "--workers",
        "1",
        "--backend-store-uri",
        settings.mlflow_store,
        "--serve-artifacts",
        "--artifacts-destination",
        str(settings.mlflow_dir / "artifacts"),
    ]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while tracking_uri(settings) != settings.mlflow_uri and time.monotonic() < deadline:
            time.sleep(0.1)
        yield SimpleNamespace(**{**vars(packaged), "settings": settings})
    finally:
        process.terminate()
        process.wait(30)


def test_the_server_is_used_where_it_responds(home):
    """What it says is enough; that a night registers through it is a test of whole nights."""

    class Health(BaseHTTPRequestHandler):
        words = b"OK"

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.words)

        def log_message(self, *words):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings = home.model_copy(update={"mlflow_port": server.server_port})
        assert tracking_uri(settings) == settings.mlflow_uri
        Health.words = b"another program"
        assert tracking_uri(settings) == settings.mlflow_store
        server.shutdown()
    assert tracking_uri(settings) == settings.mlflow_store


def test_the_server_of_another_home_is_never_used(home, tmp_path, caplog):
    port = free_ports(1)[0]
    answers = (
        "import sys, http.server as h\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'OK')\n"
        "    def log_message(self, *words): pass\n"
        "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()"
    )
    settings = home.model_copy(update={"mlflow_port": port})
    for owner, used in ((tmp_path / "other", settings.mlflow_store), (settings.home, settings.mlflow_uri)):
        environment = {**os.environ, "AIMASS_HOME": str(owner)}
        process = subprocess.Popen([sys.executable, "-c", answers, str(port)], env=environment)
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            assert tracking_uri(settings) == used
        finally:
            process.kill()
            process.wait()
    (told,) = [record.message for record in caplog.records if "AIMASS_MLFLOW_PORT" in record.message]
    assert str(tmp_path / "other") in told


def test_a_server_that_refuses_this_homes_login_is_told_by_name_and_not_used(home, caplog):
    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self):
            open_to_all = self.path == "/health"
            self.send_response(200 if open_to_all else 401)
            self.end_headers()
            self.wfile.write(b"OK" if open_to_all else b'{"message": "this is the home /srv/other"}')

        def log_message(self, *words):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings = home.model_copy(update={"mlflow_port": server.server_port})
        assert tracking_uri(settings) == settings.mlflow_store
        server.shutdown()
    (told,) = [record.message for record in caplog.records if "AIMASS_MLFLOW_PORT" in record.message]
    assert "this is the home /srv/other" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server as another user")
def test_a_server_of_another_user_never_sees_the_login(home, tmp_path, caplog):
    answers = (
        "import http.server as h, os\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        print(self.headers.get('Authorization'), flush=True)\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(b'OK')\n"
        "    def log_message(self, *words): pass\n"
        "server = h.HTTPServer(('127.0.0.1', 0), H)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()"
    )
    environment = {**os.environ, "AIMASS_HOME": str(home.home)}
    with subprocess.Popen(
        [sys.executable, "-c", answers], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        settings = home.model_copy(update={"mlflow_port": int(process.stdout.readline())})
        assert tracking_uri(settings) == settings.mlflow_store
        process.kill()
        assert process.stdout.read().split() == ["None"]
    assert "is that of another user" in caplog.text


@pytest.mark.skipif(not os.environ.get("AIMASS_FULL"), reason="starts a server, as the end-to-end test does too")
def test_through_the_server_it_is_the_same(packaged, tiny, tmp_path):
    with mlflow_server(packaged) as through:
        done, out = register(through, tiny, tmp_path, packaged.night_of("served", day=7))
    written = json.loads((out / "version.json").read_text())
    assert written["mlflow_version"] is not None
    direct = mlflow_versions(packaged)[str(done.meta["version"])]
    assert str(direct.version) == written["mlflow_version"]
    assert direct.tags["aimass.night"] == "served"
    assert client(packaged.settings).list_artifacts(direct.run_id, "evaluation")


def test_without_mlflow_the_night_goes_on_and_an_alert_is_open(packaged, tiny, tmp_path, monkeypatch):
    folder = tmp_path / "a-file"
    folder.write_text("")
    monkeypatch.setattr(type(packaged.settings), "mlflow_dir", property(lambda self: folder / "below"))
    done, _ = register(packaged, tiny, tmp_path, packaged.night_of("no-mlflow", day=6))
    assert packaged.ledger.version("demo", done.meta["version"]).state == "registered"
    assert {alert.kind for alert in packaged.ledger.alerts()} == {ALERT}
