"""Who comes in, what every answer carries, and what a POST must look like."""

from __future__ import annotations

import hashlib
import json

import pytest
from aimass_airflow.model_center import app as center_app
from aimass_airflow.model_center.render import STATIC

CSP = "default-src 'none'; script-src 'self'; style-src 'self';"


def addresses(name):
    filled = {"name": name, "dag_id": f"retrain_{name}", "id": "1", "action": "pause", "path": "index.html"}
    filled |= {"version": "1", "file": "page.html"}
    return [path.replace("{path:path}", "{path}").format(**filled) for path, _ in center_app.PAGES]


def test_anonymous_gets_401_everywhere(center, names):
    with center.as_(None) as nobody:
        seen = {path: nobody.get(path).status_code for path in [*addresses(names[0]), "/static/x/center.css"]}
        for path, *_ in (*center_app.POSTS, *center_app.FORMS):
            path = path.format(name=names[0], action="pause", id="1", version="1")
            seen[f"POST {path}"] = nobody.post(path, json={"why": "x"}).status_code
    assert set(seen.values()) == {401}, seen


def test_a_forged_token_gets_no_page(center):
    with center.as_(None) as nobody:
        nobody.cookies["_token"] = "forged"
        assert nobody.get("/").status_code in (401, 403)
        assert nobody.get("/", headers={"Authorization": "Bearer forged"}).status_code in (401, 403)


def test_a_bearer_token_is_a_user_too(center, airflow_users):
    with center.as_(None) as program:
        found = program.get("/", headers={"Authorization": f"Bearer {airflow_users['viewer']}"})
    assert found.status_code == 200
    assert "a-viewer" in found.text


def test_every_page_has_the_strict_policy_and_no_script_inside(center, names):
    with center.as_("admin") as admin:
        for path in addresses(names[0]):
            found = admin.get(path)
            policy = found.headers["content-security-policy"]
            assert policy.startswith((CSP, "sandbox")), path
            assert found.headers["x-content-type-options"] == "nosniff"
            assert "unsafe-inline" not in policy or policy.startswith("sandbox")
            for piece in found.text.split("<script")[1:]:
                assert " src=" in piece.split(">")[0], path
            assert " style=" not in found.text
            assert "onclick" not in found.text
            assert "http://" not in found.text.replace("http://testserver", "").replace("http://127.0.0.1", ""), path


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", None])
def test_a_post_is_json_or_refused(center, names, kind):
    with center.as_("admin") as admin:
        headers = {} if kind is None else {"Content-Type": kind}
        body = json.dumps({"why": "x", "mark": "0-0"}).encode()
        found = admin.post(f"/models/{names[0]}/actions/pause", content=body, headers=headers)
    assert found.status_code == 415
    assert center.ledger.paused() == {}


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[1]", 400), (b"[" * 100_000, 400), (b'"' + b"x" * 300_000 + b'"', 413)]
)
def test_a_body_that_is_no_object_is_refused(center, names, body, status):
    with center.as_("admin") as admin:
        found = admin.post(
            f"/models/{names[0]}/actions/pause", content=body, headers={"Content-Type": "application/json"}
        )
    assert found.status_code == status


def test_static_files_are_kept_and_no_other_file_is_given(center):
    with center.as_("viewer") as viewer:
        script = viewer.get("/static/abc/vendor/htmx.min.js")
        assert script.status_code == 200
        assert "immutable" in script.headers["cache-control"]
        for path in ("..%2fapp.py", "vendor%2f..%2f..%2fapp.py", "nothing.js", "%2e%2e/rights.py"):
            assert viewer.get(f"/static/abc/{path}").status_code == 404


def test_vendored_files_are_what_they_are_said_to_be():
    folder = STATIC / "vendor"
    said = json.loads((folder / "vendored.json").read_text())
    there = {path.name for path in folder.iterdir() if path.suffix in (".js", ".css")}
    assert there == set(said)
    for name, facts in said.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"]
        assert (folder / facts["licence_file"]).is_file()
        assert facts["licence"] in ("MIT", "0BSD")


def test_a_fault_of_ours_is_a_page_and_a_line_in_the_log(center, names, monkeypatch, caplog):
    monkeypatch.setattr(type(center.ledger), "overview", lambda *_: 1 / 0)
    with center.as_("admin") as admin:
        found = admin.get("/")
    assert found.status_code == 500
    assert "division" not in found.text
    assert "division" in caplog.text
