"""The page of all models: search, filters, order; names of others are text, whatever they hold."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import update

from pipelines.ledger import schema


def listed(text):
    return re.findall(r'<th scope="row"><a href="/model-center/models/([^"]+)"', text)


def test_each_model_with_what_is_live_and_how_good_it_is(center, names):
    with center.as_("viewer") as viewer:
        text = viewer.get("/").text
    assert listed(text) == names
    live = center.ledger.champion(names[0])
    assert f"version {live.version}" in text
    assert f"{live.score:.4g}" in text
    assert text.count('class="spark"') == 3
    assert "30 scores from" in text


def test_search_filters_and_order(center, names):
    with center.as_("viewer") as viewer:
        assert listed(viewer.get("/", params={"q": names[1][:-1]}).text) == [names[1]]
        assert listed(viewer.get("/", params={"q": "team-2"}).text) == [n for n in names if n.endswith("_002")]
        assert listed(viewer.get("/", params={"task": "regression"}).text) == [n for n in names if n.endswith("_001")]
        assert listed(viewer.get("/", params={"state": "not-live"}).text) == []
        assert "No model fits" in viewer.get("/", params={"score": "worse"}).text
        scores = {row.name: row.score for row in center.ledger.overview(min_day())}
        by_score = sorted(names, key=lambda name: -scores[name])
        assert listed(viewer.get("/", params={"sort": "score"}).text) == by_score


def min_day():
    from datetime import date

    return date(2026, 1, 1)


@pytest.mark.parametrize("text", ["%", "_", "'", '"', "' OR 1=1 --", "\\", "x" * 5000, "\x00", "<script>"])
def test_a_search_is_text_and_nothing_else(center, text):
    with center.as_("viewer") as viewer:
        found = viewer.get("/", params={"q": text})
    assert found.status_code == 200
    assert listed(found.text) == [] or text == "_"
    assert "<script>" not in found.text


def test_a_part_is_the_table_alone(center):
    with center.as_("viewer", **{"HX-Request": "true", "HX-Target": "models"}) as htmx:
        text = htmx.get("/").text
    assert "<html" not in text
    assert "of 3 models" in text


@pytest.mark.parametrize("page", ["0", "-1", "x", "999999999", ""])
def test_a_page_that_is_none_is_the_first_or_the_last(center, names, page):
    with center.as_("viewer") as viewer:
        assert listed(viewer.get("/", params={"page": page}).text) == names


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}'


def test_names_that_are_markup_stay_text(center, names):
    name = names[0]
    ledger = center.ledger
    alert_key = "hostile"
    ledger.alert(name, "drift", HOSTILE, alert_key)
    ledger.act(name, "acknowledge", actor=HOSTILE[:120], why=HOSTILE, about={"alert": 0})
    with ledger.transaction() as connection:
        before = ledger.model(name).spec
        connection.execute(
            update(schema.models).where(schema.models.c.name == name).values(spec={**before, "owner": HOSTILE})
        )
    try:
        with center.as_("admin") as admin:
            for path in ("/", f"/models/{name}", f"/models/{name}/operation", "/operations"):
                text = admin.get(path).text
                assert "<script>alert" not in text
                assert "<img" not in text
                assert "&lt;script&gt;alert(1)" in text, path
                assert "49" not in text or "{{ 7*7 }}" in text
    finally:
        ledger.resolve_alert(name, alert_key)
        with ledger.transaction() as connection:
            connection.execute(update(schema.models).where(schema.models.c.name == name).values(spec=before))
