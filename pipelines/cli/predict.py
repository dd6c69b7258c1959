"""`aimass predict`: predictions for a file of raw rows, in the file's order, from the model directory alone."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import storage
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.settings import Settings, public_key

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")


def choose_version(ledger: Ledger, name: str, version: int | None) -> Any:
    """Return the row of the version asked for; by default the live one."""
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
    settings: Settings, ledger: Ledger, name: str, source: str | Path, target: Path, version: int | None
) -> dict[str, Any]:
    """Predict every row of ``source`` and write ``target`` atomically.

    Parameters
    ----------
    source
        File, folder, glob or address of CSV, JSON lines or Parquet, packed or not, as `aimass init` reads it, with the
        columns of the model's serve schema; others are ignored. Rows come in the order of the files' names.
    target
        ``.csv`` or ``.parquet``; columns: the key if declared, ``prediction``, and ``probability`` (binary) or
        ``probability_<class>``. A key column with such a name is called ``key_<name>``.

    Returns
    -------
    dict
        ``rows``, ``version``, ``warnings`` of cells (column → kind → count) and ``notices`` of how files were read.
    """
    from pipelines.cli.batch import read_batch
    from pipelines.inference.model_directory import ModelDirectory

    if target.suffix not in SUFFIXES:
        raise SpecError("unknown kind of output", where=str(target), seen=target.suffix, expected=" or ".join(SUFFIXES))
    if not target.parent.is_dir():
        raise SpecError("the output's folder does not exist", where=str(target.parent), cure="create it first")
    row = choose_version(ledger, name, version)
    predictor = ModelDirectory.open(storage.resolve(settings, row.model_uri), public_key(settings)).predictor
    frame, notices = read_batch(str(source), predictor, settings)
    predictions, warnings = predictor.predict_frame_counted(frame)
    for position, column in enumerate(column for column in predictor.schema.key if column in frame.columns):
        own = column
        while own in predictions.columns:
            own = f"key_{own}"
        if own != column:
            notices.append(f"the key column {column!r} is called {own!r} in the output")
        predictions.insert(position, own, frame[column].array)  # as numpy, whole numbers with a gap would be floats
    _write(predictions, target)
    return {"rows": len(predictions), "version": row.version, "warnings": warnings, "notices": notices}


def _write(predictions: pd.DataFrame, target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}{target.suffix}")
    try:
        with storage.disk_errors(target):
            if target.suffix == ".csv":
                keys = {str(name): cells.map(_text) for name, cells in predictions.items() if cells.dtype == object}
                predictions.assign(**keys).to_csv(partial, index=False)
            else:
                predictions.to_parquet(partial, index=False)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _text(cell: Any) -> Any:
    """Return a key's cell with all digits of a decimal number, and bytes in hexadecimal digits."""
    if isinstance(cell, bytes):
        return cell.hex()
    return format(cell, "f") if isinstance(cell, Decimal) else cell
