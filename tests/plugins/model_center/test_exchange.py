"""Versions that come and go on the pages: export, evaluation on an uploaded table, import; by right and by role."""

from __future__ import annotations

import io
import json
import os
import zipfile

import numpy as np
import pytest
from browser import browsing, find_browser
from center import center_of
from foreign import SKLEARN
from gateways import serving

from pipelines.exchange import asked
from pipelines.ingestion.spec import Files
from pipelines.mart.origin import of_source
from pipelines.mart.publish import Wish, publish
from pipelines.people import roles
from pipelines.waiting import wait_until

pytestmark = pytest.mark.slow
PAGE = {"HX-Request": "true"}
EMPTY = {"table": ("_", b"")}
"""What a browser sends for a file that was not chosen."""
WHO = {"actor": "root", "why": "a test"}
SAMPLES = b"id,tenure,plan,prediction,probability\n1,2,monthly,no,0.2\n"
PICKLE = {
    "file": ("m.pkl", b"cos\nsystem\n."),
    "schema": ("s.json", json.dumps(SKLEARN).encode()),
    "samples": ("s.csv", SAMPLES),
}


@pytest.fixture(scope="module")
def labelled(tiny):
    table = tiny.rows(120, 5)
    amount = np.array([float(text) if text[:1].isdigit() else 100.0 for text in table["amount"]])
    table["label"] = np.where(amount > 95, "yes", "no")
    return table.to_csv(index=False).encode()


@pytest.fixture
def center(packaged, airflow_users, away):
    packaged.ledger.remember_model(packaged.night.model)
    yield center_of(packaged.settings, packaged.ledger, airflow_users, away)
    assert not list(packaged.settings.staging.iterdir())


def test_a_version_is_exported_by_right(center):
    with center.as_("viewer") as viewer:
        assert "export" not in viewer.get("/models/demo/versions").text
        refused = viewer.get("/models/demo/versions/1/export")
        assert refused.status_code == 403
        assert "the right to create runs of the DAG retrain_demo is missing" in refused.text
    with center.as_("op") as op:
        assert 'href="/model-center/models/demo/versions/1/export"' in op.get("/models/demo/versions").text
        given = op.get("/models/demo/versions/1/export")
        assert given.headers["content-disposition"] == 'attachment; filename="demo-v1.aimass.zip"'
        assert "archive.json" in zipfile.ZipFile(io.BytesIO(given.content)).namelist()
        assert op.get("/models/demo/versions/9/export").status_code == 404
        assert op.get("/models/demo/versions/1/export?format=pickle").status_code == 404
    (act,) = center.ledger.actions("demo")
    assert (act.kind, act.actor, act.about) == ("export", "a-op", {"version": 1})


def test_a_table_is_uploaded_and_judged(center, labelled):
    address, sent = "/models/demo/versions/1/evaluate", {"table": ("my table.csv", labelled)}
    with center.as_("op") as op:
        form = op.get("/models/demo/parts/evaluate?version=1").text
        assert f'hx-post="/model-center{address}" hx-encoding="multipart/form-data"' in form
        found = op.post(address, files=sent, data={"slices": "town"}, headers=PAGE)
        assert found.status_code == 200, found.text
        assert "roc_auc" in found.text
        page = found.text.split("/evaluations/")[1].split('"')[0]
        shown = op.get(f"/models/demo/evaluations/{page}")
        assert "my_table.csv" in shown.text
        assert "sandbox" in shown.headers["content-security-policy"]
        assert page in op.get("/models/demo/parts/evaluate?version=1").text
        for file in ("v1-000000000000.html", f"..%2fdemo%2f{page}", page.replace(".html", ".json")):
            assert op.get(f"/models/demo/evaluations/{file}").status_code == 404
        assert op.post(address, files={"slices": ("x", b"x")}, headers=PAGE).status_code == 422
    with center.as_("viewer") as viewer:
        assert viewer.post(address, files=sent, headers=PAGE).status_code == 403
        assert viewer.get(f"/models/demo/evaluations/{page}").status_code == 200


def test_a_form_of_another_site_is_refused(center, labelled):
    with center.as_("admin") as admin:
        for address, sent in (
            ("/models/demo/versions/1/evaluate", {"table": ("x.csv", labelled)}),
            ("/import", PICKLE),
        ):
            found = admin.post(address, files=sent)
            assert found.status_code == 415
            assert "HX-Request" in found.text
            assert admin.post(address, json={}, headers=PAGE).status_code == 415


