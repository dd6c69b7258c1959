"""Bring an Airflow database up to date and create the pool: one process, one import of Airflow."""

from __future__ import annotations

import sqlite3
import sys

from airflow import settings
from airflow.models.pool import Pool
from airflow.utils.db import upgradedb


def ensure_pool(name: str, slots: int) -> None:
    """Make sure that the pool for heavy tasks exists; one whose slots were changed by hand is left as it is."""
    if Pool.get_pool(name) is None:
        Pool.create_or_update_pool(
            name, slots=slots, description="Heavy stages: as many at once as the machine bears", include_deferred=False
        )


def readers_beside_writer(address: str) -> None:
    """Let processes read a SQLite database while another writes."""
    if address.startswith("sqlite:///"):
        connection = sqlite3.connect(address.removeprefix("sqlite:///"))
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()


def main(pool: str, slots: int) -> None:
    """Migrate the configured database and create the pool."""
    readers_beside_writer(str(settings.SQL_ALCHEMY_CONN))
    upgradedb()
    ensure_pool(pool, slots)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
