"""The verbs of the catalog, on SQLite and on PostgreSQL: what is kept, what is refused, and what each refusal says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text

from pipelines import settings as settings_module
from pipelines.catalog import verbs
from pipelines.catalog.search import Filter, search
from pipelines.errors import SpecError
from pipelines.ledger import Ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, home, make_night):
    settings = home
    if request.param == "postgresql":
        settings = settings_module.load(home=home.home, ledger_url=request.getfixturevalue("a_database")).ensure()
    with Ledger.open(settings) as opened:
        for name in ("churn", "fraud"):
            night = make_night("night-1", name=name)
            opened.open_night(night, "local")
            opened.close_night(name, "night-1", "success", {"verdict": "promoted"})
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL with a migrated ledger named ``migrated``."""
    from postgres import postgres

    with postgres() as address:
        make_database(address, "migrated")
        home = tmp_path_factory.mktemp("server") / "home"
        Ledger.open(settings_module.load(home=home, ledger_url=named(address, "migrated")).ensure()).close()
        yield address


@pytest.fixture
def a_database(server):
    make_database(server, "catalog", "migrated")
    return named(server, "catalog")


def named(address, name):
    base, _, query = address.partition("?")
    return f"{base.rsplit('/', 1)[0]}/{name}{'?' + query if query else ''}"


def make_database(address, name, template="template1"):
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()


def test_an_entry_shows_the_dag_file_until_a_person_says_otherwise(ledger):
    first = verbs.show(ledger, "churn")
    assert (first.owner, first.description, first.revision, first.said) == ("data-engineering", "", 0, ())
    fields = {"owner": "crm", "description": "Who *leaves*.", "tags": ["sales", "Sales", "gdpr"], "related": ["fraud"]}
    verbs.describe(ledger, "churn", fields, "ada")
    entry = verbs.show(ledger, "churn")
    assert (entry.owner, entry.tags, entry.related, entry.revision) == ("crm", ("Sales", "gdpr"), ("fraud",), 1)
    assert verbs.describe(ledger, "churn", {"owner": "crm"}, "bob").revision == 1, "no change is no revision"
    verbs.describe(ledger, "churn", {"owner": None}, "bob")
    assert verbs.show(ledger, "churn").owner == "data-engineering"
    (last, before) = ledger.catalog_changes("churn")
    assert (last.actor, last.about["changed"]) == ("bob", {"owner": ["crm", None]})
    assert before.about["changed"]["description"] == [None, "Who *leaves*."]
    assert ledger.mark("churn") == (0, 0), "words do not make a page of actions stale"


def test_every_fault_is_told_and_nothing_is_changed(ledger):
    wrong = {
        "description": "x" * 20_001,
        "domain": "a\x00b",
        "owner": "\ud800",
        "tags": ["two words", "ok"],
        "use_cases": "one",
        "related": ["chrun"],
        "stars": 5,
    }
    with pytest.raises(SpecError) as caught:
        verbs.describe(ledger, "churn", wrong, "ada")
    said = str(caught.value)
    for part in (
        "20001 characters",
        "control characters",
        "no tag",
        "a list is expected",
        "no model 'chrun'",
        "no such field",
    ):
        assert part in said, part
    assert verbs.describe(ledger, "churn", {"related": ["churn"]}, "ada").related is None, "not related to itself"
    assert verbs.show(ledger, "churn").revision == 0
    with pytest.raises(verbs.MissingError, match="no such model"):
        verbs.describe(ledger, "chur", {"owner": "x"}, "ada")


