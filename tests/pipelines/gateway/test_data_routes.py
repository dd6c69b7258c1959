"""Published tables in the gateway: by scope, as JSON and as Parquet; errors in words."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gateways import running

from pipelines.ledger import Ledger
from pipelines.mart.origin import Origin
from pipelines.mart.publish import Wish, publish


@pytest.fixture
def client(home):
    with Ledger.open(home) as ledger:
        for name, number in (("visits", 1), ("visits", 2), ("prices", 3)):
            table = pa.table({"id": [number, 7], "city": ["rome", None]})
            publish(home, ledger, name, Origin(table.schema, table.to_batches(), {"path": "x.csv"}), Wish(), "ada")
        ledger.expire_table("visits", 1, "bob", "wrong")
        tokens = {name: ledger.issue_token(name, [name], 1) for name in ("data", "data:visits", "predict", "admin")}
    with running(home, Ledger.open(home)) as client:
        yield lambda path, token="data": client.get(path, headers={"Authorization": f"Bearer {tokens.get(token, 'x')}"})


def test_tables_are_listed_shown_and_given_out(client):
    assert [each["address"] for each in client("/v1/data").json()["tables"]] == ["mart:prices@1", "mart:visits@2"]
    assert [each["name"] for each in client("/v1/data", "data:visits").json()["tables"]] == ["visits"]
    shown = client("/v1/data/visits").json()
    assert (shown["version"], shown["preview"]) == (2, [["2", "rome"], ["7", None]])
    assert shown["columns"][1] == {"name": "city", "type": "string", "missing": 0.5}
    assert "uri" not in shown
    given = client("/v1/data/visits/download?version=2", "data:visits")
    assert given.headers["content-disposition"] == 'attachment; filename="visits-v2.parquet"'
    assert pq.read_table(io.BytesIO(given.content))["id"].to_pylist() == [2, 7]
    assert client("/v1/data/prices", "admin").status_code == 200


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/v1/data", "none", 401),
        ("/v1/data", "predict", 403),
        ("/v1/data/prices", "data:visits", 403),
        ("/v1/data/prices/download", "data:visits", 403),
        ("/v1/data/none", "data", 404),
        ("/v1/data/visits?version=9", "data", 404),
        ("/v1/data/visits?version=x", "data", 400),
        ("/v1/data/visits?version=-1", "data", 400),
        ("/v1/data/visits/download?version=1", "data", 410),
        ("/v1/data/..%2fvisits/download", "data", 404),
    ],
)
def test_what_is_refused(client, path, token, status):
    found = client(path, token)
    assert found.status_code == status, found.text
    assert found.json()["error"]["what"]


def test_an_expired_table_says_why(client):
    assert "wrong" in client("/v1/data/visits?version=1").json()["error"]["seen"]


def test_a_damaged_table_is_not_given_out(client, home):
    for path in (home.storage / "mart" / "prices").glob("*/table/*.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    found = client("/v1/data/prices/download")
    assert (found.status_code, found.json()["error"]["what"]) == (503, "a published folder is damaged")
