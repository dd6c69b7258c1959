"""Predictions for a table of raw rows, in its order: part by part, so that memory does not grow with the rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import storage
from pipelines.batch.work import Identity, Work, working
from pipelines.code_digest import code_digest, environment_digest
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.batch.reading import Input
    from pipelines.inference.doubts import Counts
    from pipelines.inference.predictor import Predictor

SUFFIXES = (".csv", ".parquet")
PART_CELLS = 1 << 24
"""Cells in memory at once: a wide table is predicted fewer rows at a time."""


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
    """Predict every row of ``source`` and write ``target``, which appears whole.

    Finished parts of an earlier attempt are kept where input, model, version and code are the same. Without a number
    such an attempt goes on with the version that was live when it began.

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
        ``rows``, ``version``, ``warnings`` of cells (column → kind → count), ``notices`` of how files were read, and
        ``kept``, the number of rows that an earlier attempt has predicted.

    Raises
    ------
    SpecError
        If there is no such version, or finished parts of this input are of another version than the one asked for.
    DataError
        If the input cannot be read, lacks a column, or changes meanwhile.
    """
    from pipelines.batch.output import write_output
    from pipelines.batch.reading import find_input
    from pipelines.inference.doubts import added
    from pipelines.inference.model_directory import ModelDirectory

    if target.suffix not in SUFFIXES:
        raise SpecError("unknown kind of output", where=str(target), seen=target.suffix, expected=" or ".join(SUFFIXES))
    if not target.parent.is_dir():
        raise SpecError("the output's folder does not exist", where=str(target.parent), cure="create it first")
    row = choose_version(ledger, name, version)
    found = find_input(str(source), settings)
    digest = found.digest()
    target = target.absolute()
    with working(target) as work:
        row, told = _same_version(ledger, name, row, version, work, digest, target)
        predictor = ModelDirectory.open(storage.resolve(settings, row.model_uri), public_key(settings)).predictor
        code = f"{code_digest(__name__)} {environment_digest()}"
        identity = Identity(name, row.version, predictor.version_digest, digest, code)
        work.begin(identity, part_rows(predictor))
        kept = work.done
        if kept:
            told.append(f"{kept} rows were predicted by an earlier attempt and are kept")
        if not work.complete:
            _predict(found, predictor, work, settings, row.version, int(digest[:8], 16))
        write_output(work.paths(), work.parts, target)
        warnings: Counts = {}
        for part in work.parts:
            added(warnings, part.warnings)
        notices = [*told, *work.notices]
        return {"rows": work.done, "version": row.version, "warnings": warnings, "notices": notices, "kept": kept}


def part_rows(predictor: Predictor) -> int:
    """Return how many rows are predicted at a time."""
    from pipelines.inference.predictor import CHUNK_ROWS

    return max(1, min(CHUNK_ROWS, PART_CELLS // (len(predictor.requested) + len(predictor.plan.features) + 1)))


def _same_version(
    ledger: Ledger, name: str, row: Any, version: int | None, work: Work, digest: str, target: Path
) -> tuple[Any, list[str]]:
    """Return the version to go on with, and what to say of it; finished parts are never mixed with another version."""
    pinned = work.pinned(name, digest)
    if pinned is None or pinned == row.version:
        return row, []
    if version is not None:
        raise SpecError(
            "finished parts of this output are of another version",
            where=str(work.folder),
            seen=f"{work.done} rows predicted by version {pinned}",
            expected=f"version {version}",
            cure=f"finish them with version {pinned}, or remove this folder to begin anew",
        )
    known = ledger.version(name, pinned)
    if known is None or not known.model_uri:
        return row, []
    return known, [f"{target.name} is finished with version {pinned}, which was live when it was begun"]


def _predict(found: Input, predictor: Predictor, work: Work, settings: Settings, version: int, seed: int) -> None:
    """Predict what is left, part by part, and log a sample of it."""
    import pyarrow as pa

    from pipelines.batch.logged import BatchLog
    from pipelines.batch.output import gaps_of, units_of
    from pipelines.batch.reading import open_batch
    from pipelines.inference.recipe.arrays import frame_of

    with open_batch(found, predictor, settings, work.folder / "reading") as batch:
        outputs = list(predictor.predict_frame(frame_of(batch.schema.empty_table())).columns)
        names = own_names(batch.keys, outputs)
        renamed = [
            f"the key column {key!r} is called {own!r} in the output" for key, own in names.items() if own != key
        ]
        work.read(batch.rows, [*batch.notices, *renamed])
        logged = BatchLog(settings, predictor, version, batch.rows, seed)
        for raw in batch.parts(work.part_rows, work.done):
            frame, first, began = frame_of(raw), work.done, time.perf_counter()
            predictions, warnings = predictor.predict_frame_counted(frame)
            table = pa.Table.from_pandas(predictions, preserve_index=False).replace_schema_metadata()
            for position, (key, own) in enumerate(names.items()):
                table = table.add_column(position, own, raw.column(key))
            found.refuse_changed()
            work.add(table, warnings, gaps_of(table), units_of(table))
            logged.add(first, frame, predictions, began)


def own_names(keys: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
    """Return what each key column is called beside the predictions.

    >>> own_names(["id", "prediction"], ["prediction", "probability"])
    {'id': 'id', 'prediction': 'key_prediction'}
    """
    names: dict[str, str] = {}
    for key in keys:
        own = key
        while own in (*outputs, *names.values()):
            own = f"key_{own}"
        names[key] = own
    return names
