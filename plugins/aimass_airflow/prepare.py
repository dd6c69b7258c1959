"""Bring an Airflow database up to date and create the pool: one process, one import of Airflow."""

from __future__ import annotations

import sys

from airflow.models.pool import Pool
from airflow.utils.db import upgradedb


def main(pool: str, slots: int) -> None:
    """Migrate the configured database; make sure that the pool for heavy tasks exists."""
    upgradedb()
    if Pool.get_pool(pool) is None:
        Pool.create_or_update_pool(
            pool, slots=slots, description="Heavy stages: as many at once as the machine bears", include_deferred=False
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
