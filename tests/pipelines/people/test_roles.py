"""Roles by domain: who may do what, what is refused and in which words, and that each change is kept."""

from __future__ import annotations

import pytest

from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.people import roles
from pipelines.people.domains import domain_of, domains_of

WHO = {"actor": "root", "why": "a test"}


@pytest.fixture
def ledger(home):
    with Ledger.open(home) as ledger:
        yield ledger


def test_a_model_belongs_to_the_longest_domain_that_its_name_begins_with(ledger):
    assert domain_of(ledger, "sales_churn") == "*"
    for domain in ("sales", "sales_north"):
        roles.grant(ledger, domain, "ada", "owner", **WHO)
    names = ("sales", "sales_churn", "sales_north_churn", "salesman", "risk")
    assert domains_of(ledger, names) == {
        "sales": "sales", "sales_churn": "sales", "sales_north_churn": "sales_north", "salesman": "*", "risk": "*",
    }  # fmt: skip


def test_the_domain_that_the_catalog_names_comes_first(ledger, make_night):
    ledger.open_night(make_night("n1", name="sales_churn"), "local")
    roles.grant(ledger, "sales", "ada", "owner", actor="root", why="a test")
    ledger.describe_model("sales_churn", {"domain": "Risk"}, actor="root")
    assert domain_of(ledger, "sales_churn") == "Risk"
    roles.grant(ledger, "risk", "ada", "owner", actor="root", why="a test")
    assert domain_of(ledger, "sales_churn") == "risk", "written as where roles were granted"
    ledger.describe_model("sales_churn", {"domain": None}, actor="root")
    assert domain_of(ledger, "sales_churn") == "sales"


def test_where_no_role_was_ever_granted_nothing_is_lacking(ledger):
    roles.grant(ledger, "sales", "ada", "owner", **WHO)
    assert {roles.standing(ledger, "bob").lacks(action, "risk") for action in roles.NEEDED} == {None}
    assert roles.standing(ledger, "bob").lacks("see", "sales") == "viewer"
    roles.revoke(ledger, "sales", "ada", **WHO)
    assert roles.standing(ledger, "ada").lacks("see", "sales") == "viewer", "the domain stays restricted"


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", {"see", "request"}),
        ("caller", {"see", "request", "ask", "note", "rate", "evaluate", "download-table"}),
        ("operator", set(roles.NEEDED) - {"decide", "move", "import"}),
        ("owner", set(roles.NEEDED)),
    ],
)
def test_each_role_may_what_those_before_it_may(ledger, role, may):
    roles.grant(ledger, "sales", "ada", role, **WHO)
    ada = roles.standing(ledger, "ada")
    assert {action for action in roles.NEEDED if ada.lacks(action, "sales") is None} == may
    assert ada.lacks("an action of another release", "sales") == (None if role == "owner" else "owner")


def test_the_higher_of_own_everybodys_and_the_installations_role_counts(ledger):
    roles.grant(ledger, "sales", "*", "viewer", **WHO)
    roles.grant(ledger, "sales", "ada", "operator", **WHO)
    roles.grant(ledger, "*", "eve", "owner", **WHO)
    assert roles.standing(ledger, "bob").role("sales") == "viewer"
    assert roles.standing(ledger, "ada").role("sales") == "operator"
    assert roles.standing(ledger, "eve").role("sales") == "owner"
    assert roles.standing(ledger, "bob").lacks("see", "risk") == "viewer", "the installation's roles restrict all"
    assert roles.owners_of(ledger, "sales") == ["eve"]
    bob = roles.standing(ledger, "bob")
    assert roles.refusal(bob, "caller", "sales", ["eve"]) == (
        "the role caller of the domain sales is missing; you are viewer there; owners: eve"
    )
    assert "you have none there; owners: none" in roles.refusal(bob, "viewer", "*", [])


def test_every_change_is_kept_and_the_newest_counts(ledger):
    roles.grant(ledger, "sales", "ada", "viewer", actor="root", why="new here")
    roles.grant(ledger, "sales", "ada", "owner", actor="eve", why="leads it")
    roles.revoke(ledger, "sales", "ada", actor="eve", why="left")
    assert ledger.roles() == []
    assert [(row.role, row.actor, row.why) for row in ledger.role_changes()] == [
        ("viewer", "root", "new here"), ("owner", "eve", "leads it"), (None, "eve", "left"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("domain", "person", "role", "why", "seen"),
    [
        ("sales", "ada", "ownr", "x", "did you mean 'owner'"),
        ("sales", "ada", "owner", "  ", "needs a reason"),
        ("sales", "ada", "owner", "x" * 501, "needs a reason"),
        ("", "ada", "owner", "x", "no domain"),
        ("s" * 64, "ada", "owner", "x", "no domain"),
        ("sales", "a\x1b[31mda", "owner", "x", "no person"),
        ("sales", "eve", "owner", "x", "is owner already"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_kept(ledger, domain, person, role, why, seen):
    roles.grant(ledger, "sales", "eve", "owner", **WHO)
    with pytest.raises(SpecError) as error:
        roles.grant(ledger, domain, person, role, actor="root", why=why)
    assert seen in str(error.value)
    assert len(ledger.role_changes()) == 1
    with pytest.raises(SpecError, match="nothing to change"):
        roles.revoke(ledger, "risk", "eve", **WHO)


@pytest.mark.parametrize("domain", ["", "sales ", " sales", "a\nb", "a" * 64])
def test_a_domain_is_named_on_one_line_and_without_blanks_around(ledger, domain):
    with pytest.raises(SpecError, match="this is no domain"):
        roles.grant(ledger, domain, "ada", "owner", **WHO)
    assert ledger.role_domains() == set()


@pytest.mark.parametrize("person", ["", " ada", "ada\n", "a\nb", "a\u202eb", "a" * 121])
def test_a_person_is_named_on_one_line_and_without_blanks_around(ledger, person):
    with pytest.raises(SpecError, match="this is no person"):
        roles.grant(ledger, "sales", person, "owner", **WHO)
    for odd in ("*", "Zoë O'Neil <b>", "ada@example.com", "%_", "数据"):
        assert roles.grant(ledger, "sales", odd, "viewer", **WHO).person == odd
    assert roles.standing(ledger, "ada").role("sales") == "viewer"  # as everybody
