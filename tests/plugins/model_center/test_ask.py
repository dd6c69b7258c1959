"""The form asks a real service through a real gateway, under the name of who asks."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape

import pytest
from aimass_airflow.model_center.ask import bars_of
from aimass_airflow.model_center.gateway import quantile
from browser import browsing, find_browser
from center import center_of
from gateways import running, serving


@pytest.fixture(scope="module")
def asked(served, airflow_users):
    served.ledger.remember_model(served.night.model)
    with running(served.settings, served.ledger) as client:
        yield center_of(served.settings, served.ledger, airflow_users, client), client


def fields_of(text):
    found = dict(re.findall(r'<input id="column-\d+" name="([^"]+)" value="([^"]*)"', text))
    for name, options in re.findall(r'<select id="column-\d+" name="([^"]+)".*?>(.*?)</select>', text, re.DOTALL):
        chosen = re.search(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        found[name] = chosen[2] if chosen else ""
    return {unescape(name): unescape(value) for name, value in found.items()}


def test_the_form_predicts_and_explains(asked):
    center, client = asked
    with center.as_("user") as user:
        form = fields_of(user.get("/models/demo/parts/form").text)
        assert form
        found = user.post("/models/demo/ask", json=form)
        assert found.status_code == 200, found.text
        for each in ("by version 1", "Probabilities", "What each cell adds", "Members, and what they come to together"):
            assert each in found.text
        other = user.post("/models/demo/ask", json=dict.fromkeys(form, ""))
        assert "no value" in other.text
        assert user.post("/models/demo/ask", json={}).status_code == 422
    token = center.ledger.issue_token("plain", ["predict:demo"])
    facts = client.get("/v1/models/demo/metadata", headers={"Authorization": f"Bearer {token}"}).json()
    body = {"instances": [facts["example"]]}
    same = client.post("/v1/models/demo:predict", json=body, headers={"Authorization": f"Bearer {token}"}).json()
    assert f"{same['predictions'][0]['probability']:.1%}" in found.text
    assert "model-center:a-user" in {row.name for row in center.ledger.tokens()}


def test_a_file_is_predicted_part_by_part(asked):
    center, _ = asked
    with center.as_("user") as user:
        page = user.get("/models/demo/ask").text
        assert "rows.js" in page
        stamp = re.search(r"/static/([0-9a-f]+)/rows.js", page)[1]
        for name in ("file.js", "charts.js"):
            script = user.get(f"/static/{stamp}/predictions/{name}")
            assert script.headers["content-type"].startswith("text/javascript")
        assert user.get(f"/static/{stamp}/predictions/index.html").status_code == 404
        facts = user.get("/models/demo/facts").json()
        cells = {column["name"]: [facts["example"].get(column["name"])] * 3 for column in facts["columns"]}
        found = user.post("/models/demo/rows", json={"inputs": cells})
        assert found.status_code == 200, found.text
        assert [len(values) for values in found.json()["outputs"].values()] == [3, 3]
        wrong = user.post("/models/demo/rows", json={"inputs": {"nobody": ["1"]}})
        assert wrong.status_code == 422
        assert wrong.json()["error"]["what"]
        for body in ({}, {"inputs": []}, {"inputs": {"a": 1}}):
            assert user.post("/models/demo/rows", json=body).status_code == 400
        large = user.post("/models/demo/rows", json={"inputs": {"a": ["x" * (1 << 20)]}})
        assert large.status_code == 413
    with center.as_("viewer") as viewer:
        assert "rows.js" not in viewer.get("/models/demo/ask").text
        with center.as_(None) as nobody:
            assert nobody.post("/models/demo/rows", json={"inputs": cells}).status_code == 401
        assert (
            viewer.post("/models/demo/rows", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
        )
        refused = viewer.post("/models/demo/rows", json={"inputs": cells})
        assert refused.status_code == 403
        assert "the right to create runs of the DAG retrain_demo is missing" in refused.json()["error"]["what"]


@pytest.mark.skipif(find_browser() is None, reason="no Chromium on the path")
def test_a_file_is_predicted_in_the_browser(asked, airflow_users, tmp_path):
    center, _ = asked
    path, wide, large = (tmp_path / f"{name}.csv" for name in ("rows", "wide", "large"))
    path.write_text(
        "id,amount,town,age\n" + "".join(f"{n},{90 + n},{'Bern' if n % 2 else 'Basel'},30\n" for n in range(20))
    )
    wide.write_text("id,amount\n1,2\n")
    with serving(center.app) as url, browsing(tmp_path) as tab:
        tab.ask("Network.setCookie", name="_token", value=airflow_users["user"], url=url)
        tab.open(f"{url}/model-center/models/demo/ask", 1280, 900)
        tab.until("!document.querySelector('#rows-panel').hidden")
        tab.upload("#file", wide)
        tab.until("document.querySelector('#file-state .error')")
        assert "lacks the columns town" in tab.text("#file-state")
        with large.open("wb") as file:
            file.truncate((64 << 20) + 1)
        tab.upload("#file", large)
        tab.until("document.querySelector('#file-state').innerText.includes('larger than 64 MB')")
        assert tab.run("document.querySelector('#start').disabled")
        tab.upload("#file", path)
        tab.until("!document.querySelector('#start').disabled")
        tab.click("#start")
        tab.until("document.querySelectorAll('.plots svg[width]').length === 4")
        tab.click("#download")
        tab.until("document.querySelector('#progress-note').innerText.includes('20 of 20 rows')")
        tab.resize(800, 900)
        assert tab.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        tab.shoot(tmp_path / "ask.png")
        assert tab.logged == []
        assert {each for each in tab.requested if not each.startswith((url, "data:", "blob:"))} == set()
    rows = (tmp_path / "rows-predictions.csv").read_text().splitlines()
    assert rows[0] == "id,amount,town,age,prediction,probability"
    assert len(rows) == 21


def test_a_viewer_may_not_ask(asked):
    center, _ = asked
    with center.as_("viewer") as viewer:
        assert viewer.get("/models/demo/parts/form").status_code == 403
        assert viewer.post("/models/demo/ask", json={"column:x": "1"}).status_code == 403
        assert viewer.get("/models/demo/parts/calls").status_code == 403
        assert "the right to create runs" in viewer.get("/models/demo/ask").text


def test_the_samples_are_calls_that_work(asked):
    center, client = asked
    token = center.ledger.issue_token("samples", ["predict:demo"])
    with center.as_("admin") as admin:
        text = admin.get("/models/demo/parts/calls").text
    samples = [unescape(each) for each in re.findall(r"<code>(.*?)</code></pre>", text, re.DOTALL)]
    assert len(samples) == 4
    for sample in (samples[0], samples[2], samples[3]):
        words = shlex.split(sample.replace("\\\n", " "))
        path = "/" + words[2].split("/", 3)[3]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        found = client.post(path, content=words[-1].encode(), headers=headers)
        assert found.status_code == 200, found.text
    compile(samples[1], "sample", "exec")


def test_live_figures_are_those_of_the_gateway(asked):
    center, _ = asked
    with center.as_("admin") as admin:
        admin.post("/models/demo/ask", json=fields_of(admin.get("/models/demo/parts/form").text))
        text = admin.get("/models/demo/parts/live").text
    assert re.search(r"p50 [\d.]+ ms, p99 [\d.]+ ms", text)


def test_a_gateway_that_is_away_is_told(asked, served, airflow_users, away):
    center = center_of(served.settings, served.ledger, airflow_users, away)
    with center.as_("admin", **{"HX-Request": "true"}) as admin:
        found = admin.get("/models/demo/parts/form")
    assert found.status_code == 502
    assert "the gateway does not respond" in found.text.casefold()


def test_quantiles_of_a_histogram():
    buckets = {0.001: 50.0, 0.002: 90.0, 0.004: 100.0, float("inf"): 100.0}
    assert quantile(buckets, 0.5) == pytest.approx(1.0)
    assert quantile(buckets, 0.95) == pytest.approx(3.0)
    assert quantile({}, 0.5) is None
    assert quantile({0.001: 0.0, float("inf"): 4.0}, 0.5) == pytest.approx(1.0)


def test_bars_hold_zero_between_them():
    low, high = bars_of({"a": -1.0, "b": 3.0})
    assert (low.x, low.width, high.x, high.width) == (0.0, 25.0, 25.0, 75.0)
    assert bars_of({}) == []
    assert json.dumps(bars_of({"a": 0.0})[0].width)
