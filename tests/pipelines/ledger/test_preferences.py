"""What a person likes and has seen is kept, the latter at most once an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from pipelines.ledger import Ledger
from pipelines.ledger.schema import preferences


@pytest.fixture
def ledger(home):
    with Ledger.open(home) as ledger:
        yield ledger


def test_favourites_and_what_was_seen_are_of_a_person(ledger):
    ledger.set_favourite("ada", "churn", True)
    ledger.saw("ada", "churn")
    ledger.saw("ada", "risk")
    ledger.set_favourite("bob", "churn", True)
    churn, risk = ledger.preferences("ada")
    assert churn.favourite_at is not None
    assert churn.seen_at is not None
    assert (risk.model, risk.favourite_at) == ("risk", None)
    ledger.set_favourite("ada", "churn", False)
    assert ledger.preferences("ada")[0].favourite_at is None
    assert ledger.preferences("ada")[0].seen_at == churn.seen_at
    assert ledger.preferences("bob")[0].favourite_at is not None


def test_what_was_seen_within_the_hour_is_not_written_again(ledger):
    ledger.saw("ada", "churn")
    first = ledger.preferences("ada")[0].seen_at
    ledger.saw("ada", "churn")
    assert ledger.preferences("ada")[0].seen_at == first
    with ledger.transaction() as connection:
        connection.execute(update(preferences).values(seen_at=first - timedelta(hours=2)))
    ledger.saw("ada", "churn")
    assert ledger.preferences("ada")[0].seen_at >= first
    assert ledger.preferences("ada")[0].seen_at <= datetime.now(UTC)
