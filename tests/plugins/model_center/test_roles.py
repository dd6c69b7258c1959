"""Roles by domain on the pages: who has none sees nothing, and who is refused reads which role is missing."""

from __future__ import annotations

import re

import pytest
from center import center_of
from center_ledger import NOW, fill
from sqlalchemy import event, insert

from pipelines.ledger import schema
from pipelines.people import roles
from pipelines.people.domains import domain_of

WHO = {"actor": "root", "why": "a test"}


@pytest.fixture(scope="module")
def governed(tmp_path_factory):
    """A home of two models, of which the first one's domain has roles."""
    from pipelines import settings as settings_module

    settings = settings_module.load(home=tmp_path_factory.mktemp("roles") / "home", mlflow_port=1024).ensure()
    with fill(settings, 2, 5) as ledger:
        first = ledger.models()[0].name
        domain = domain_of(ledger, first)
        for person, role in (("a-op", "operator"), ("a-user", "viewer"), ("a-admin", "owner")):
            roles.grant(ledger, domain, person, role, **WHO)
        yield settings, ledger, first, domain


@pytest.fixture
def center(governed, airflow_users, away):
    return center_of(governed[0], governed[1], airflow_users, away)


def test_who_has_no_role_sees_no_model_of_the_domain_and_reads_why(center, governed):
    _, ledger, first, domain = governed
    other = next(row.name for row in ledger.models() if domain_of(ledger, row.name) != domain)
    with center.as_("viewer") as nobody:
        listed = re.findall(r'<th scope="row"><a href="/model-center/models/([^"]+)"', nobody.get("/").text)
        assert listed == [other]
        for path in ("", "/versions", "/call", "/parts/live"):
            found = nobody.get(f"/models/{first}{path}")
            assert found.status_code == 403
            assert f"the role viewer of the domain {domain} is missing; you have none there" in found.text
        assert "owners: a-admin" in found.text
        assert nobody.get(f"/models/{other}").status_code == 200
        assert "domain" not in nobody.post(f"/models/{other}/actions/pause", json={"why": "x"}).text


def test_airflows_rights_come_first_and_roles_narrow_them(center, governed):
    _, ledger, first, domain = governed
    body = {"why": "a test", "mark": str(ledger.mark(first)), "version": "1"}
    with center.as_("user") as user:
        page = user.get(f"/models/{first}")
        assert page.status_code == 200
        assert "data-dialog" not in page.text, "a viewer of the domain has no buttons, whatever Airflow allows"
        found = user.post(f"/models/{first}/actions/rollback", json=body)
    assert found.status_code == 403
    assert f"the role operator of the domain {domain} is missing; you are viewer there" in found.text
    roles.grant(ledger, domain, "a-viewer", "owner", **WHO)
    try:
        with center.as_("viewer") as viewer:
            found = viewer.post(f"/models/{first}/actions/rollback", json=body)
        assert found.status_code == 403
        assert "the right to create runs of the DAG rollback is missing" in found.text
    finally:
        roles.revoke(ledger, domain, "a-viewer", **WHO)
    assert ledger.actions(first) == []
    with center.as_("op") as op:
        assert "data-dialog" in op.get(f"/models/{first}").text
        assert op.post(f"/models/{first}/actions/start-night", json=body).status_code == 200
    assert ledger.actions(first)[0].actor == "a-op"


def test_more_models_take_no_more_statements(center, governed):
    """Roles, favourites and recommendations are read for all models at once."""
    _, ledger, first, domain = governed

    def statements(path):
        found = []

        def count(_connection, _cursor, statement, *_):
            found.append(statement)

        event.listen(ledger.engine, "before_cursor_execute", count)
        try:
            with center.as_("admin") as admin:
                assert admin.get(path).status_code == 200
        finally:
            event.remove(ledger.engine, "before_cursor_execute", count)
        return found

    ledger.set_favourite("a-admin", first, True)
    before = {path: len(statements(path)) for path in ("/", "/parts/yours")}
    spec = ledger.model(first).spec
    rows = [{"name": f"{domain}_more_{n}", "spec": spec, "identity": None, "created_at": NOW} for n in range(40)]
    with ledger.transaction() as connection:
        connection.execute(insert(schema.models), rows)
    assert {path: len(statements(path)) for path in before} == before
    with center.as_("admin") as admin:
        assert f"{domain}_more_39" in admin.get("/?q=more_39").text


def test_only_who_owns_both_domains_moves_a_model(center, governed):
    _, ledger, first, domain = governed
    other = next(row.name for row in ledger.models() if domain_of(ledger, row.name) != domain)
    roles.grant(ledger, "vault", "a-admin", "viewer", **WHO)

    def move(browser, model, to):
        body = {"revision": str(ledger.catalog_row(model).revision), "domain": to}
        return browser.post(f"/models/{model}/catalog/describe", json=body)

    roles.grant(ledger, domain, "a-user", "operator", **WHO)
    with center.as_("user") as operator:
        found = move(operator, first, "elsewhere")
        assert found.status_code == 403
        assert f"You may not move: the role owner of the domain {domain} is missing" in found.text
        assert move(operator, first, domain).status_code == 200, "what stays as it is needs no owner"
    with center.as_("admin") as owner:
        found = move(owner, first, "vault")
        assert found.status_code == 403
        assert "the role owner of the domain vault is missing; you are viewer there" in found.text
        assert move(owner, other, domain.upper()).status_code == 200
    with center.as_("viewer") as nobody:
        assert f"the domain {domain} is missing" in nobody.get(f"/models/{other}").text, "it belongs there now"
