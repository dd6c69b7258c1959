"""Makes a home of restored files: the signing key, MLflow's addresses, and what the user must know of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.backup import copying
from pipelines.backup.ledger_copy import DUMP
from pipelines.backup.mlflow_addresses import rewrite
from pipelines.secret_files import signing_key
from pipelines.settings import Settings, make_private


def finish(settings: Settings, facts: dict[str, Any], partial: Path, into: Path) -> tuple[str, ...]:
    """Make a home of the files that were written; return what the user must know of."""
    copying.copy_file(signing_key(settings), make_private(partial / "secrets") / signing_key(settings).name)
    notices = []
    mlflow = partial / "mlflow" / "mlflow.db"
    if mlflow.is_file():
        rewrite(mlflow, into / "mlflow" / "artifacts")
    missing = facts.get("missing", ["all: the backup is of a format that holds none"] if mlflow.is_file() else [])
    if missing:
        notices.append(
            f"MLflow's artifacts are not in the backup ({', '.join(missing[:5])}): model cards and plots of these "
            "versions are missing there; predictions do not need them"
        )
    if DUMP in facts["files"]:
        notices.append(
            "the ledger is a dump of PostgreSQL: load it into an empty database with "
            f"pg_restore --no-owner -d ADDRESS {into / restored_name(DUMP)}, then set AIMASS_LEDGER_URL"
        )
    if settings.storage_address is not None:
        notices.append(
            f"models and histories lie in {into / 'storage'}: use this home without AIMASS_STORAGE, "
            f"which is {settings.storage_address} here"
        )
    return tuple(notices)


def restored_name(name: str) -> str:
    """Return where a file of the backup lies below a restored home."""
    return name.removeprefix("home/")
