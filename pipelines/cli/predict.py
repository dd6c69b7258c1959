"""`aimass predict`: answers for a file of raw rows, in the file's order, from the model directory alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import storage
from pipelines.errors import DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.settings import Settings, public_key

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.inference.predictor import Predictor

SUFFIXES = (".csv", ".parquet")


def choose_version(ledger: Ledger, name: str, version: int | None) -> Any:
    """Give the row of the wanted version: the live one, or the one named."""
    if version is not None:
        row = ledger.version(name, version)
        if row is not None and row.model_uri:
            return row
        numbers = ", ".join(str(row.version) for row in ledger.versions(name)) or "none"
        raise SpecError(
            "no such version", where=name, seen=version, expected=f"one of {numbers}", cure=f"aimass show {name}"
        )
    row = ledger.champion(name)
    if row is None:
        raise SpecError(
            "this model has no live version",
            where=name,
            expected="a promoted version",
            cure=f"aimass run {name}, or name a version with --version",
        )
    return row


def predict_file(
    settings: Settings, ledger: Ledger, name: str, source: Path, target: Path, version: int | None
) -> dict[str, Any]:
    """Predict every row of ``source`` and write ``target`` atomically.

    Parameters
    ----------
    source
        CSV, JSON lines (also .gz) or Parquet with the columns of the model's serve schema; others are ignored.
    target
        ``.csv`` or ``.parquet``; columns: the key if declared, ``prediction``, and ``probability`` (binary) or
        ``probability_<class>``.

    Returns
    -------
    dict
        ``rows``, ``version`` and ``unreadable`` {column: cells read as missing}.
    """
    from pipelines.inference.predictor import Predictor

    if target.suffix not in SUFFIXES:
        raise SpecError("unknown kind of output", where=str(target), seen=target.suffix, expected=" or ".join(SUFFIXES))
    if not target.parent.is_dir():
        raise SpecError("the output's folder does not exist", where=str(target.parent), cure="create it first")
    row = choose_version(ledger, name, version)
    predictor = Predictor.load(storage.resolve(settings, row.model_uri), public_key(settings))
    frame = _read(source, predictor)
    missing = predictor.missing_columns(list(frame.columns))
    if missing:
        raise DataError(
            "the input lacks columns that the model needs",
            where=str(source),
            seen=", ".join(map(str, frame.columns))[:400],
            expected=", ".join(missing),
            cure="add these columns; extra columns do no harm",
            faults=[f"missing column {column!r}" for column in missing],
        )
    answers, unreadable = predictor.predict_frame_counted(frame)
    keys = [column for column in predictor.schema.key if column in frame.columns]
    for position, column in enumerate(keys):
        answers.insert(position, column, frame[column].to_numpy())
    _write(answers, target)
    return {"rows": len(answers), "version": row.version, "unreadable": unreadable}


def _read(source: Path, predictor: Predictor) -> pd.DataFrame:
    """Read the rows as received; a file without a header is recognised by its first line and its number of columns."""
    from pipelines.ingestion.formats import is_json, is_parquet
    from pipelines.ingestion.read import connect, load
    from pipelines.ingestion.sniff import first_line
    from pipelines.ingestion.spec import Files

    if not source.is_file():
        raise DataError(
            "no such input file", where=str(source), cure="give the path of a file of CSV, JSON lines or Parquet"
        )
    spec = Files(path=str(source), max_rejected=0)
    if not is_parquet(source) and not is_json(source):
        names = _names_without_header(first_line(source, spec), predictor)
        spec = Files(path=str(source), header=not names, columns=names, max_rejected=0)
    with tempfile.TemporaryDirectory(prefix="aimass-predict-") as work:
        connection = connect(Path(work), source.stat().st_size)
        try:
            read = load(connection, [source], spec)
            table = connection.sql("SELECT * FROM source").to_arrow_table()
        finally:
            connection.close()
    frame: pd.DataFrame = table.rename_columns(read.columns).to_pandas()
    return frame


def _names_without_header(first: list[str], predictor: Predictor) -> tuple[str, ...]:
    """Give the column names of a file whose first line is data; empty if that line names columns."""
    whole = predictor.schema.source_columns
    without_target = tuple(name for name in whole if name != predictor.schema.target)
    if sum(name in whole for name in first) * 2 >= min(len(first), len(whole)):
        return ()
    names = next((names for names in (whole, without_target) if len(names) == len(first)), ())
    numbers = [column.name for column in predictor.recipe.kept if column.kind == "number" and column.name in names]
    unreadable = predictor.recipe.read_row(dict(zip(names, first, strict=False)))[1]
    # Names where numbers should be: a header, only that of another table.
    return () if len(numbers) > 1 and all(name in unreadable for name in numbers) else names


def _write(answers: pd.DataFrame, target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}{target.suffix}")
    try:
        with storage.disk_errors(target):
            if target.suffix == ".csv":
                answers.to_csv(partial, index=False)
            else:
                answers.to_parquet(partial, index=False)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
