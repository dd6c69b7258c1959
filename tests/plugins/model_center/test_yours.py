"""Favourites, last seen and recommended: each person's own, on the page of all models."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sqlalchemy import event


def named(text, title):
    part = re.search(rf"<h2>{title}</h2>(.*?)</div>", text.replace("</div></li>", "</li>"), re.DOTALL)
    return re.findall(r'href="/model-center/models/([^"]+)"', part.group(1)) if part else []


def test_a_star_is_of_its_person_and_is_shown(center, names):
    with center.as_("viewer") as viewer, center.as_("op") as op:
        page = viewer.get("/").text
        assert page.count('aria-pressed="false"') == 3
        found = viewer.post(f"/models/{names[1]}/favourite", json={"favourite": "yes"})
        assert 'aria-pressed="true"' in found.text
        assert found.headers["HX-Trigger"] == "favourite"
        assert viewer.get("/").text.count('aria-pressed="true"') == 1
        assert named(viewer.get("/parts/yours").text, "Favourites") == [names[1]]
        assert named(op.get("/parts/yours").text, "Favourites") == []
        viewer.post(f"/models/{names[1]}/favourite", json={"favourite": "no"})
        assert named(viewer.get("/parts/yours").text, "Favourites") == []
        assert viewer.post(f"/models/{names[1]}/favourite", json={"favourite": 9}).status_code == 422
        assert viewer.post("/models/nothing/favourite", json={"favourite": "yes"}).status_code == 404


def test_what_was_seen_is_noted_after_the_answer_and_once_an_hour(center, names):
    written = []

    def note(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO preferences"):
            written.append(statement)

    event.listen(center.ledger.engine, "before_cursor_execute", note)
    try:
        with center.as_("op") as op:
            for _ in range(3):
                for tab in ("", "/versions", "/lineage"):
                    assert op.get(f"/models/{names[0]}{tab}").status_code == 200
            op.get(f"/models/{names[2]}")
            assert named(op.get("/parts/yours").text, "Last seen") == [names[2], names[0]]
    finally:
        event.remove(center.ledger.engine, "before_cursor_execute", note)
    assert len(written) == 2


def test_a_ledger_that_cannot_be_written_spoils_no_page(center, names, monkeypatch):
    def refuse(*_):
        raise OSError("locked")

    monkeypatch.setattr(type(center.ledger), "saw", refuse)
    with center.as_("user") as user:
        assert user.get(f"/models/{names[0]}").status_code == 200


def test_who_decides_sees_the_requests_that_wait(center, names):
    row = center.ledger.request_access(
        names[1], "zoe", purpose="x", scopes=["predict"], rate="1/minute", quota="1/month", days=1
    )
    wish = {"purpose": "x", "scopes": ["predict"], "rate": "1/minute", "quota": "1/month", "days": 1}
    others = [center.ledger.request_access("of_others", f"p{number}", **wish) for number in range(60)]
    try:
        with center.as_("admin") as browser, center.as_("viewer") as viewer:
            assert f"{names[1]}: zoe" in browser.get("/parts/yours").text
            assert "zoe" not in viewer.get("/parts/yours").text
    finally:
        for each in (row, *others):
            center.ledger.decide_access(each.id, "refused", actor="x", why="x")


def test_recommended_comes_with_the_reason(center, names):
    today = datetime.now(UTC).date()
    calls = {(f"team-{each}", name, today): (100, 0, 100) for each in range(2) for name in names[:2]}
    center.ledger.count_usage(calls)
    with center.as_("admin") as admin:
        assert named(admin.get("/parts/yours").text, "Recommended") == []
        admin.post(f"/models/{names[0]}/favourite", json={"favourite": "yes"})
        text = admin.get("/parts/yours").text
        center.ledger.archive_model(names[1], True, actor="ada", why="replaced")
        without = admin.get("/parts/yours").text
        center.ledger.archive_model(names[1], False, actor="ada", why="needed")
        admin.post(f"/models/{names[0]}/favourite", json={"favourite": "no"})
    assert named(text, "Recommended") == [names[1]]
    assert named(without, "Recommended") == [], "what is archived is not recommended"
    assert f"2 others call both this and {names[0]}" in text
