"""Import, export and evaluation over HTTP: what a token may, what comes back, and what is refused with a cure."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import httpx
import numpy as np
import pyarrow as pa
import pytest
from foreign import TORCH
from gateways import running
from pyarrow import csv

from pipelines.exchange import asked, upload
from pipelines.mart.origin import Origin
from pipelines.mart.publish import Wish, publish
from pipelines.waiting import wait_until

pytestmark = pytest.mark.slow
CSV = {"Content-Type": "text/csv"}
TEXTS = csv.ConvertOptions(column_types=dict.fromkeys(("id", "amount", "town", "age", "label"), pa.string()))


@pytest.fixture(scope="module")
def live(packaged: SimpleNamespace) -> SimpleNamespace:
    """A gateway over the tiny model; ``ask(method, path, scope)`` asks with a token."""
    ledger, tokens = packaged.ledger, {}
    ledger.remember_model(packaged.night.model)  # as a night does when it begins

    def ask(method, path, scope="admin", headers=None, **more):
        if scope not in tokens:
            tokens[scope] = ledger.issue_token(f"t-{scope}".replace(":", "_"), [scope], 1)
        sent = {"Authorization": f"Bearer {tokens[scope]}", **(headers or {})}
        return client.request(method, f"/v1/catalog/models/{path}", headers=sent, timeout=120, **more)

    with running(packaged.settings, ledger) as client:
        yield SimpleNamespace(ask=ask, ledger=ledger, settings=packaged.settings)


@pytest.fixture(autouse=True)
def nothing_is_left(live: SimpleNamespace):
    yield
    folder = live.settings.staging  # a download is removed once it is sent
    assert wait_until(lambda: not list(folder.iterdir()) or None, seconds=10, every=0.05)


@pytest.fixture(scope="module")
def labelled(tiny: ModuleType) -> bytes:
    table = tiny.rows(120, 5)
    amount = np.array([float(text) if text[:1].isdigit() else 100.0 for text in table["amount"]])
    table["label"] = np.where(amount > 95, "yes", "no")
    return table.to_csv(index=False).encode()


@pytest.fixture(scope="module")
def given(live: SimpleNamespace) -> httpx.Response:
    """The tiny model in an archive."""
    return live.ask("GET", "demo/versions/1:export", "catalog-write:demo")


def test_a_version_is_exported(given: httpx.Response) -> None:
    assert given.status_code == 200, given.text
    assert given.headers["content-disposition"] == 'attachment; filename="demo-v1.aimass.zip"'
    assert json.loads(zipfile.ZipFile(io.BytesIO(given.content)).read("archive.json"))["version"] == 1


@pytest.mark.full
def test_an_exported_version_is_imported_under_another_name(live: SimpleNamespace, given: httpx.Response) -> None:
    took = live.ask("POST", "theirs:import", files={"file": ("../demo 1.zip", given.content)})
    assert took.status_code == 201, took.text
    found = took.json()
    assert (found["model"], found["version"], found["live"]) == ("theirs", 1, False)
    (act,) = live.ledger.actions("theirs")
    assert (act.kind, act.actor, act.about, act.outcome) == ("import", "t-admin", {"version": 1}, "done")
    row = live.ledger.version("theirs", 1)
    assert (row.state, row.verdict["imported"]["file"]) == ("registered", "demo_1.zip")


@pytest.mark.full
def test_a_model_file_is_imported_and_given_out_as_onnx(live: SimpleNamespace) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra exchange")
    there = Path(__file__).parents[1] / "exchange"
    files = {
        "file": ("mlp.onnx", (there / "torch_mlp.onnx").read_bytes()),
        "schema": ("schema.json", json.dumps(TORCH).encode()),
        "samples": ("samples.json", (there / "torch_mlp.json").read_bytes()),
    }
    took = live.ask("POST", "churn:import", files=files, data={"tolerance": "1e-4"})
    assert took.status_code == 201, took.text
    assert (took.json()["origin"]["samples"], took.json()["origin"]["file"]) == (24, "mlp.onnx")
    graph = live.ask("GET", "churn/versions/1:export?format=onnx")
    assert graph.content == files["file"][1]


def test_a_version_is_judged_on_a_table(live: SimpleNamespace, labelled: bytes) -> None:
    path = "demo:evaluate?slices=town"
    found = live.ask("POST", path, "catalog-write", CSV, content=labelled)
    assert found.status_code == 200, found.text
    body = found.json()
    assert (body["version"], body["rows"], body["left_out"]) == (1, 120, 0)
    assert 0.5 < body["scores"]["roc_auc"] <= 1
    assert body["page"].startswith(f"{live.settings.airflow_url}/model-center/models/demo/evaluations/v1-")
    page = live.settings.docs / "_evaluation" / "demo" / Path(body["page"]).name
    assert "table.csv" in page.read_text()


def test_a_version_is_judged_on_a_published_table(live: SimpleNamespace, labelled: bytes) -> None:
    table = csv.read_csv(io.BytesIO(labelled), convert_options=TEXTS)
    publish(live.settings, live.ledger, "labels", Origin(table.schema, table.to_batches(), {}), Wish(), "test")
    refused = live.ask("POST", "demo:evaluate?table=mart:labels", "catalog-write")
    assert refused.status_code == 403
    assert "data:labels" in refused.json()["error"]["expected"]
    found = live.ask("POST", "demo:evaluate?table=mart:labels")
    assert found.status_code == 200, found.text
    by_file = live.ask("POST", "demo:evaluate", headers=CSV, content=labelled).json()
    assert (found.json()["rows"], found.json()["scores"]) == (120, by_file["scores"])
    for table, status in (("labels", 400), ("mart:labels@9", 422), ("mart:nothing", 422)):
        assert live.ask("POST", f"demo:evaluate?table={table}").status_code == status, table


def slip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("key.pub", "0" * 64)
        archive.writestr("../../x", "x")
    return made.getvalue()


PICKLE = {"file": ("m.pkl", b"cos\nsystem\n."), "schema": ("s.json", b"{}"), "samples": ("s.csv", b"a\n1\n")}


@pytest.mark.parametrize(
    ("method", "path", "scope", "more", "status", "said"),
    [
        ("POST", "demo:import", "catalog-write", {"files": PICKLE}, 403, "admin"),
        ("POST", "demo:import", "admin", {"json": {}}, 415, "multipart/form-data"),
        ("POST", "demo:import", "admin", {"files": {"other": ("x", b"x")}}, 422, "the part 'other'"),
        ("POST", "demo:import", "admin", {"files": {"file": ("m.onnx", b"x")}}, 422, "no schema, samples"),
        ("POST", "demo:import", "admin", {"files": {"schema": ("m", b"x")}}, 422, "nothing to import"),
        ("POST", "Demo:import", "admin", {"files": PICKLE}, 422, "no name of a model"),
        (
            "POST",
            "demo:import",
            "admin",
            {"files": {"file": ("m", b"x")}, "data": {"task": "x" * 2000}},
            422,
            "more than",
        ),
        ("POST", "demo:import", "admin", {"files": {"file": ("a.zip", slip())}}, 422, "leads out of the archive"),
        ("POST", "demo:evaluate", "catalog", {"content": b"x"}, 403, "catalog-write"),
        ("POST", "demo:evaluate", "admin", {"content": b"x"}, 422, "text/csv"),
        (
            "POST",
            "demo:evaluate",
            "admin",
            {"content": b"x", "headers": {"Content-Type": "text/html"}},
            415,
            "text/csv",
        ),
        ("POST", "nobody:evaluate", "admin", {"content": b"x", "headers": CSV}, 404, "no such version"),
        ("GET", "demo/versions/9:export", "admin", {}, 404, "no such version"),
        ("GET", "demo/versions/x:export", "admin", {}, 404, "no such version"),
        ("GET", "demo/versions/1:export?format=pickle", "admin", {}, 400, "archive, onnx"),
        ("GET", "demo/versions/1:export", "catalog", {}, 403, "catalog-write"),
    ],
)
def test_what_is_refused(live, method, path, scope, more, status, said) -> None:
    found = live.ask(method, path, scope, **more)
    assert found.status_code == status, found.text
    assert said in json.dumps(found.json()["error"], ensure_ascii=False)
    assert str(live.settings.home) not in found.text.replace(str(live.settings.home / "secrets"), "")


def test_limits_and_two_at_once(live: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    with asked.only_one(live.settings, "import"):
        busy = live.ask("POST", "demo:import", files=PICKLE)
    assert (busy.status_code, busy.headers["retry-after"]) == (409, "30")
    monkeypatch.setattr(asked, "LARGEST_IMPORT", 100)
    assert live.ask("POST", "demo:import", files=PICKLE).status_code == 413
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    streamed = live.ask("POST", "demo:import", headers=kind, content=iter([b"--x\r\n", b"x" * 60, b"x" * 60]))
    assert (streamed.status_code, streamed.json()["error"]["expected"]) == (413, "at most 100 bytes")
    monkeypatch.setattr(upload, "SPARE", 10**18)
    assert live.ask("POST", "demo:evaluate", headers=CSV, content=b"a\n1\n").status_code == 507


def test_a_process_that_takes_too_long_is_ended(live: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "SECONDS", 0.05)
    found = live.ask("POST", "demo:evaluate", headers=CSV, content=b"a\n1\n")
    assert (found.status_code, found.json()["error"]["what"]) == (422, "it took too long")