def test_an_import_needs_the_right_and_the_role(center, monkeypatch):
    sent = {"files": PICKLE, "data": {"model": "sales_new"}, "headers": PAGE}
    with center.as_("viewer") as viewer:
        assert 'id="import"' not in viewer.get("/").text
        assert "edit the DAG monitor is missing" in viewer.post("/import", **sent).text
    with center.as_("op") as op:
        assert 'id="import"' in op.get("/").text
        refused = op.post("/import", **sent)
        assert refused.status_code == 422
        assert "iles that run code when they are read are not imported" in refused.text
        assert str(center.settings.home) not in refused.text
        assert op.post("/import", **{**sent, "data": {"model": "No Name"}}).status_code == 422
        roles.grant(center.ledger, "sales", "a-admin", "owner", **WHO)
        found = op.post("/import", **sent)
        assert found.status_code == 403
        assert "the role owner of the domain sales is missing" in found.text
        roles.grant(center.ledger, "*", "a-op", "operator", **WHO)
        assert 'id="import"' not in op.get("/").text
    with center.as_("admin") as admin:  # owns a domain, not the whole
        keyed = {**sent, "data": {"model": "sales_new", "trust_key": "SHA256:x"}}
        assert "of the whole installation" in admin.post("/import", **keyed).text
        with asked.only_one(center.settings, "import"):
            assert admin.post("/import", **sent).status_code == 409
        monkeypatch.setattr("pipelines.exchange.upload.SPARE", 10**18)
        assert admin.post("/import", **sent).status_code == 502


@pytest.mark.full
def test_a_published_table_is_chosen_and_judged(center, labelled, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(labelled)
    with of_source(center.settings, Files(path=str(path), incremental=False)) as origin:
        publish(center.settings, center.ledger, "labels", origin, Wish(), "ada")
    address = "/models/demo/versions/1/evaluate"
    with center.as_("op") as op:
        assert '<option value="mart:labels@1">' in op.get("/models/demo/parts/evaluate?version=1").text
        found = op.post(address, data={"published": "mart:labels"}, files=EMPTY, headers=PAGE)
        assert found.status_code == 200, found.text
        assert "roc_auc" in found.text
        for given, status in (("mart:nothing", 404), ("labels", 422), ("mart:labels@3", 404)):
            assert op.post(address, data={"published": given}, files=EMPTY, headers=PAGE).status_code == status, given
        both = op.post(address, data={"published": "mart:labels"}, files={"table": ("t.csv", labelled)}, headers=PAGE)
        assert both.status_code == 422


def test_a_table_that_the_user_may_not_read_is_not_judged(center):
    roles.grant(center.ledger, "*", "somebody", "owner", **WHO)
    roles.grant(center.ledger, "demo", "a-user", "caller", **WHO)
    address = "/models/demo/versions/1/evaluate"
    with center.as_("user") as user:  # a caller of the model, and nothing elsewhere
        form = user.get("/models/demo/parts/evaluate?version=1")
        assert (form.status_code, "mart:labels" in form.text) == (200, False)
        assert user.post(address, data={"published": "mart:labels"}, files=EMPTY, headers=PAGE).status_code == 403


@pytest.mark.skipif(not os.environ.get("AIMASS_FULL"), reason="in full form only: a real browser")
@pytest.mark.skipif(find_browser() is None, reason="no Chromium on the path")
def test_a_browser_exports_evaluates_and_imports(center, labelled, airflow_users, tmp_path):
    (tmp_path / "labelled.csv").write_bytes(labelled)
    roles.grant(center.ledger, "*", "a-admin", "owner", **WHO)
    archive = tmp_path / "demo-v1.aimass.zip"
    with serving(center.app) as url, browsing(tmp_path) as tab:
        tab.ask("Network.setCookie", name="_token", value=airflow_users["admin"], url=url)
        tab.open(f"{url}/model-center/models/demo/versions", 1400, 900)
        tab.click("a[href$='/versions/1/export']")
        assert wait_until(lambda: archive.exists() or None, seconds=60, every=0.1)
        tab.click("button[hx-get$='/parts/evaluate?version=1']")
        tab.until("document.querySelector('#evaluate-table')")
        tab.upload("#evaluate-table", tmp_path / "labelled.csv")
        tab.click("#evaluate button[type=submit]")
        tab.until("document.querySelector('#evaluation-page')", 90)
        assert "roc_auc" in tab.text("#evaluate-result")
        tab.shoot(tmp_path / "evaluate.png")
        tab.resize(800, 900)
        assert tab.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        tab.open(f"{url}/model-center/", 1400, 900)
        tab.click("button[data-dialog=import]")
        tab.type("#import-model", "sales_theirs")
        tab.upload("#import-file", archive)
        tab.shoot(tmp_path / "import.png", whole=False)
        tab.click("#import button[type=submit]")
        tab.until("document.querySelector('#import-result [data-acted]')", 120)
        tab.click("#import [data-close]")
        tab.until("document.querySelector('#models a[href$=\"/models/sales_theirs\"]')")
        assert [each for each in tab.logged if "favicon" not in each] == []
    assert center.ledger.version("sales_theirs", 1).state == "registered"
