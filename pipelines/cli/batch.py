"""Reads the rows of a batch as `aimass init` reads a source, and checks that all columns of the model are there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import DataError
from pipelines.inference.recipe.arrays import frame_of
from pipelines.ingestion.derived_columns import near
from pipelines.ingestion.files import rejects, sources
from pipelines.ingestion.files.compression import content_name
from pipelines.ingestion.files.csv_dialect import first_line
from pipelines.ingestion.files.formats import is_json, is_parquet
from pipelines.ingestion.files.read import Source, connect, load, to_arrow
from pipelines.ingestion.spec import Files
from pipelines.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.inference.predictor import Predictor


def read_batch(source: str, predictor: Predictor, settings: Settings) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of a batch as received, and notices on how they were read; an empty batch is valid.

    Files without a header are recognised by their first line and its number of cells.

    Raises
    ------
    DataError
        If there is no file, a line does not fit, or a column is missing that the model needs.
    """
    path = source if "://" in source or source.startswith("home:") else str(Path(source).expanduser().absolute())
    spec = Files(path=path, max_rejected=0)
    files = sources.find_files(spec, datetime.now(UTC), settings)
    texts = [file for file in files if file.stat().st_size and not _is_typed(Path(content_name(file)))]
    names = _names_of_all(texts, spec, predictor)
    if texts:
        spec = Files(path=path, header=not names, columns=names, max_rejected=0)
    wanted = (*predictor.requested, *predictor.schema.key)
    split = sources.partitions(files, sources.root_of(spec, settings))
    with tempfile.TemporaryDirectory(prefix="aimass-predict-") as work:
        connection = connect(Path(work))
        try:
            read = load(connection, files, spec, partitions=split, judge=False, wanted=wanted)
            rejects.judge(connection, files, read.rows, spec.max_rejected)
            columns = read.columns or list(dict.fromkeys(wanted))  # of files without a line nothing is missing
            frame = _frame(read, columns)
        finally:
            connection.close()
    missing = predictor.missing_columns(columns)
    if missing:
        raise DataError(
            "the input lacks columns that the model needs",
            where=source,
            seen=", ".join(map(str, columns))[:400],
            expected=", ".join(missing),
            cure="add these columns; extra columns are ignored",
            faults=[f"missing column {column!r}{near(column, columns)}" for column in missing],
        )
    return frame, read.notices


def _frame(read: Source, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a table with the types that a night stores."""
    import pandas as pd

    if not read.columns:
        return pd.DataFrame({name: pd.Series([], dtype=object) for name in columns})
    return frame_of(to_arrow(read).rename_columns(list(columns)))


def _is_typed(file: Path) -> bool:
    return is_parquet(file) or is_json(file)


def _names_of_all(files: Sequence[Path], spec: Files, predictor: Predictor) -> tuple[str, ...]:
    """Return the column names of text files without a header; none if they have one."""
    firsts = {file: first_line(file, spec) for file in files}
    found = {file: names_without_header(first, predictor) for file, first in firsts.items() if first}
    if len(set(found.values())) > 1:
        bare = [file.name for file, names in found.items() if names]
        raise DataError(
            "some files of the input have a header and others have none",
            where=spec.path,
            seen=f"{len(bare)} of {len(found)} without a header: {', '.join(bare[:5])}",
            expected="all files alike",
            cure="predict them one by one, or deliver all with a header",
        )
    return next(iter(found.values()), ())


def names_without_header(first: list[str], predictor: Predictor) -> tuple[str, ...]:
    """Return the column names of a file without a header line; empty if the file has a header."""
    whole = predictor.schema.source_columns
    without_target = tuple(name for name in whole if name != predictor.schema.target)
    if sum(name in whole for name in first) * 2 >= min(len(first), len(whole)):
        return ()
    names = next((names for names in (whole, without_target) if len(names) == len(first)), ())
    numbers = [column.name for column in predictor.recipe.kept if column.kind == "number" and column.name in names]
    unreadable = predictor.recipe.read_row(dict(zip(names, first, strict=False)))[1]
    # Names where numbers should be: a header, only that of another table.
    return () if len(numbers) > 1 and all(name in unreadable for name in numbers) else names
