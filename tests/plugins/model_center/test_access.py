"""Requests to use a model on its page: asked, decided by who may, stale ones refused, the token shown once."""

from __future__ import annotations

import html
import re

import pytest

WISH = {"purpose": "the <b>shop</b>", "per_minute": "60", "per_month": "100000", "days": "30", "scopes": "predict"}


@pytest.fixture
def name(names):
    return names[0]


@pytest.fixture
def asked(center, name):
    """An open request of the user."""
    with center.as_("user") as user:
        found = user.post(f"/models/{name}/access", json=WISH)
    assert found.status_code == 200, found.text
    row = center.ledger.access_requests(model=name)[0]
    yield row
    if center.ledger.access_request(row.id).state == "asked":
        center.ledger.decide_access(row.id, "refused", actor="test", why="over")


def test_from_the_wish_to_the_token(center, name, asked):
    with center.as_("user") as user, center.as_("admin") as admin:
        own = user.get(f"/models/{name}/call").text
        assert "the &lt;b&gt;shop" in own
        assert "Ask for access" not in own, "one request at a time"
        assert f"/access/{asked.id}/token" not in own
        page = admin.get(f"/models/{name}/call").text
        assert f'id="waiting-{asked.id}"' in page
        found = admin.post(f"/models/{name}/access/{asked.id}", json={"decision": "approve", "why": "agreed"})
        assert found.status_code == 200
        assert found.headers["HX-Retarget"] == "#access"
        assert "is approved" in found.text
        assert f'id="waiting-{asked.id}"' not in found.text
        own = user.get(f"/models/{name}/call").text
        assert "Approved by a-admin" in own
        assert f"/access/{asked.id}/token" in own
        assert admin.post(f"/models/{name}/access/{asked.id}/token", json={}).status_code == 422, "of somebody else"
        shown = user.post(f"/models/{name}/access/{asked.id}/token", json={})
        text = html.unescape(re.search(r"<code>(aimass_[^<]+)</code>", shown.text).group(1))
        assert shown.headers["cache-control"] == "private, no-store"
        token = center.ledger.check_token(text)
        assert (token.scopes, token.rate, token.quota) == ([f"predict:{name}"], "60/minute", "100000/month")
        again = user.post(f"/models/{name}/access/{asked.id}/token", json={})
        assert again.status_code == 409
        assert "drawn already" in again.text
        own = user.get(f"/models/{name}/call").text
        assert text not in own
        assert token.name in own


def test_a_decision_on_a_stale_page_is_409_and_says_what_was_decided(center, name, asked):
    with center.as_("admin") as admin, center.as_("user") as user:
        body = {"decision": "refuse", "why": "use another"}
        assert admin.post(f"/models/{name}/access/{asked.id}", json=body).status_code == 200
        found = admin.post(f"/models/{name}/access/{asked.id}", json={"decision": "approve", "why": "fine"})
        assert found.status_code == 409
        assert "refused by a-admin" in found.text
        assert "use another" in found.text
        own = user.get(f"/models/{name}/call").text
    assert "Refused by a-admin" in own
    assert "Ask for access" in own


def test_a_viewer_can_neither_ask_nor_decide_and_reads_why(center, name, names, asked):
    with center.as_("viewer") as viewer:
        page = viewer.get(f"/models/{name}/call").text
        assert "hx-post" not in page
        assert f"the right to create runs of the DAG retrain_{name} is missing" in page
        posts = {
            f"/models/{name}/access": WISH,
            f"/models/{name}/access/{asked.id}": {"decision": "approve", "why": "x"},
            f"/models/{name}/access/{asked.id}/token": {},
        }
        for path, body in posts.items():
            found = viewer.post(path, json=body)
            assert found.status_code == 403, path
            assert "is missing" in found.text
    assert center.ledger.access_request(asked.id).state == "asked"
    with center.as_("admin") as admin:
        other = f"/models/{names[1]}/access/{asked.id}"
        assert admin.post(other, json={"decision": "approve", "why": "x"}).status_code == 404, "of another model"
        found = admin.post(f"/models/{name}/access/{asked.id}", data={"decision": "approve", "why": "x"})
        assert found.status_code == 415


@pytest.mark.parametrize("change", [{"per_minute": "many"}, {"purpose": ""}, {"scopes": ["admin"]}, {"days": 1e9}])
def test_what_does_not_fit_is_told_and_not_kept(center, names, change):
    with center.as_("user") as user:
        found = user.post(f"/models/{names[2]}/access", json={**WISH, **change})
    assert found.status_code == 422
    assert "expected" in found.text
    assert center.ledger.access_requests(model=names[2]) == []


def test_no_days_are_not_the_default_days(center, name):
    with center.as_("user") as user:
        found = user.post(f"/models/{name}/access", json=WISH | {"days": 0})
    assert found.status_code == 422
    assert "days: seen 0" in found.text
    assert not center.ledger.access_requests(model=name, states=["asked"])
