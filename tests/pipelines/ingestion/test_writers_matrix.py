"""Whoever wrote the rows: none is lost, keys keep every digit, and equal rows get equal predictions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import writers
from postgres import postgres
from small_night import AS_OF, predictor_of, trained

from pipelines import settings as settings_module
from pipelines.artifacts import Night
from pipelines.batch.predict import predict_file
from pipelines.batch.reading import find_input, open_batch
from pipelines.holdout import canonical_value
from pipelines.inference.predictor import Predictor
from pipelines.inference.recipe.arrays import frame_of
from pipelines.inference.schema import request_rows
from pipelines.ingestion.spec import Files, IngestSpec, Sql
from pipelines.ingestion.stage import run
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.storage import read_table

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
TRAINED = {"typed": writers.pyarrow_parquet, "text": writers.plain_csv, "excel": writers.excel_csv}
ROWS = writers.table_rows(60, seed=9)
IDS = [str(row["id"]) for row in ROWS]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_module.load(home=tmp_path_factory.mktemp("home"), cores=2).ensure()


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> dict[str, int]:
    """Three versions of one model, of equal rows that differ in who wrote them."""
    root = tmp_path_factory.mktemp("nights")
    learned = writers.table_rows(700)
    made = {}
    for name, write in TRAINED.items():
        (root / f"from-{name}").mkdir()
        source = Files(path=str(write(learned, root / f"from-{name}")))
        made[name] = trained(root / name, settings, MODEL, IngestSpec(source=source))
    return made


@pytest.fixture(scope="module")
def predictors(settings: Settings, versions: dict[str, int]) -> dict[str, Predictor]:
    return {name: predictor_of(settings, "demo", version) for name, version in versions.items()}


@pytest.fixture(scope="module")
def expected(predictors: dict[str, Predictor]) -> dict[str, tuple[dict[str, float], Any]]:
    """Predictions for the rows as Python has them, by key, and the warnings about their cells."""
    frame = frame_of(writers.arrow(ROWS))
    found = {}
    for name, predictor in predictors.items():
        predictions, warnings = predictor.predict_frame_counted(frame)
        found[name] = dict(zip(IDS, predictions["probability"], strict=True)), warnings
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as address:
        writers.postgres_table(ROWS, address)
        yield address


def predictions_of(
    settings: Settings, version: int, source: Path, out: Path
) -> tuple[dict[str, float], dict[str, Any]]:
    facts = predict_file(settings, Ledger.open(settings), "demo", source, out, version)
    predictions = pd.read_csv(out, dtype={"id": "str"}) if out.suffix == ".csv" else pd.read_parquet(out)
    assert facts["rows"] == len(predictions) == len(ROWS)
    return dict(zip(predictions.iloc[:, 0].astype(str), predictions["probability"], strict=True)), facts


def assert_equal(found: dict[str, float], expected: dict[str, float]) -> None:
    assert sorted(found) == sorted(expected)
    assert max(abs(found[key] - expected[key]) for key in expected) <= 1e-9


def ingested(settings: Settings, folder: Path, source: Files | Sql) -> pa.Table:
    """Take a source in; every row is in the snapshot, or among those that do not fit."""
    night = Night(model=MODEL, night=f"n-{folder.name}", as_of=AS_OF)
    out = folder / "ingested"
    out.mkdir()
    outcome = run(IngestSpec(source=source), night=night, settings=settings, out=out)
    raw = read_table(out / "raw")
    assert outcome.stats["rejected"] == 0
    assert outcome.rows == raw.num_rows == len(ROWS)
    return raw


def test_every_column_changes_the_prediction(predictors: dict[str, Predictor]) -> None:
    for predictor in predictors.values():
        frame = frame_of(writers.arrow(ROWS))
        whole = predictor.predict_frame(frame)["probability"]
        assert set(predictor.requested) == set(writers.FEATURES)
        for name in writers.FEATURES:
            without = predictor.predict_frame(frame.assign(**{name: None}))["probability"]
            assert np.abs(without - whole).max() > 1e-6, name


@pytest.mark.parametrize("writer", writers.FILES)
def test_files(
    writer: str,
    settings: Settings,
    versions: dict[str, int],
    predictors: dict[str, Predictor],
    expected: Any,
    tmp_path: Path,
) -> None:
    source = writers.FILES[writer](ROWS, tmp_path)
    raw = ingested(settings, tmp_path, Files(path=str(source)))
    names = {name.lower(): name for name in raw.column_names}
    assert sorted(raw["_key"].to_pylist()) == sorted(IDS)
    assert sorted(str(cell) for cell in raw[names["id"]].to_pylist()) == sorted(IDS)
    for trained_on, out in (("typed", "out.csv"), ("text", "out.parquet")):
        found, facts = predictions_of(settings, versions[trained_on], source, tmp_path / out)
        assert_equal(found, expected[trained_on][0])
        assert facts["warnings"] == expected[trained_on][1]
    predictor = predictors["typed"]
    with open_batch(find_input(str(source), settings), predictor, settings, tmp_path / "reading") as batch:
        (table,) = batch.parts(len(ROWS) + 1, 0)
    frame = frame_of(table)
    sent = request_rows(frame, ["id", *predictor.requested])
    for rows in (sent, sent[:5]):  # as a table, and one by one
        predictions, _ = predictor.predict_rows_counted(rows)
        assert_equal(
            {str(row["id"]): prediction["probability"] for row, prediction in zip(rows, predictions, strict=True)},
            {str(row["id"]): expected["typed"][0][str(row["id"])] for row in rows},
        )


@pytest.mark.parametrize("writer", ["pyarrow", "polars", "pandas parquet", "duckdb parquet", "snowflake", "excel"])
def test_a_model_of_an_excel_file_predicts_the_same_rows_of_other_files(
    writer: str, settings: Settings, versions: dict[str, int], expected: Any, tmp_path: Path
) -> None:
    source = (writers.FILES | {"excel": writers.excel_csv})[writer](ROWS, tmp_path)
    raw = ingested(settings, tmp_path, Files(path=str(source)))
    assert raw["_key"].to_pylist() == IDS
    found, facts = predictions_of(settings, versions["excel"], source, tmp_path / "out.csv")
    assert_equal(found, expected["excel"][0])
    assert facts["warnings"] == expected["excel"][1]


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_tables_of_databases(
    database: str,
    server: str,
    settings: Settings,
    predictors: dict[str, Predictor],
    expected: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAKE", server if database == "postgres" else writers.sqlite_table(ROWS, tmp_path))
    raw = ingested(settings, tmp_path, Sql(query="SELECT * FROM t ORDER BY id", connection="LAKE"))
    assert raw["_key"].to_pylist() == IDS
    assert [str(cell) for cell in raw["id"].to_pylist()] == IDS
    for trained_on in predictors:
        predictions, warnings = predictors[trained_on].predict_frame_counted(frame_of(raw))
        assert_equal(dict(zip(IDS, predictions["probability"], strict=True)), expected[trained_on][0])
        assert warnings == expected[trained_on][1]


@pytest.mark.parametrize("options", ["", ", DELIMITER '|', NULL 'NULL'", ", FORCE_QUOTE *"])
def test_exports_of_postgresql(
    options: str, server: str, settings: Settings, versions: dict[str, int], expected: Any, tmp_path: Path
) -> None:
    source = writers.postgres_copy(server, tmp_path, f"FORMAT csv, HEADER{options}")
    raw = ingested(settings, tmp_path, Files(path=str(source)))
    assert raw["_key"].to_pylist() == raw["id"].to_pylist() == IDS
    for trained_on in ("typed", "text"):
        found, facts = predictions_of(settings, versions[trained_on], source, tmp_path / "out.csv")
        assert_equal(found, expected[trained_on][0])
        assert facts["warnings"] == expected[trained_on][1]


BIG = 2**64 - len(ROWS)
KEYS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "unsigned": (pa.uint64(), [BIG + index for index in range(len(ROWS))]),
    "negative": (pa.int64(), [-(2**63) + index for index in range(len(ROWS))]),
    "narrow": (pa.uint8(), list(range(100, 100 + len(ROWS)))),
    "38 digits": (pa.decimal128(38, 0), [Decimal(10**38 - 1 - index) for index in range(len(ROWS))]),
    "cents": (pa.decimal128(20, 2), [Decimal(f"{10**17 + index}E-2") for index in range(len(ROWS))]),
    "tiny": (pa.decimal128(38, 10), [Decimal(f"{index}E-10") for index in range(len(ROWS))]),
    "60 digits": (pa.decimal256(60, 0), [Decimal(10**59 + index) for index in range(len(ROWS))]),
    "uuid": (pa.uuid(), [UUID(int=2**100 + index).bytes for index in range(len(ROWS))]),
    "leading zeros": (pa.string(), [f"{index:05d}" for index in range(len(ROWS))]),
    "codes": (pa.string(), [f"12e{index}" if index % 2 else f"2026_{index:02d}" for index in range(len(ROWS))]),
    "gap": (pa.int64(), [None if index == 7 else 2**62 + index for index in range(len(ROWS))]),
    "gap unsigned": (pa.uint64(), [None if index == 7 else BIG + index for index in range(len(ROWS))]),
    "day": (pa.date32(), [date(2026, 1, 1) + timedelta(days=index) for index in range(len(ROWS))]),
    "digest": (pa.binary(4), [bytes([255, 254, 0, index]) for index in range(len(ROWS))]),
}


def shown(kind: str, cell: Any) -> str:
    """Return the digits of a key as they go in."""
    if cell is None:
        return ""
    if kind == "uuid":
        return str(UUID(bytes=cell))
    if isinstance(cell, bytes):
        return cell.hex()
    return format(cell, "f") if isinstance(cell, Decimal) else str(cell)


def written(kind: str, form: str, folder: Path) -> None:
    """Write the rows with keys of this kind as Parquet, as JSON lines, or half as Parquet and half as CSV."""
    given, cells = KEYS[kind]
    typed = writers.arrow(ROWS).set_column(0, "id", pa.array(cells, given))
    half = len(ROWS) // 2
    if form == "jsonl":
        # what has fractions of many digits stands as text in JSON: readers of numbers there take them for floats
        numbers = pa.types.is_integer(given) or (pa.types.is_decimal(given) and given.scale == 0)
        writers.bigquery_json(ROWS, folder)
        (file,) = folder.iterdir()
        lines = file.read_text().splitlines()
        for index, cell in enumerate(cells):
            token = "null" if cell is None else shown(kind, cell) if numbers else f'"{shown(kind, cell)}"'
            lines[index] = lines[index].replace(f'"id": "{IDS[index]}"', f'"id": {token}')
        file.write_text("\n".join(lines) + "\n")
    elif form == "parquet":
        pq.write_table(typed, folder / "a.parquet")
    else:
        pq.write_table(typed.slice(0, half), folder / "a.parquet")
        writers.plain_csv(
            [{**row, "id": shown(kind, cell)} for row, cell in zip(ROWS, cells, strict=True)][half:], folder
        )


@pytest.mark.parametrize("form", ["parquet", "jsonl", "parquet and csv"])
@pytest.mark.parametrize("kind", KEYS)
def test_keys_come_out_as_they_went_in(
    kind: str, form: str, settings: Settings, versions: dict[str, int], expected: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    written(kind, form, folder)
    digits = [shown(kind, cell) for cell in KEYS[kind][1]]
    raw = ingested(settings, tmp_path, Files(path=str(folder), incremental=False))
    found = raw["_key"].to_pylist()
    assert len(set(found)) == len(ROWS)
    assert found == [canonical_value(text or None) for text in digits]
    out = tmp_path / ("out.parquet" if form == "parquet" else "out.csv")
    facts = predict_file(settings, Ledger.open(settings), "demo", folder, out, versions["typed"])
    assert facts["warnings"] == expected["typed"][1]
    if form == "parquet":
        predictions = pq.read_table(out).to_pydict()
        predictions["id"] = [shown("", cell) for cell in predictions["id"]]
    else:
        predictions = pd.read_csv(out, dtype={"id": "str"}, keep_default_na=False).to_dict("list")
    assert predictions["id"] == digits
    assert predictions["probability"] == pytest.approx(list(expected["typed"][0].values()), abs=1e-9)
