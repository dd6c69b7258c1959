"""How many rows a coming night will read, told before it reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from pipelines.artifacts import Night
from pipelines.errors import AimassError
from pipelines.ingestion.files import sources
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.planning.growth import Curve, Estimate, estimate
from pipelines.planning.history import PastNight
from pipelines.settings import Settings

SAMPLE_BYTES = 1 << 20
DAY = 86_400.0


def source_bytes(settings: Settings, night: Night, spec: IngestSpec) -> int | None:
    """Return the size of the files that the night reads; None: a source is a database, or its files are not there."""
    tables = [spec.source, *(join.source for join in spec.joins)]
    total = 0
    for table in tables:
        if not isinstance(table, Files):
            return None
        try:
            files = sources.find_files(table, night.as_of, settings, night.model.zone)
            total += sum(size for size, _ in sources.sizes(files).values())
        except AimassError:
            return None
    return total


def rows_to_read(settings: Settings, night: Night, spec: IngestSpec, nights: Sequence[PastNight]) -> Estimate | None:
    """Return the rows that the night will read; None: nothing tells.

    With nights behind it: the size of its files times the rows per byte of those nights, else the trend of their rows
    by date. Without: what the footers of Parquet files say, or the size of text files over the mean length of a line.
    """
    nbytes = source_bytes(settings, night, spec)
    read = [(each.source_bytes, each.rows()["ingest"], each.as_of) for each in nights if "ingest" in each.rows()]
    if read:
        sized = [(float(size), rows) for size, rows, _ in read if size]
        if nbytes and sized:
            rate = median(rows / size for size, rows in sized)
            return estimate([(size, rows) for size, rows in sized], float(nbytes), Curve(0.0, rate))
        start = read[0][2]
        dated = [((at - start).total_seconds() / DAY, rows) for _, rows, at in read]
        level = median(rows for _, rows in dated)
        return estimate(dated, (night.as_of - start).total_seconds() / DAY, Curve(level))
    if nbytes is None or not isinstance(spec.source, Files):
        return None
    return _count(sources.find_files(spec.source, night.as_of, settings, night.model.zone))


def _count(files: Sequence[Path]) -> Estimate | None:
    """Count the rows of files without reading them whole; None: they are packed."""
    if all(file.suffix == ".parquet" for file in files):
        import pyarrow.parquet as pq

        return Estimate.exactly(float(sum(pq.read_metadata(file).num_rows for file in files)))
    if any(sources.packing(file.name) for file in files):
        return None
    rows = 0.0
    for file in files:
        with file.open("rb") as stream:
            head = stream.read(SAMPLE_BYTES)
        rows += file.stat().st_size * head.count(b"\n") / max(len(head), 1)
    return Estimate(rows, 0.8 * rows, 1.2 * rows)
