"""Published tables in the center: list, schema, first rows, download by right; what is expired or not yours."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aimass_airflow.model_center.rights import AirflowRights
from center import center_of

from pipelines.mart.origin import Origin
from pipelines.mart.publish import Wish, publish
from pipelines.people import roles
from pipelines.people.domains import EVERYWHERE, domain_of


@pytest.fixture(scope="module")
def tables(filled):
    """Two versions of `visits`, of a model's night; `prices` of another source; the first visits have expired."""
    settings, ledger = filled
    model = ledger.models()[0].name
    for number in (1, 2):
        table = pa.table({"id": [number, 7], "city": ["<b>rome</b>", None], "email": ["a@b", "c@d"]})
        origin = Origin(table.schema, table.to_batches(), {"model": model, "night": "n1", "stage": "clean"})
        publish(settings, ledger, "visits", origin, Wish(description="All <i>visits</i>", hash=("email",)), "ada")
    table = pa.table({"price": [1.5]})
    publish(settings, ledger, "prices", Origin(table.schema, table.to_batches(), {"path": "p.csv"}), Wish(), "ada")
    ledger.expire_table("visits", 1, "bob", "wrong")
    return model


def test_tables_are_listed_and_found(center, tables):
    with center.as_("viewer") as viewer:
        page = viewer.get("/data").text
        assert "/data/visits" in page
        assert "All &lt;i&gt;visits&lt;/i&gt;" in page
        assert "aria-current=page>Data" in page
        found = viewer.get("/data", params={"q": "PRICES"}).text
        assert "/data/prices" in found
        assert "/data/visits" not in found
        assert "No table fits" in viewer.get("/data", params={"q": "nothing"}).text
    with center.as_(None) as nobody:
        for path in ("/data", "/data/visits", "/data/visits/download"):
            assert nobody.get(path).status_code == 401


def test_rows_are_for_those_who_may_download_them(center, tables):
    with center.as_("viewer") as viewer:
        page = viewer.get("/data/visits").text
        assert "mart:visits@2" in page
        assert "hashed" in page
        assert "rome" not in page
        assert 'id="download"' not in page
        refused = viewer.get("/data/visits/download")
        assert refused.status_code == 403
        assert f"the right to create runs of the DAG retrain_{tables} is missing" in refused.text
        assert "create runs of the DAG monitor" in viewer.get("/data/prices/download").text
    with center.as_("op") as op:
        page = op.get("/data/visits").text
        assert "&lt;b&gt;rome&lt;/b&gt;" in page
        assert "a@b" not in page
        given = op.get("/data/visits/download?version=2")
        assert given.headers["content-disposition"] == 'attachment; filename="visits-v2.parquet"'
        assert given.headers["x-content-type-options"] == "nosniff"
        table = pq.read_table(io.BytesIO(given.content))
        assert table["id"].to_pylist() == [2, 7]
        assert all(text.startswith("hmac-sha256:") for text in table["email"].to_pylist())


def test_the_nights_that_read_a_table_are_named(center, tables):
    night = center.ledger.nights(tables)[-1].night
    fence = center.ledger.begin_stage(tables, night, "ingest")
    read = {"mart": {"main": {"name": "visits", "version": 2, "digest": "d"}}}
    center.ledger.finish_stage(tables, night, "ingest", fence, state="done", stats=read)
    with center.as_("viewer") as viewer:
        assert f"</a>, night {night}" in viewer.get("/data/visits/readers?version=2").text
        assert "No night yet" in viewer.get("/data/prices/readers").text


def test_what_is_not_there(center, tables):
    with center.as_("op") as op:
        assert "Its rows were removed" in op.get("/data/visits?version=1").text
        gone = op.get("/data/visits/download?version=1")
        assert gone.status_code == 410
        assert "wrong" in gone.text
        for path in ("/data/none", "/data/visits?version=9", "/data/visits?version=x", "/data/..%2fvisits"):
            assert op.get(path).status_code == 404, path


def test_a_table_of_a_model_that_the_user_may_not_see_is_hidden(center, tables, monkeypatch):
    monkeypatch.setattr(AirflowRights, "visible", lambda self, user, models: set())
    with center.as_("op") as op:
        assert "/data/visits" not in op.get("/data").text
        assert op.get("/data/visits/download").status_code == 404
        assert op.get("/data/prices").status_code == 200


def test_who_has_no_role_in_the_models_domain_sees_no_table_of_it(filled, airflow_users, away, tables):
    settings, ledger = filled
    domain = domain_of(ledger, tables)
    who = {"actor": "root", "why": "a test"}
    roles.grant(ledger, domain if domain != EVERYWHERE else tables, "a-op", "caller", **who)
    center = center_of(settings, ledger, airflow_users, away)
    with center.as_("viewer") as nobody:
        listed = nobody.get("/data").text
        assert "/data/prices" in listed
        assert "/data/visits" not in listed
        assert nobody.get("/data/visits").status_code == 404
    with center.as_("op") as caller:
        assert "/data/visits" in caller.get("/data").text
        assert caller.get("/data/visits/download").status_code == 200
