"""The pages of one model."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from types import SimpleNamespace

import pyarrow as pa
import pytest
from aimass_airflow.model_center import compare
from aimass_airflow.model_center.model_page import sentence

from pipelines.catalog import verbs
from pipelines.mart.origin import Origin
from pipelines.mart.publish import Wish, publish


def test_what_is_live_and_why_is_one_sentence(center, names):
    live = center.ledger.champion(names[0])
    with center.as_("viewer") as viewer:
        text = viewer.get(f"/models/{names[0]}").text
    told = unescape(re.search(r'<p id="sentence">([^<]+)', text)[1])
    assert told.startswith(f"Version {live.version} is live since")
    assert live.verdict["sentence"] in told


def test_a_rollback_says_who_and_why(center, names):
    live = center.ledger.champion(names[0])
    switch = SimpleNamespace(to_version=live.version, actor="rollback:ada", why="odd scores")
    assert "rollback by ada, because “odd scores”" in sentence(live, switch)
    assert "No version is live" in sentence(None, None)


def test_every_night_is_a_mark_in_the_chart(center, names):
    with center.as_("viewer") as viewer:
        text = viewer.get(f"/models/{names[0]}").text
    chart = json.loads(unescape(re.search(r'data-chart="([^"]+)"', text)[1]))
    nights = center.ledger.night_line(names[0])
    marks = {each["kind"]: sum(value is not None for value in each["values"]) for each in chart["series"]}
    failed = sum(night.state == "failed" for night in nights)
    assert marks["promoted"] + marks["kept"] + failed == len(nights) == 45
    assert marks.get("failed", 0) == failed


def test_an_unknown_model_is_404(center):
    with center.as_("admin") as admin:
        for path in ("/models/nobody", "/models/nobody/versions", "/models/%2e%2e", "/models/nobody/parts/live"):
            assert admin.get(path).status_code == 404


def test_versions_are_listed_and_two_are_compared(center, names):
    name = names[0]
    numbers = [row.version for row in center.ledger.score_line(name)]
    with center.as_("viewer") as viewer:
        text = viewer.get(f"/models/{name}/versions").text
        assert len(re.findall(r'name="a"', text)) == 25
        assert "Put into service" not in text, "a viewer may not"
        part = viewer.get(f"/models/{name}/parts/compare", params={"a": numbers[-2], "b": numbers[-1]})
        assert f"Version {numbers[-1]} against version {numbers[-2]}" in part.text
        assert "(judges)" in part.text
        same = viewer.get(f"/models/{name}/parts/compare", params={"a": numbers[-1], "b": numbers[-1]})
        assert same.status_code == 422
        for wrong in ("x", "-1", "99999", "1e9", ""):
            assert viewer.get(f"/models/{name}/parts/compare", params={"a": 1, "b": wrong}).status_code == 404


def test_why_asks_the_command_and_remembers(center, names, monkeypatch):
    name, asked = names[0], []
    facts = {
        "sentence": "only <b>data</b> changed.",
        "score": {"metric": "m", "same_rows": 0.5, "after": 0.6, "model": None, "rows": None},
        "data": {"stages": {"ingest": [1, 2]}, "columns": {"added": ["<i>"], "removed": []}, "drift": {"a": 0.3}},
        "parameters": {"tune.trials": [1, 2]},
        "search": {"trials": [None, 2]},
        "seed": None,
        "code": None,
        "environment": ["tune"],
    }

    def run(words, **_):
        asked.append(words[4:])
        return SimpleNamespace(returncode=0, stdout=json.dumps(facts).encode(), stderr=b"")

    monkeypatch.setattr(compare.subprocess, "run", run)
    with center.as_("viewer") as viewer:
        texts = {viewer.get(f"/models/{name}/parts/why", params={"a": 2, "b": 1}).text for _ in range(2)}
    assert asked == [["why", name, "--version", "2", "--against", "1", "--json"]]
    (text,) = texts
    assert "Only &lt;b&gt;data" in text
    assert "&lt;i&gt;" in text


def test_a_comparison_that_fails_says_so(center, names, monkeypatch):
    failed = SimpleNamespace(returncode=2, stdout=b"", stderr=b"error: no such model")
    monkeypatch.setattr(compare.subprocess, "run", lambda *_, **__: failed)
    with center.as_("viewer") as viewer:
        found = viewer.get(f"/models/{names[1]}/parts/why", params={"a": 2, "b": 1})
    assert found.status_code == 502
    assert "error: no such model" in found.text


def test_lineage_goes_from_the_sources_to_the_callers(center, names):
    with center.as_("viewer") as viewer:
        text = viewer.get(f"/models/{names[0]}/lineage").text
        assert viewer.get(f"/models/{names[0]}/lineage?version=99999").status_code == 404
    live = center.ledger.route(names[0])
    for each in ("…", "customers", f"version {live}", "2 instances", "caller-1", "ingest:"):
        assert each in text
    assert len(re.findall('class="link"', text)) == 4 + 1 + 1 + 3


def test_the_operation_shows_drift_callers_alerts_and_cost(center, names):
    with center.as_("viewer") as viewer:
        text = viewer.get(f"/models/{names[0]}/operation").text
        assert "caller-0" in text
        charts = viewer.get(f"/models/{names[0]}/parts/charts").text
        assert "Drift of the inputs (PSI)" in charts
        live = viewer.get(f"/models/{names[0]}/parts/live").text
        assert "the gateway does not respond" in live
        assert "2 × " in live
        assert "peak memory" in viewer.get(f"/models/{names[0]}/parts/cost").text


@pytest.mark.parametrize(
    ("dag_id", "path"), [("retrain_{}", "/models/{}"), ("backup", "/operations"), ("retrain_nobody", "/")]
)
def test_the_page_of_a_dag_leads_to_its_model(center, names, dag_id, path):
    with center.as_("viewer") as viewer:
        found = viewer.get(f"/dag/{dag_id.format(names[0])}")
    assert (found.status_code, found.headers["location"]) == (303, f"/model-center{path.format(names[0])}")


def test_operations_are_shown_with_pools_disk_and_costs(center):
    with center.as_("viewer") as viewer:
        text = viewer.get("/operations").text
        for each in ("default_pool", "restore_drill", "free disk", "the monitor never looked"):
            assert each in text
        assert viewer.get("/parts/backups").status_code == viewer.get("/parts/costs").status_code == 200


def test_dependencies_of_a_version_are_told(filled, center, names):
    settings, ledger = filled
    name, other = names[0], names[1]
    row = ledger.champion(name)
    folder = settings.bentoml_home / "bentos" / row.bento_uri.replace(":", "/") / "src"
    folder.mkdir(parents=True)
    text = json.dumps({"docker": {"python_version": "3.11"}, "python": {"packages": ["numpy==2.4.6"]}})
    (folder / "bentofile.yaml").write_text(text)
    table = pa.table({"id": [1]})
    origin = Origin(table.schema, table.to_batches(), {"model": name, "night": "n", "stage": "clean"})
    publish(settings, ledger, "dependent", origin, Wish(), "ada")
    verbs.describe(ledger, other, {"related": [name]}, "ada")
    with center.as_("viewer") as viewer:
        assert f"/parts/dependencies?version={row.version}" in viewer.get(f"/models/{name}/lineage").text
        part = viewer.get(f"/models/{name}/parts/dependencies?version={row.version}").text
        for told in (f"home:feed/{name}/rows-*.csv", "SELECT * FROM t", "Python 3.11", "numpy==2.4.6"):
            assert told in part
        for link in (f'/models/{other}">', '/data/dependent">'):
            assert link in part
        assert "caller-0, caller-1" in part
        assert viewer.get(f"/models/{name}/parts/dependencies?version=99999").status_code == 404
        shutil.rmtree(folder)
        assert "no bento here" in viewer.get(f"/models/{name}/parts/dependencies?version={row.version}").text