def test_of_two_who_saw_the_same_one_is_told_what_changed(ledger):
    seen = verbs.show(ledger, "churn").revision
    verbs.describe(ledger, "churn", {"domain": "sales"}, "ada", seen)
    with pytest.raises(verbs.StaleError) as caught:
        verbs.describe(ledger, "churn", {"domain": "crm"}, "bob", seen)
    assert "ada: describe domain" in str(caught.value)
    with pytest.raises(verbs.StaleError, match="nothing was changed") as caught:
        verbs.describe(ledger, "churn", {"domain": "crm"}, "bob", 99)
    assert caught.value.expected == "revision 1"
    with pytest.raises(verbs.StaleError):
        verbs.archive(ledger, "churn", "x", "bob", seen=seen)
    assert verbs.show(ledger, "churn").domain == "sales"

    def tag(number):
        return verbs.tag(ledger, "churn", [f"t{number}"], [], f"user-{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tag, range(4)))
    assert sorted(verbs.show(ledger, "churn").tags) == ["t0", "t1", "t2", "t3"], "no tag of another is lost"
    assert sorted(verbs.tag(ledger, "churn", ["new"], ["T0", "t1"], "ada").tags) == ["new", "t2", "t3"]
    with pytest.raises(SpecError, match="no such tag"):
        verbs.tag(ledger, "churn", [], ["t9"], "ada")


def test_notes_are_of_who_wrote_them(ledger):
    row = verbs.annotate(ledger, "churn", " odd since <March> ", "ada")
    assert (row.text, row.actor, row.version) == ("odd since <March>", "ada", None)
    with pytest.raises(verbs.MissingError, match="no such version"):
        verbs.annotate(ledger, "churn", "x", "ada", version=7)
    for wrong in ("", "x" * 4_001, 5, None):
        with pytest.raises(SpecError, match="cannot be kept"):
            verbs.annotate(ledger, "churn", wrong, "ada")
    with pytest.raises(verbs.NotYoursError, match="somebody else's"):
        verbs.remove_note(ledger, "churn", row.id, "bob")
    with pytest.raises(verbs.MissingError, match="no such note"):
        verbs.remove_note(ledger, "fraud", row.id, "ada")
    verbs.remove_note(ledger, "churn", row.id, "ada")
    assert ledger.notes("churn") == []
    assert ledger.actions("churn")[0].about["text"] == "odd since <March>"


def test_a_person_has_one_rating_which_they_may_change(ledger):
    verbs.rate(ledger, "churn", 2, "late", "ada")
    verbs.rate(ledger, "churn", 4, "better", "ada")
    verbs.rate(ledger, "churn", 5, "", "bob")
    entry = verbs.show(ledger, "churn")
    assert (entry.stars, entry.raters) == (4.5, 2)
    assert ledger.mean_ratings() == {"churn": (4.5, 2)}
    for stars in (9, 0, -1, 4.5, "4", True, None):
        with pytest.raises(SpecError, match="this is no rating"):
            verbs.rate(ledger, "churn", stars, "", "ada")
    verbs.withdraw(ledger, "churn", "ada")
    with pytest.raises(verbs.MissingError, match="no rating of yours"):
        verbs.withdraw(ledger, "churn", "ada")
    assert [row.actor for row in ledger.ratings("churn")] == ["bob"]


def test_an_archived_model_is_not_listed_and_begins_no_night(ledger, make_night):
    verbs.archive(ledger, "churn", "replaced", "ada")
    assert [hit.entry.model for hit in search(ledger)] == ["fraud"]
    assert [hit.entry.model for hit in search(ledger, wanted=Filter(archived=True))] == ["churn"]
    with pytest.raises(SpecError, match="archived already"):
        verbs.archive(ledger, "churn", "again", "bob")
    with pytest.raises(SpecError, match="this model is archived"):
        ledger.open_night(make_night("night-2", name="churn"), "local")
    assert ledger.night("churn", "night-2") is None
    with pytest.raises(SpecError, match="needs a reason"):
        verbs.unarchive(ledger, "churn", " ", "ada")
    verbs.unarchive(ledger, "churn", "needed", "ada")
    ledger.open_night(make_night("night-2", name="churn"), "local")
    with pytest.raises(SpecError, match="a night of this model is running") as caught:
        verbs.archive(ledger, "churn", "again", "ada")
    assert "night-2" in str(caught.value)
    assert [row.kind for row in ledger.actions("churn")] == ["unarchive", "archive"]
    assert ledger.mark("churn").action == ledger.actions("churn")[0].id, "pages that were loaded before are stale"


def test_a_model_that_callers_may_ask_is_paused_with_the_archive(ledger, home):
    fence = ledger.begin_stage("churn", "night-1", "register")
    ledger.reserve("churn", "night-1", fence)
    ledger.advance("churn", "night-1", fence, state="registered", model_uri="m", model_digest="d")
    ledger.assign_version("churn", "night-1", fence)
    ledger.switch("churn", 1, fence, "test", "test")
    with pytest.raises(SpecError, match="callers may ask this model") as caught:
        verbs.archive(ledger, "churn", "replaced", "ada")
    assert "--pause" in str(caught.value)
    assert not ledger.archived("churn")
    verbs.archive(ledger, "churn", "replaced", "ada", pause=True)
    assert "replaced" in ledger.paused()["churn"]
    ledger.issue_token("app", ["predict:churn"])
    ledger.issue_token("other", ["predict:fraud"])
    facts = verbs.share(home, ledger, "churn")
    assert facts["callers"] == ["app"]
    assert facts["page"].endswith("/model-center/models/churn")
    ledger.end_route("churn")
    assert verbs.show(ledger, "churn").archived == "", "what is deleted as a whole has no entry"


def test_an_archive_and_the_begin_of_a_night_exclude_each_other(ledger, make_night):
    def begin(number):
        try:
            ledger.open_night(make_night(f"race-{number}", name="fraud"), "local")
        except SpecError:
            return "refused"
        return "begun"

    def archive(_):
        try:
            verbs.archive(ledger, "fraud", "x", "ada")
        except SpecError:
            return "refused"
        return "archived"

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(archive if number == 2 else begin, number) for number in range(5)]
        outcomes = [each.result() for each in futures]
    begun = [row for row in ledger.nights("fraud") if row.state == "running"]
    if outcomes[2] == "archived":
        assert begun == []
        assert outcomes.count("refused") == 4
    else:
        assert begun
