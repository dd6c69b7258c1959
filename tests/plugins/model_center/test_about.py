"""The tab About and the filters of the catalog: rights, stale pages, hostile Markdown, archived models."""

from __future__ import annotations

import re
from json import dumps

import pytest
from aimass_airflow.model_center import about
from sqlalchemy import event

from pipelines.ledger.archive import InUseError

ACTIONS = ("describe", "note", "remove-note", "rate", "withdraw", "archive", "unarchive", "delete")
JSON = {"Content-Type": "application/json"}
HOSTILE = "<script>alert(1)</script> [a](javascript:alert(2)) <img src=x onerror=alert(3)>"


def do(browser, name, action, **body):
    return browser.post(f"/models/{name}/catalog/{action}", json=body)


def listed(text):
    return re.findall(r'<th scope="row"><a href="/model-center/models/([^"]+)"', text)


def revision(center, name):
    return str(center.ledger.catalog_row(name).revision)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_viewer_reads_and_is_refused(center, names, action):
    before = center.ledger.catalog_row(names[0])
    body = {"revision": str(before.revision), "why": "x", "text": "x", "stars": "5", "note": "1", "version": "1"}
    with center.as_("viewer") as viewer:
        page = viewer.get(f"/models/{names[0]}/about")
        found = do(viewer, names[0], action, **body)
        looked = viewer.get(f"/models/{names[0]}/parts/delete?version=1")
    assert page.status_code == 200
    assert "data-dialog" not in page.text
    assert "hx-post" not in page.text
    assert (found.status_code, looked.status_code) == (403, 403)
    assert "the right to" in found.text
    assert center.ledger.catalog_row(names[0]) == before


def test_an_entry_is_edited_and_shown_and_found(center, names):
    name, other = names[0], names[1]
    with center.as_("user") as user:
        body = {
            "revision": revision(center, name),
            "description": f"Who *leaves*. {HOSTILE}",
            "owner": "",
            "tags": "crm, gdpr",
            "related": other,
            "use_cases": "call list\n\nreport",
        }
        found = do(user, name, "describe", **body)
        assert found.status_code == 200, found.text
        page = user.get(f"/models/{name}/about").text
        assert "<em>leaves</em>" in page
        assert "<script>alert" not in page
        assert 'href="javascript' not in page
        assert "<img" not in page
        assert f'href="/model-center/models/{other}"' in page
        assert "from the DAG file" in page
        assert listed(user.get("/", params={"q": "leaves report"}).text) == [name]
        assert listed(user.get("/", params={"tag": "gdpr"}).text) == [name]
        assert listed(user.get("/", params={"tag": "gdpr", "domain": "nowhere"}).text) == []
        late = do(user, name, "describe", **{**body, "tags": "late"})
        assert late.status_code == 409
        assert "somebody acted since" in late.text
        assert "describe" in late.text
        assert "a-user" in late.text
    assert center.ledger.catalog_row(name).tags == ["crm", "gdpr"]


def test_notes_and_ratings_with_what_is_wrong_in_them(center, names):
    name = names[1]
    with center.as_("user") as user, center.as_("op") as operator:
        assert do(user, name, "note", text=HOSTILE, version="1").status_code == 200
        page = user.get(f"/models/{name}/about").text
        assert "&lt;script&gt;" in page
        assert "<script>alert" not in page
        number = str(center.ledger.notes(name)[0].id)
        for status, body in ((404, {"text": "x", "version": "99999"}), (422, {"text": ""}), (422, {"text": "\ud800"})):
            assert user.post(f"/models/{name}/catalog/note", content=dumps(body), headers=JSON).status_code == status
        for stars in ("9", "0", "x", None, 4.5, [5]):
            assert do(user, name, "rate", stars=stars, text="").status_code == 422, stars
        assert "1 to 5" in do(user, name, "rate", stars="9").text
        assert do(user, name, "rate", stars="4", text=HOSTILE).status_code == 200
        assert do(operator, name, "rate", stars="3").status_code == 200
        assert "★ 3.5" in user.get("/").text
        assert do(user, name, "withdraw").status_code == 200
        assert do(user, name, "withdraw").status_code == 404
        assert do(user, name, "remove-note", note=number).status_code == 200
        assert do(user, name, "remove-note", note=number).status_code == 404
        assert do(user, name, "nothing").status_code == 404
        assert do(user, name, "describe", revision="x").status_code == 422
        assert do(user, name, "describe", revision="1", description="x" * 300_000).status_code == 413


def test_an_archived_model_is_left_out_and_starts_no_night(center, names):
    name = names[2]
    with center.as_("op") as operator:
        now = revision(center, name)
        refused = do(operator, name, "archive", revision=now, why="replaced")
        assert refused.status_code == 409
        assert "allers may ask this model" in refused.text
        assert do(operator, name, "archive", revision=now, why="replaced", pause="true").status_code == 200
        assert name in center.ledger.paused()
        assert name not in listed(operator.get("/").text)
        assert listed(operator.get("/", params={"state": "archived"}).text) == [name]
        mark = str(center.ledger.mark(name))
        for action in ("start-night", "resume", "rollback"):
            again = operator.post(f"/models/{name}/actions/{action}", json={"mark": mark, "why": "x", "version": "1"})
            assert again.status_code == 409, action
            assert "out of the archive" in again.text
        assert center.airflow.runs == []
        assert "archived" in operator.get(f"/models/{name}").text
        assert do(operator, name, "unarchive", revision=now, why="needed").status_code == 409, "the page is stale"
        assert do(operator, name, "unarchive", revision=revision(center, name), why="needed").status_code == 200
        assert name in listed(operator.get("/").text)


def test_a_version_is_looked_at_before_it_is_deleted(center, names, monkeypatch):
    asked = []

    def delete(settings, ledger, model, versions, why, who, *, dry_run):
        asked.append((model, versions, why, who, dry_run))
        if versions == [3]:
            raise InUseError("this cannot be deleted", where=model, seen="version 3: it is live")
        return [{"what": "version 2: model directory", "bytes": 2_000_000}]

    monkeypatch.setattr(about, "delete_versions", delete)
    with center.as_("admin") as admin:
        page = admin.get(f"/models/{names[0]}/parts/delete?version=2")
        assert "2.0 MB" in page.text
        assert "hx-post" in page.text
        against = admin.get(f"/models/{names[0]}/parts/delete?version=3").text
        assert "it is live" in against
        assert "hx-post" not in against
        assert do(admin, names[0], "delete", version="2", why="wrong prices").status_code == 200
        assert do(admin, names[0], "delete", version="3", why="x").status_code == 409
    assert asked[2] == (names[0], [2], "wrong prices", "a-admin", False)


def test_the_list_of_models_takes_few_statements(center):
    said = []

    def note(*arguments):
        said.append(arguments[2])

    event.listen(center.ledger.engine, "before_cursor_execute", note)
    try:
        with center.as_("viewer") as viewer:
            assert viewer.get("/", params={"q": "feature3"}).status_code == 200
    finally:
        event.remove(center.ledger.engine, "before_cursor_execute", note)
    selects = [each for each in said if each.startswith("SELECT")]
    assert len(selects) <= 12, selects
