"""Moves an installation: files, then the registry, then the ledger, which names them; the old home stays as it is.

A note in the new home says whose data it gets and how far it is, so that a second call goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.artifacts import write_json
from pipelines.backup.ledger_copy import copy_ledger
from pipelines.errors import BackupError, SpecError
from pipelines.inference.manifest import verify_manifest
from pipelines.ledger import Ledger
from pipelines.ledger.moving import copy_ledger_rows, has_rows, ledger_facts, model_addresses
from pipelines.migration.bucket import copy_into_bucket, send_files
from pipelines.migration.files import Part, Say, copy_part
from pipelines.migration.mlflow_database import move_into, rewritten_copy
from pipelines.migration.target import described, environment, read_values, state_of, target_settings
from pipelines.secret_files import public_key
from pipelines.settings import Settings, make_private
from pipelines.storage import MANIFEST, remote_of, resolve, verify

DONE, BEGUN = "done", "begun"


@dataclass(frozen=True)
class Moved:
    """What a move did."""

    already: bool
    """Whether it was done before, and nothing was copied."""
    home: Path
    tables: Mapping[str, int]
    files: int
    """Copied by this call."""
    models: int
    """Model directories whose signature was verified in the new place."""


def parts_of(old: Settings, new: Settings) -> list[Part]:
    """Return the files that are copied."""
    return [
        Part("storage", old.storage, new.storage, frozenset({".staging", ".unsent", ".copies", ".locks"})),
        Part("artifacts of MLflow", old.mlflow_dir / "artifacts", new.mlflow_dir / "artifacts"),
        Part("services", old.bentoml_home / "bentos", new.bentoml_home / "bentos"),
        Part("secrets", old.secrets, new.secrets, frozenset({"at_boot.json"})),
    ]


def outlook(old: Settings, path: Path) -> list[tuple[str, str, str]]:
    """Return (part, what is copied, where to) without changing anything, the new place included."""
    new = target_settings(old, read_values(path), path)
    state = _state(old, new)
    if state.get("state") == DONE:
        return [("everything", "nothing: it was moved before", str(new.home))]
    lines = []
    for part in parts_of(old, new):
        files, size = part.size()
        bucket = new.storage_bucket if part.source == old.storage else None
        lines.append((part.name, f"{files} files, {size / 1e6:,.1f} MB", bucket or str(part.target)))
    with TemporaryDirectory(prefix="aimass-") as scratch, _copied(old, Path(scratch) / "home") as ledger:
        rows = sum(facts["rows"] for facts in ledger_facts(ledger).values())
    where = described(new)
    lines.append(("registry", "MLflow's database", where["registry"]))
    lines.append(("ledger", f"{rows} rows", where["ledger"]))
    return lines


def migrate(old: Settings, path: Path, say: Say) -> Moved:
    """Copy an installation to the place whose settings are in a file.

    Raises
    ------
    SpecError
        The settings are wrong, or the platform of the old home runs.
    BackupError
        The new place holds other data, or something is damaged; the old home stays in use then.
    """
    values = read_values(path)
    new = target_settings(old, values, path)
    state = _state(old, new)
    if state.get("state") == DONE:
        return Moved(True, new.home, state["tables"], 0, state["models"])
    _require_idle(old)
    with environment(values):
        if not state and (remote := remote_of(new)) is not None and next(remote.found("models"), None) is not None:
            raise _foreign(new, f"versions in {new.storage_bucket}")
        new.ensure()
        write_json(state_of(new), {"installation": _identity(old), "from": str(old.home), "state": BEGUN})
        scratch = make_private(new.run_dir / "migration")
        shutil.rmtree(scratch)
        try:
            return _move(old, new, make_private(scratch), say)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _move(old: Settings, new: Settings, scratch: Path, say: Say) -> Moved:
    with _copied(old, scratch) as source, Ledger.open(new) as target:
        if (broken := source.broken_history()) is not None:
            raise BackupError(
                "the history of the old ledger is broken",
                where=f"entry {broken.id} of {broken.model}",
                seen=f"{broken.from_version} -> {broken.to_version}",
                cure="restore the ledger from a backup of before, see docs/runbooks/backup.md",
            )
        facts = ledger_facts(source)
        if (filled := has_rows(target)) and ledger_facts(target) != facts:
            raise BackupError(
                "the ledger of the new place holds other data",
                where=described(new)["ledger"],
                seen="rows that the old one does not have, or not in this form",
                expected="an empty ledger, or what an earlier call copied",
                cure="name an empty database",
            )
        storage, artifacts, *others = parts_of(old, new)
        copies = make_private(scratch / "copies")
        if new.storage_bucket is None:
            files, faults = copy_part(storage, say), _damaged(new)
        else:
            files, faults = copy_into_bucket(storage, new, copies, say)
        # where other machines use MLflow's server, it keeps the artifacts: a folder of one machine is none of theirs
        served = new.mlflow_address is not None
        if served and new.storage_bucket is not None:
            files += send_files(artifacts, "mlflow", new, copies, say)
        else:
            files += copy_part(artifacts, say)
        files += sum(copy_part(part, say) for part in others)
        models = _verify_models(new, source)
        copy = rewritten_copy(old, None if served else new.mlflow_dir / "artifacts", scratch)
        if copy is not None:
            say(f"registry: {move_into(copy, new.mlflow_store)} rows")
        if not filled:
            copy_ledger_rows(source, target)
        if target.broken_history() is not None:
            raise BackupError("the history did not arrive whole", where=str(new.home), cure="report this")
        tables = {name: each["rows"] for name, each in facts.items()}
        say(f"ledger: {sum(tables.values())} rows, hash chain of {tables['history']} switches verified")
    for fault in faults:
        say(f"damaged in the old home, too, and not needed by a version: {fault}")
    done = {"installation": _identity(old), "from": str(old.home), "state": DONE, "tables": tables, "models": models}
    write_json(state_of(new), done)
    return Moved(False, new.home, tables, files, models)


def _copied(old: Settings, scratch: Path) -> Ledger:
    """Open a copy of the old ledger, whose tables are brought up to date while the old one stays as it is."""
    if old.storage_bucket is not None:
        raise SpecError(
            "the old storage is in an object store already",
            where="AIMASS_STORAGE",
            expected="the folder of a one-machine home",
            cure="to move a bucket, use the object store's own replication",
        )
    if old.ledger_url is not None and not old.ledger_url.startswith("sqlite"):
        raise SpecError(
            "the old ledger is in PostgreSQL already",
            where="AIMASS_LEDGER_URL",
            expected="the SQLite ledger of a one-machine home",
            cure="to move a database of PostgreSQL, use pg_dump and pg_restore",
        )
    copy = copy_ledger(old, scratch)
    return Ledger.open(old.model_copy(update={"home": scratch, "ledger_url": f"sqlite:///{copy.path}"}))


def _verify_models(new: Settings, source: Ledger) -> int:
    """Verify the signature over every model directory that the ledger names, in the new place; return how many."""
    key, count, faults = public_key(new), 0, []
    for name, uri in model_addresses(source).items():
        try:
            verify_manifest(resolve(new, uri), key)
            count += 1
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, all are told of
            faults.append(f"{name}: {error}")
    if faults:
        raise BackupError(
            "model directories are damaged; the ledger was not moved",
            where=str(new.storage / "models"),
            expected="every version as it was signed",
            cure="restore them in the old home from a backup, or delete these versions there",
            faults=faults,
        )
    return count


def _damaged(new: Settings) -> list[str]:
    """Return what differs from the manifest of its folder: it did so in the old home, too."""
    found = []
    for manifest in sorted(new.storage.rglob(MANIFEST)):
        try:
            verify(manifest.parent)
        except Exception as error:  # noqa: BLE001 - told, whatever it is
            found.append(f"{manifest.parent.relative_to(new.storage)}: {error}")
    return found


def _state(old: Settings, new: Settings) -> dict[str, Any]:
    """Return the note of an earlier call; empty if there was none.

    Raises
    ------
    BackupError
        The new home is that of another installation.
    """
    path = state_of(new)
    if path.exists():
        state: dict[str, Any] = json.loads(path.read_text())
        if state.get("installation") == _identity(old):
            return state
        raise _foreign(new, f"it was moved from {state.get('from')}")
    key = new.secrets / "signing_key.pem"
    if key.exists() or new.ledger_path.exists() or (new.storage / "models").exists():
        raise _foreign(new, "state of an installation, and no note of a move from here")
    return {}


def _foreign(new: Settings, seen: str) -> BackupError:
    return BackupError(
        "the new place holds the data of another installation",
        where=str(new.home),
        seen=seen,
        expected="a place that is empty, or that an earlier call began to fill",
        cure="name another home",
    )


def _identity(old: Settings) -> str:
    """Return what tells installations apart: the key that their models are signed with."""
    if not (old.secrets / "signing_key.pem").exists():
        raise SpecError(
            "there is nothing to move",
            where=str(old.home),
            seen="no signing key",
            expected="a home in which at least one night ran",
            cure="check AIMASS_HOME",
        )
    return public_key(old).hex()


def _require_idle(old: Settings) -> None:
    from pipelines.local import supervisor

    if supervisor.current(old) is not None:
        raise SpecError(
            "the platform of the old home runs",
            where=str(old.home),
            expected="that nothing changes while it is moved",
            cure="stop it (aimass down), then try again",
        )
