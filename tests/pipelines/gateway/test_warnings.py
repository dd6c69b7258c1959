"""What became of a caller's cells is told: in the answer, in the metrics, and with the same counts as for a batch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from known_model import knowing

from pipelines.batch.predict import predict_file

URL = "/v1/models/demo:predict"
KNOWN: dict[str, dict[str, Any]] = {
    "amount": {"low": 0.0, "high": 200.0},
    "town": {"levels": ("Bern", "Genève", "Łódź")},
    "age": {"optional": True, "low": 18.0, "high": 89.0},
}
ROWS: list[dict[str, Any]] = [
    {"id": 1, "amount": "much", "town": "Bern", "age": 30},
    {"id": 2, "amount": -0.5, "town": "Rome", "age": "30"},
    {"id": 3, "amount": 0, "town": " Gene\u0300ve ", "age": 200},
    {"id": 4, "amount": None, "town": None, "age": None},
    {"id": 5, "amount": "1e3", "town": "Oslo", "age": "old"},
    {"id": 6, "amount": 100, "town": "Bern", "age": 40, "tags": [1, {"a": [2]}], "note": {"deep": {"deeper": []}}},
]
TOLD = {
    "amount": {"unreadable": 1, "out_of_range": 2},
    "town": {"unseen": 2},
    "age": {"unreadable": 1, "out_of_range": 1},
}


@pytest.fixture(scope="module")
def live(packaged: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """The tiny model with what its training rows knew, served by a real bento behind a real gateway."""
    with knowing(packaged, KNOWN, ["predict:demo"]) as live:
        yield live


def post(live: SimpleNamespace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Ask the gateway."""
    reply = live.gateway.post(URL, json={"instances": rows})
    assert reply.status_code == 200, reply.text
    return reply.json()


def told(content: dict[str, Any], missing: bool = False) -> dict[str, dict[str, int]]:
    """Count the warnings of a response by column and kind; those of missing cells where they are asked for."""
    counts: dict[str, dict[str, int]] = {}
    for warning in content.get("warnings", ()):
        if missing or warning["kind"] != "missing":
            kinds = counts.setdefault(warning["column"], {})
            kinds[warning["kind"]] = kinds.get(warning["kind"], 0) + 1
    return counts


def counted(live: SimpleNamespace) -> dict[tuple[str, str], float]:
    """Return the cells that the metrics count, by column and kind."""
    found = re.findall(
        r'^aimass_cells_total\{column="([^"]+)",kind="([^"]+)",model="demo"\} ([0-9.e+]+)$',
        live.gateway.get("/metrics").text,
        re.MULTILINE,
    )
    return {(column, kind): float(number) for column, kind, number in found}


@pytest.mark.parametrize("times", [1, 40])
def test_cells_are_counted_in_the_answer_and_in_the_metrics(live: SimpleNamespace, times: int) -> None:
    before = counted(live)
    content = post(live, ROWS * times)
    assert told(content) == {name: {k: n * times for k, n in kinds.items()} for name, kinds in TOLD.items()}
    assert {(each["row"], each["column"], each["kind"]) for each in content["warnings"] if each["row"] in (3, 4)} == {
        (3, "amount", "missing"),
        (3, "town", "missing"),
        (4, "town", "unseen"),
        (4, "amount", "out_of_range"),
        (4, "age", "unreadable"),
    }
    after = counted(live)
    assert {pair: after[pair] - before.get(pair, 0) for pair in after if after[pair] != before.get(pair, 0)} == {
        (name, kind): number for name, kinds in told(content, missing=True).items() for kind, number in kinds.items()
    }


def test_one_by_one_together_and_in_batch_the_counts_are_equal(live: SimpleNamespace, tmp_path: Path) -> None:
    singly: dict[str, dict[str, int]] = {}
    for row in ROWS:
        for name, kinds in told(post(live, [row])).items():
            for kind, number in kinds.items():
                singly.setdefault(name, {}).setdefault(kind, 0)
                singly[name][kind] += number
    assert singly == TOLD
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    texts = {
        name: [None if row[name] is None else str(row[name]) for row in ROWS]
        for name in ("id", "amount", "town", "age")
    }
    pq.write_table(pa.table(texts), tmp_path / "rows.parquet")
    lines = [",".join("" if cell is None else cell for cell in row) for row in zip(*texts.values(), strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join([",".join(texts), *lines]) + "\n")
    expected = [answer["probability"] for answer in post(live, ROWS)["predictions"]]
    for name in ("rows.jsonl", "rows.parquet", "rows.csv"):
        out = tmp_path / "out.parquet"
        facts = predict_file(live.settings, live.ledger, "demo", tmp_path / name, out, 1)
        assert facts["warnings"] == TOLD, name
        assert pq.read_table(out)["probability"].to_pylist() == pytest.approx(expected, abs=1e-9)


def test_rows_without_doubt_have_no_warnings(live: SimpleNamespace) -> None:
    before = counted(live)
    assert "warnings" not in post(
        live, [{"amount": 0, "town": "Bern", "age": 18}, {"amount": 200.0, "town": "Bern", "age": 89}]
    )
    assert counted(live) == before


def test_nested_values_that_nobody_needs_are_ignored(live: SimpleNamespace) -> None:
    plain = {"amount": 100, "town": "Bern", "age": 40}
    for extra in ([], {}, [[{"a": [None, 1.5, "x"]}]], {"amount": 3}, None, True):
        content = post(live, [{**plain, "tags": extra, "Amount": extra}])
        assert content["predictions"] == post(live, [plain])["predictions"]
        assert "warnings" not in content
    for nested in ([1], {"a": 1}, []):
        reply = live.gateway.post(URL, json={"instances": [plain, {**plain, "amount": nested}]})
        assert reply.status_code == 400
        assert reply.json()["error"]["faults"][0].startswith("row 1: column 'amount' holds")


@pytest.mark.parametrize("times", [1, 40])
def test_an_optional_column_may_be_left_out_and_no_other(live: SimpleNamespace, tmp_path: Path, times: int) -> None:
    rows = [{"amount": 100 + n, "town": "Bern"} for n in range(3)] * times
    without = post(live, rows)
    assert without["predictions"] == post(live, [{**row, "age": None} for row in rows])["predictions"]
    assert "warnings" not in without
    mixed = post(live, [{**row, "age": 40} if n % 2 else row for n, row in enumerate(rows)])
    assert mixed["predictions"][::2] == without["predictions"][::2]
    refused = live.gateway.post(URL, json={"instances": [{"amount": 1, "age": 3}] * times})
    assert (refused.status_code, "'town'" in refused.json()["error"]["faults"][0]) == (400, True)
    assert "'age'" not in refused.json()["error"]["faults"][0]
    (tmp_path / "rows.csv").write_text(
        "id,amount,town\n" + "".join(f"{n},{row['amount']},Bern\n" for n, row in enumerate(rows))
    )
    predict_file(live.settings, live.ledger, "demo", tmp_path / "rows.csv", tmp_path / "out.parquet", 1)
    found = pq.read_table(tmp_path / "out.parquet")["probability"].to_pylist()
    assert found == pytest.approx([answer["probability"] for answer in without["predictions"]], abs=1e-9)


def test_refused_requests_count_no_cells(live: SimpleNamespace) -> None:
    before = counted(live)
    assert live.gateway.post(URL, json={"instances": [{"amount": "much"}]}).status_code == 400
    assert live.gateway.post(URL, content=b'{"instances": [{"amount": NaN}]}').status_code == 415
    assert counted(live) == before
