"""Recommendations: planted pairs are found with their reason, unrelated models are not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from pipelines.ledger import Ledger, schema
from pipelines.people.recommend import recommend

NOW = datetime.now(UTC)
MODELS = [f"m{number:02d}" for number in range(40)]
PAIRS = {"target": ("m00", "m01"), "entity": ("m02", "m03"), "source": ("m04", "m05"), "callers": ("m06", "m07")}


@pytest.fixture
def ledger(home):
    with Ledger.open(home) as ledger:
        yield ledger


def add_model(connection, name, target, key, ingest):
    night = f"night-{name}"
    spec = {"name": name, "task": "regression", "target": target, "key": key}
    connection.execute(insert(schema.models), [{"name": name, "spec": spec, "identity": None, "created_at": NOW}])
    version = {"model": name, "night": night, "version": 1, "state": "live", "fence": 1, "created_at": NOW}
    connection.execute(insert(schema.publications), [version])
    stage = {"model": name, "night": night, "stage": "ingest", "state": "done", "fence": 1, "attempt": 1}
    connection.execute(insert(schema.stages), [{**stage, "spec": ingest, "started_at": NOW}])


def calls(connection, rows):
    rows = [
        {"token": token, "model": model, "day": NOW.date(), "requests": requests, "errors": 0, "rows": requests}
        for token, model, requests in rows
    ]
    connection.execute(insert(schema.usage), rows)


@pytest.fixture
def planted(ledger):
    """Forty models with a key in common, of which four pairs have something in common that others have not."""
    with ledger.transaction() as connection:
        for number, name in enumerate(MODELS):
            target, key, path = f"y{number}", ["id"], f"home:feed/{name}/*.csv"
            if name in PAIRS["target"]:
                target = "churned"
            if name in PAIRS["entity"]:
                key = ["store", "article"]
            ingest = {"source": {"kind": "files", "path": path}, "joins": []}
            if name in PAIRS["source"]:
                query = 'SELECT * FROM shop.orders o JOIN "prices" p ON o.id = p.id'
                ingest["joins"] = [{"name": "orders", "source": {"kind": "sql", "connection": "dwh", "query": query}}]
            add_model(connection, name, target, key, ingest)
        # Those who call the planted pair, one who calls each other two neighbours, and two who call everything.
        rows = [(f"team-{each}", model, 5000) for each in range(4) for model in PAIRS["callers"]]
        rows += [(f"app-{each}", MODELS[8 + (each + step) % 32], 3000) for each in range(32) for step in (0, 1)]
        rows += [(f"watch-{each}", model, 10**6) for each in range(2) for model in MODELS]
        calls(connection, rows)
    return ledger


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("target", "same target as m00: churned"),
        ("entity", "same entity as m02: article, store"),
        ("source", "same source as m04: dwh:"),
        ("callers", "4 others call both this and m06"),
    ],
)
def test_a_planted_pair_is_found_with_its_reason_and_nothing_else(planted, kind, reason):
    known, other = PAIRS[kind]
    planted.set_favourite("ada", known, True)
    (found,) = recommend(planted, "ada", MODELS)
    assert found.model == other
    (told,) = found.reasons
    assert told.startswith(reason)
    assert recommend(planted, "ada", set(MODELS) - {other}) == [], "who may not see it is not told of it"
    assert recommend(planted, "ada", set(MODELS) - {known}) == [], "nor of what one may see no longer"


def test_what_is_used_by_token_or_on_the_page_counts_and_is_not_recommended_itself(planted):
    row = planted.request_access(
        "m00", "ada", purpose="x", scopes=["predict"], rate="1/minute", quota="1/month", days=1
    )
    planted.decide_access(row.id, "approved", actor="eve", why="x")
    issued, _ = planted.issue_requested_token(row.id, "ada")
    with planted.transaction() as connection:
        calls(connection, [(issued.token, "m00", 3), ("model-center:ada", "m02", 1)])
    assert {each.model for each in recommend(planted, "ada", MODELS)} == {"m01", "m03"}
    planted.saw("ada", "m01")
    planted.saw("ada", "m04")
    found = {each.model: each.reasons for each in recommend(planted, "ada", MODELS)}
    assert set(found) == {"m01", "m03", "m05"}, "what was only seen may still be recommended"
    assert recommend(planted, "nobody", MODELS) == []


def test_unrelated_models_are_never_recommended(planted):
    related = {model for pair in PAIRS.values() for model in pair}
    for name in MODELS:
        if name not in related:
            planted.set_favourite("bob", name, True)
    assert recommend(planted, "bob", MODELS) == []


def test_several_reasons_come_together_and_are_ordered(ledger):
    with ledger.transaction() as connection:
        for name, path in (("a", "x.csv"), ("b", "x.csv"), ("c", "y.csv"), ("d", "z.csv")):
            target = "sold" if name in "ab" else name
            ingest = {"source": {"kind": "files", "path": path}}
            add_model(connection, name, target, ["store" if name in "abc" else "shop"], ingest)
    ledger.set_favourite("ada", "a", True)
    found = recommend(ledger, "ada", ["a", "b", "c", "d"])
    assert found[0].model == "b"
    assert set(found[0].reasons[:2]) == {"same target as a: sold", "same source as a: x.csv"}
    assert found[0].reasons[2:] == ["same entity as a: store"], "three of four have it: it says least"
    assert "d" not in {each.model for each in found}
