"""Finds published tables: which version an address means at a date, and where its rows lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.errors import DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.mart import MartRow
from pipelines.mart.address import EXPECTED, Address
from pipelines.settings import Settings
from pipelines.spec import did_you_mean

FOLDER = "mart"
"""Part of the storage that holds published tables."""
TABLE, PREVIEW = "table", "preview.json"


def find(ledger: Ledger, text: str, as_of: datetime | None = None) -> MartRow:
    """Return the version that an address means.

    Parameters
    ----------
    as_of
        Without a version in the address: the newest that was published by then; None: the newest of all. A version
        that is named is taken whenever it was published.

    Raises
    ------
    SpecError
        If it is no address, the table or the version is unknown, or the version has expired.
    DataError
        If nothing of the table was published by then, or all of that has expired.
    """
    try:
        address = Address.read(text)
    except ValueError:
        raise SpecError("this names no published table", where="source", seen=text, expected=EXPECTED) from None
    rows = ledger.mart_tables(address.name)
    if not rows:
        known = sorted({row.name for row in ledger.mart_tables()})
        near = did_you_mean(address.name, known)
        raise SpecError(
            "no such published table",
            where=text,
            seen=f"{address.name}{near}",
            expected=", ".join(known[:10]) or "a table: none has been published",
            cure="aimass data list shows them; aimass data publish makes one",
        )
    kept = [row for row in rows if row.expired_at is None]
    versions = ", ".join(str(row.version) for row in kept[-10:]) or "none: all have expired"
    if address.version is not None:
        row = next((each for each in rows if each.version == address.version), None)
        if row is None:
            raise SpecError("no such version of the table", where=text, seen=address.version, expected=versions)
        if row.expired_at is not None:
            raise SpecError(
                "this version of the table has expired",
                where=text,
                seen=f"expired at {row.expired_at:%Y-%m-%d %H:%M} UTC by {row.expired_by}: {row.expired_why}",
                expected=f"a version that is kept: {versions}",
                cure="name another version, or none for the newest; a backup may hold this one",
            )
        return row
    fitting = [row for row in kept if as_of is None or row.created_at <= as_of]
    if not fitting:
        first = f"the first was published at {rows[0].created_at:%Y-%m-%d %H:%M} UTC"
        raise DataError(
            "nothing of a published table was known by then" if kept else "all versions of a published table expired",
            where=text,
            seen=f"{first}; kept are {versions}",
            expected="a version" + ("" if as_of is None else f" published by {as_of:%Y-%m-%d %H:%M} UTC"),
            cure=f"name a version (mart:{address.name}@N), or publish the table again",
        )
    return fitting[-1]


def files_of(settings: Settings, row: MartRow) -> list[Path]:
    """Return the Parquet files of a version, in the order of its rows, each checked against the manifest.

    Raises
    ------
    DataError
        If the folder is gone or damaged.
    """
    folder, _ = storage.open_folder(settings, row.uri)
    return sorted((folder / TABLE).glob("*.parquet"))


def known_files(settings: Settings, text: str, as_of: datetime) -> list[Path]:
    """Return the files of the version that an address means at a date."""
    with Ledger.open(settings) as ledger:
        row = find(ledger, text, as_of)
    return files_of(settings, row)


def known_version(settings: Settings, text: str, as_of: datetime) -> MartRow:
    """Return the version that an address means at a date."""
    with Ledger.open(settings) as ledger:
        return find(ledger, text, as_of)


def preview(settings: Settings, row: MartRow) -> list[list[str | None]]:
    """Return the first rows of a version as texts; its tables are not brought for that."""
    folder = storage.resolve(settings, row.uri, tables=False)
    try:
        found: list[list[str | None]] = json.loads((folder / PREVIEW).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            "the preview of a published table cannot be read",
            where=f"{row.address}: {folder / PREVIEW}",
            seen=f"{type(error).__name__}: {error}",
            cure="restore the folder from a backup, or publish the table again",
        ) from None
    return found


@contextmanager
def as_one_file(settings: Settings, row: MartRow) -> Iterator[Path]:
    """Yield a version as one Parquet file; a copy is removed afterwards."""
    files = files_of(settings, row)
    if len(files) == 1:
        yield files[0]
        return
    folder = storage.stage_folder(settings, f"mart-{row.name}")
    try:
        write_one(files, folder / f"{row.name}.parquet")
        yield folder / f"{row.name}.parquet"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_one(files: list[Path], target: Path) -> None:
    """Write several Parquet files of one schema as one, a row group at a time."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(files[0])
    with (
        storage.disk_errors(target),
        pq.ParquetWriter(target, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for path in files:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group).cast(schema))


def facts_of(row: MartRow) -> dict[str, Any]:
    """Return a version as JSON."""
    facts = {**vars(row), "address": row.address}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in facts.items()}
