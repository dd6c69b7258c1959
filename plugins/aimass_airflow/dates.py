"""The dates of a DAG file's schedule: ``python -m aimass_airflow.dates DAGFILE FIRST LAST RESULT``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aimass_airflow.inprocess import load_dag
from pipelines.artifacts import write_json
from pipelines.errors import AimassError

DAY = timedelta(days=1)


def dates_of(dag: Any, first: datetime, last: datetime) -> list[datetime]:
    """Return the dates from ``first`` to ``last``; of a DAG without times, each midnight UTC."""
    from airflow.serialization.serialized_objects import DagSerialization

    known = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    if not known.timetable.periodic or known.timetable.partitioned:
        return list(_midnights(first, last))
    found = [info.logical_date for info in known.iter_dagrun_infos_between(first, last)]
    return [date for date in found if date is not None and first <= date <= last]


def _midnights(first: datetime, last: datetime) -> Iterator[datetime]:
    day = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = day if day >= first else day + DAY
    while day <= last:
        yield day
        day += DAY


def main(arguments: list[str]) -> None:
    """Write the dates, or the error of a DAG file that cannot be imported, as JSON."""
    dag_file, first, last, result = arguments
    try:
        dates = dates_of(load_dag(Path(dag_file)), datetime.fromisoformat(first), datetime.fromisoformat(last))
        write_json(Path(result), {"dates": [date.isoformat() for date in dates]})
    except AimassError as error:
        write_json(Path(result), {"error": error.to_dict()})


if __name__ == "__main__":
    main(sys.argv[1:])
