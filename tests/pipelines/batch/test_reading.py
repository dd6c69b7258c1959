"""A batch is read as a source is: by its names, whatever the files; without a header by the serve schema alone."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.batch.predict import predict_file
from pipelines.batch.reading import names_without_header
from pipelines.errors import DataError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.inference.schema import ServeSchema

pytestmark = pytest.mark.slow

WHOLE = ("id", "age", "size (m)", "kind", "label")
RECIPE = RowRecipe((Column("age", "number"), Column("size (m)", "number"), Column("kind", "category")))
PREDICTOR: Any = SimpleNamespace(schema=SimpleNamespace(source_columns=WHOLE, target="label"), recipe=RECIPE)


@pytest.mark.parametrize(
    ("first", "names"),
    [
        (["7", "31", "1.5", "a", "yes"], WHOLE),
        (["7", "31", "1.5", "a"], WHOLE[:4]),
        (["7", "oops", "?", "a"], WHOLE[:4]),
        (["kind", "age", "size (m)"], ()),
        (["id", "age", "size (m)", "kind", "label"], ()),
        (["Nr", "Alter", "Maß", "Art"], ()),
        (["Nr", "Alter", "Maß", "Art", "Ziel"], ()),
        (["1", "2"], ()),
    ],
)
def test_a_first_line_is_data_or_names(first: list[str], names: tuple[str, ...]) -> None:
    assert names_without_header(first, PREDICTOR) == names


HEADER = "id,amount,town,age"
LINES = [f"{n},{90 + n},Bern,{30 + n}" for n in range(6)]


@pytest.fixture
def predict(packaged: SimpleNamespace, tmp_path: Path) -> Callable[..., tuple[pd.DataFrame, dict[str, Any]]]:
    def build(source: str | Path, output: str = "out.csv") -> tuple[pd.DataFrame, dict[str, Any]]:
        facts = predict_file(packaged.settings, packaged.ledger, "demo", source, tmp_path / output, 1)
        path = tmp_path / output
        return (pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)), facts

    return build


def text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def test_a_batch_is_read_as_a_source_is(predict: Any, tmp_path: Path) -> None:
    folder = tmp_path / "days"
    (folder / "town=Bern").mkdir(parents=True)
    (tmp_path / "whole.csv").write_text(text(HEADER, *LINES))
    expected, facts = predict(tmp_path / "whole.csv")
    assert (list(expected.columns), list(expected["id"])) == (["id", "prediction", "probability"], list(range(6)))
    assert facts["notices"] == []
    parts = [
        text("ID,Amount,age", *(line.replace("Bern,", "") for line in LINES[start : start + 2])) for start in (0, 2, 4)
    ]
    (folder / "town=Bern" / "a.csv").write_text(text("Orders of today") + parts[0] + text("(2 rows)"))
    (folder / "town=Bern" / "b.csv.bz2").write_bytes(bz2.compress(parts[1].encode()))
    with zipfile.ZipFile(folder / "town=Bern" / "c.csv.zip", "w") as archive:
        archive.writestr("c.csv", parts[2].replace("\n", "\r\n"))
    (folder / "town=Bern" / "d.csv").write_text("")
    for source in (folder, f"{folder}/**/*.csv*"):
        predictions, facts = predict(source)
        pd.testing.assert_frame_equal(predictions, expected)
    told = "\n".join(facts["notices"])
    for words in ("'Orders of today'", "'(2 rows)'", "'ID' of a.csv is taken for 'id'", "d.csv: no row"):
        assert words in told


@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none.jsonl", "blank.csv", "bare.csv.gz"])
def test_a_batch_without_rows_gives_the_usual_header(predict: Any, tmp_path: Path, name: str, output: str) -> None:
    if name.endswith(".parquet"):
        frame = {"id": pa.array([], pa.int64()), "amount": pa.array([], pa.float64())}
        pq.write_table(
            pa.table({**frame, "town": pa.array([], pa.string()), "age": pa.array([], pa.int64())}), tmp_path / name
        )
    elif name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(text(HEADER).encode()))
    else:
        (tmp_path / name).write_text(text(HEADER) if name == "none.csv" else "")
    predictions, facts = predict(tmp_path / name, output)
    assert (list(predictions.columns), len(predictions), facts["rows"]) == (["id", "prediction", "probability"], 0, 0)


def test_what_a_batch_lacks_is_named_with_the_nearest(predict: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text("id,amounts,town,age", *LINES))
    with pytest.raises(DataError, match="lacks columns") as error:
        predict(tmp_path / "a.csv")
    assert error.value.faults == ["missing column 'amount'; nearest is 'amounts'"]
    (tmp_path / "none.csv").write_text(text("id,town,age"))
    with pytest.raises(DataError, match="lacks columns"):
        predict(tmp_path / "none.csv")
    with pytest.raises(DataError, match="no source file"):
        predict(tmp_path / "nowhere.csv")


def test_files_with_and_without_a_header_are_not_mixed(predict: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(text(*(line.split(",", 1)[1] for line in LINES)))
    predictions, _ = predict(folder)
    assert len(predictions) == 12
    (folder / "c.csv").write_text(text(HEADER, *LINES))
    with pytest.raises(DataError, match="others have none") as error:
        predict(folder)
    assert "2 of 3 without a header" in error.value.seen


def test_a_key_never_has_the_name_of_a_prediction(
    packaged: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text(text(HEADER.replace("id", "prediction"), *LINES))
    schema = ModelDirectory.schema.func

    def with_other_key(opened: ModelDirectory) -> ServeSchema:
        return replace(schema(opened), key=("prediction",))

    monkeypatch.setattr(ModelDirectory, "schema", property(with_other_key))
    facts = predict_file(packaged.settings, packaged.ledger, "demo", tmp_path / "a.csv", tmp_path / "out.csv", 1)
    predictions = pd.read_csv(tmp_path / "out.csv")
    assert list(predictions.columns) == ["key_prediction", "prediction", "probability"]
    assert list(predictions["key_prediction"]) == list(range(6))
    assert facts["notices"] == ["the key column 'prediction' is called 'key_prediction' in the output"]
