"""Date formats are learned from all rows."""

from __future__ import annotations

import duckdb
import pytest

from pipelines.ingestion.dates import learn_formats, moment


def learn(values: list[str | None], **options: object) -> tuple[str, ...]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT unnest(?::VARCHAR[]) AS c0", [values])
        return learn_formats(connection, "t", "c0", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["2026-01-02", "2026-12-31", None, "?"], ("%Y-%m-%d",)),
        (["1/2/2011", "3/25/2011"], ("%m/%d/%Y",)),
        (["1/2/2011", "25/3/2011"], ("%d/%m/%Y",)),
        (["02.01.2026 14:05", "31.12.2026 09:00"], ("%d.%m.%Y %H:%M",)),
        (["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"], ("%Y-%m-%dT%H:%M:%SZ",)),
        (["red", "green 5"], ()),
        (["20260102", "20261231"], ()),
        (["1.5", "2.25"], ()),
    ],
)
def test_one_way_of_writing(values: list[str | None], formats: tuple[str, ...]) -> None:
    assert learn(values) == formats


def test_bare_digits_are_dates_where_declared() -> None:
    assert learn(["20260102", "20261231"], declared=True) == ("%Y%m%d",)


def test_the_last_row_decides_between_months_and_days_first() -> None:
    values: list[str | None] = [f"{1 + n % 12}/{1 + n % 11}/2026" for n in range(30_000)]
    assert learn([*values, "25/3/2026"]) == ("%d/%m/%Y",)
    assert learn([*values, "3/25/2026"]) == ("%m/%d/%Y",)


def test_several_formats_and_dirt_but_never_both_orders() -> None:
    values: list[str | None] = (
        [f"2026-01-{1 + n % 28:02d}" for n in range(150)] + ["13/01/2026"] * 48 + ["01/13/2026", "x"]
    )
    assert learn(values) == ("%Y-%m-%d", "%d/%m/%Y")


def test_moments_are_utc() -> None:
    sql = moment("'2026-01-02T03:04:05+02:00'", "VARCHAR", ("%Y-%m-%dT%H:%M:%S%z",))
    with duckdb.connect() as connection:
        text = connection.execute(f"SET timezone = 'UTC'; SELECT CAST({sql} AS VARCHAR)").fetchone()
    assert text == ("2026-01-02 01:04:05+00",)
