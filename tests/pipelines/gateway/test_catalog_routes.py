"""The catalog over HTTP: scopes, limits, stale changes; whatever is wrong is 4xx with a cure."""

from __future__ import annotations

import os
import subprocess
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from gateways import running

from pipelines import settings as settings_module
from pipelines.ledger import Ledger
from pipelines.people import roles

PYTHON = Path(__file__).parents[3] / ".clients" / "bin" / "python"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A gateway over a ledger of two models without a service; ``ask(method, path, scopes)`` asks with a token."""
    from pipelines.spec import ModelSpec

    settings = settings_module.load(home=tmp_path_factory.mktemp("catalog") / "home").ensure()
    with Ledger.open(settings) as ledger:
        for name in ("churn", "fraud"):
            ledger.remember_model(ModelSpec(name=name, task="binary", target="y", positive="yes"))
        tokens = {}

        def ask(method, path, *scopes, headers=None, **more):
            key = scopes or ("catalog-write",)
            if key not in tokens:
                tokens[key] = ledger.issue_token(f"t-{'-'.join(key).replace(':', '_')}", key, 1)
            sent = {"Authorization": f"Bearer {tokens[key]}", **(headers or {})}
            return client.request(method, f"/v1/catalog/models{path}", headers=sent, **more)

        with running(settings, ledger) as client:
            yield SimpleNamespace(ask=ask, ledger=ledger, client=client)


def test_an_entry_is_changed_found_and_read(live):
    first = live.ask("GET", "/churn", "catalog:churn")
    assert (first.status_code, first.json()["owner"], first.headers["etag"]) == (200, "data-engineering", '"0"')
    body = {"description": "Who <b>leaves</b>", "tags": ["eu"], "related": ["fraud", "churn"], "owner": None}
    changed = live.ask("PATCH", "/churn", json=body, headers={"If-Match": '"0"'})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["related"], changed.headers["etag"]) == (["fraud"], '"1"')
    found = live.ask("GET", "", "catalog", params={"q": "leaves eu"}).json()["models"]
    assert [(each["model"], each["found_in"]) for each in found] == [("churn", ["description", "tags"])]
    only = live.ask("GET", "", "catalog:fraud").json()["models"]
    assert [each["model"] for each in only] == ["fraud"], "a token of one model sees that alone"
    usage = live.ledger.usage(date(2000, 1, 1), date(2999, 1, 1))
    assert usage == [], "what is said of a model is no call of it"


def test_a_stale_change_is_409_with_what_changed(live):
    seen = live.ask("GET", "/fraud").headers["etag"]
    live.ask("PATCH", "/fraud", json={"domain": "risk"}, headers={"If-Match": seen})
    late = live.ask("PATCH", "/fraud", json={"domain": "crm"}, headers={"If-Match": seen})
    assert late.status_code == 409
    assert "describe domain" in late.json()["error"]["faults"][0]
    assert live.ask("GET", "/fraud").json()["domain"] == "risk"
    assert live.ask("POST", "/fraud:archive", json={"why": "x"}, headers={"If-Match": seen}).status_code == 409


def test_notes_and_ratings(live):
    note = live.ask("POST", "/churn/notes", json={"text": "odd since March"})
    assert (note.status_code, note.json()["by"]) == (201, "t-catalog-write")
    number = note.json()["note"]
    assert live.ask("DELETE", f"/churn/notes/{number}", "catalog-write:churn").status_code == 403
    assert live.ask("DELETE", f"/churn/notes/{number}", "admin").status_code == 204
    assert live.ask("DELETE", f"/churn/notes/{number}").status_code == 404
    for stars in (2, 4.0):
        assert live.ask("PUT", "/churn/rating", json={"stars": stars, "text": "ok"}).status_code == 200
    entry = live.ask("GET", "/churn").json()
    assert (entry["rating"], [each["stars"] for each in entry["ratings"]]) == ({"stars": 4.0, "people": 1}, [4])
    assert live.ask("DELETE", "/churn/rating").status_code == 204
    assert live.ask("DELETE", "/churn/rating").status_code == 404
    assert "churn:predict" in live.ask("GET", "/churn/share").json()["predict"]


def test_an_archived_model_is_found_where_it_is_asked_for(live):
    done = live.ask("POST", "/fraud:archive", json={"why": "replaced"})
    assert done.status_code == 200
    assert "replaced" in done.json()["archived"]
    assert live.ask("POST", "/fraud:archive", json={"why": "again"}).status_code == 409
    names = {
        which: [each["model"] for each in live.ask("GET", "", params={"archived": which}).json()["models"]]
        for which in ("false", "true", "any")
    }
    assert names == {"false": ["churn"], "true": ["fraud"], "any": ["churn", "fraud"]}
    assert live.ask("POST", "/fraud:unarchive", json={"why": "needed"}).status_code == 200
    assert live.ask("POST", "/fraud:unarchive", json={"why": "needed"}).status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/churn/rating", {"stars": 9}, 400),
        ("PUT", "/churn/rating", {"stars": "4"}, 400),
        ("PUT", "/churn/rating", {"stars": 4, "why": "x"}, 400),
        ("PATCH", "/churn", {"description": "x" * 20_001}, 400),
        ("PATCH", "/churn", {"description": "x" * 200_000}, 413),
        ("PATCH", "/churn", {"owner": "a\x00b"}, 400),
        ("PATCH", "/churn", {"tags": ["a b"]}, 400),
        ("PATCH", "/churn", {"related": ["nobody"]}, 400),
        ("PATCH", "/churn", {"stars": 5}, 400),
        ("PATCH", "/churn", [], 400),
        ("PATCH", "/nobody", {}, 404),
        ("PATCH", "/%00", {}, 404),
        ("POST", "/churn/notes", {"text": " "}, 400),
        ("POST", "/churn/notes", {"text": "x", "version": 0}, 400),
        ("POST", "/churn/notes", {"text": "x", "version": 10**30}, 400),
        ("POST", "/churn/notes", {"text": "x", "version": 7}, 404),
        ("DELETE", f"/churn/notes/{10**30}", None, 404),
        ("POST", "/churn:archive", {}, 400),
        ("POST", "/churn:archive", {"why": "x", "pause": 1}, 400),
        ("POST", "/churn:delete", {"versions": [1], "why": "x"}, 403),
    ],
)
def test_what_is_wrong_is_told(live, method, path, body, status):
    found = live.ask(method, path, json=body)
    assert found.status_code == status, found.text
    assert found.json()["error"]["what"]


def test_scopes_headers_and_queries(live):
    assert live.client.get("/v1/catalog/models").status_code == 401
    assert live.ask("GET", "/churn", "predict").status_code == 403
    assert live.ask("PATCH", "/churn", "catalog", json={}).status_code == 403
    assert live.ask("PATCH", "/churn", "catalog-write:fraud", json={}).status_code == 403
    assert live.ask("PATCH", "/churn", json={}, headers={"If-Match": "x"}).status_code == 400
    refused = live.ask("DELETE", "/churn")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, PATCH")
    assert live.ask("GET", "", params={"archived": "maybe"}).status_code == 400
    assert live.ask("GET", "", params={"q": "x" * 201}).status_code == 400
    for text in ("%", "_", "'", '"', "\\", "\x00", "' OR 1=1 --", "😀"):
        found = live.ask("GET", "", params={"q": text})
        assert (found.status_code, found.json()["models"]) == (200, []), text
    assert live.ask("POST", "/churn:delete", "admin", json={"versions": [1], "why": "x"}).status_code == 404


def test_the_document_shows_what_the_token_may_do(live):
    def paths(*scopes):
        token = live.ledger.issue_token("reader", scopes, 1)
        return live.client.get("/openapi.json", headers={"Authorization": f"Bearer {token}"}).json()["paths"]

    entry = "/v1/catalog/models/{name}"
    assert not any("catalog" in each for each in paths("predict"))
    assert set(paths("catalog")[entry]) == {"parameters", "get"}
    assert f"{entry}:archive" in paths("catalog-write:churn")
    assert f"{entry}:delete" not in paths("catalog-write")
    assert f"{entry}:delete" in paths("admin")


@pytest.mark.skipif(not PYTHON.exists(), reason="the clients' environment is not built: make .clients/.built")
def test_schemathesis_finds_nothing(live, tmp_path):
    token = live.ledger.issue_token("fuzzer", ["admin" if os.environ.get("AIMASS_FULL") else "catalog-write"], 1)
    done = subprocess.run(
        [
            str(PYTHON.with_name("schemathesis")),
            "run",
            f"{live.client.base_url}/openapi.json",
            "--header",
            f"Authorization: Bearer {token}",
            "--include-path-regex",
            "catalog",
            *(("--max-examples", "300") if os.environ.get("AIMASS_FULL") else ("--phases", "coverage")),
            "--checks",
            "all",
            "--no-color",
            "--generation-deterministic",
            "--suppress-health-check",
            "all",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_where_roles_are_given_a_token_without_admin_moves_no_model(live):
    assert live.ask("PATCH", "/churn", json={"domain": "crm"}).status_code == 200
    roles.grant(live.ledger, "crm", "ada", "owner", actor="root", why="a test")
    found = live.ask("PATCH", "/churn", json={"domain": None})
    assert found.status_code == 403
    assert found.json()["error"]["cure"] == "ask an owner of both domains to do it in the Model Center"
    assert live.ask("PATCH", "/churn", json={"owner": "crm"}).status_code == 200
    assert live.ask("PATCH", "/churn", "admin", json={"domain": None}).status_code == 200
