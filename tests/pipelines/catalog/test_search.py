"""Search: every word must be found; where it is found decides the order; nothing in it is a pattern."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipelines.catalog.entries import entry
from pipelines.catalog.search import Filter, rank, words_of
from pipelines.ledger.catalog_rows import CatalogRow

ROWS = (
    (CatalogRow("churn", tags=["sales"], columns=["late_payments", "Übergabe"], domain="CRM"), "odd in March"),
    (CatalogRow("late", description="scores 100% of the 'calls' of a_b"), ""),
    (CatalogRow("fraud", owner="risk team", tags=["LATE"], use_cases=["block payments"]), ""),
)
FOUND = [(entry(row.model, {"task": "binary", "target": "y", "owner": "data"}, row), notes) for row, notes in ROWS]


def found(text):
    return [hit.entry.model for hit in rank(words_of(text), FOUND)]


def test_the_best_fit_is_first_and_says_where():
    assert found("late") == ["late", "fraud", "churn"]
    (hit,) = rank(words_of("payments block"), FOUND)
    assert (hit.entry.model, hit.where) == ("fraud", ("use cases",))
    assert found("") == ["churn", "late", "fraud"]


def test_all_fields_are_looked_at_in_any_case():
    for text in ("SALES", "übergabe", "crm", "march", "risk", "binary", "pay late_"):
        assert found(text)[0] in ("churn", "fraud"), text
    assert found("data") == ["churn", "late"], "the owner of the DAG file counts where nobody named another"
    assert found("late nowhere") == []


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("%", ["late"]),
        ("100%", ["late"]),
        ("_", ["late", "churn"]),
        ("'calls'", ["late"]),
        ('"', []),
        ("a.b", []),
        ("\\", []),
        ("(", []),
    ],
)
def test_quotes_and_wildcards_are_characters(text, models):
    assert sorted(found(text)) == sorted(models)


def test_a_filter_leaves_out_archived_ones():
    row = CatalogRow("old", archived_at=datetime(2026, 1, 1, tzinfo=UTC), archived_by="ada", archived_why="x")
    old = entry("old", {"owner": "data"}, row)
    assert not Filter().fits(old)
    assert Filter(archived=True).fits(old)
    assert Filter(archived=None, owner="DATA").fits(old)
    assert Filter(tag="late").fits(FOUND[2][0])
    assert not Filter(tag="late", domain="crm").fits(FOUND[2][0])
