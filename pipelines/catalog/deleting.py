"""Deleting versions for a person at the API or the page: `aimass delete` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from pipelines.catalog.fields import LONGEST_REASON, plain_text
from pipelines.catalog.verbs import MissingError, show
from pipelines.child_environment import as_environment
from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.ledger.archive import InUseError
from pipelines.settings import Settings

SECONDS = 300


def delete_versions(
    settings: Settings, ledger: Ledger, model: str, versions: Sequence[int], why: Any, who: str, *, dry_run: bool
) -> list[dict[str, Any]]:
    """Delete versions with all their files, or tell what would go: ``[{what, bytes}]``.

    Raises
    ------
    InUseError
        One is in use: live, lately live, served, being released, or what nights are compared with. Nothing is deleted.
    AimassError
        It failed, or took too long.
    """
    show(ledger, model)
    reason = plain_text(why, LONGEST_REASON, "to delete needs a reason, and this", model)
    known = {row.version for row in ledger.versions(model)}
    if missing := [each for each in versions if each not in known]:
        raise MissingError("no such version", where=model, seen=missing[0], expected=", ".join(map(str, sorted(known))))
    chosen = [word for each in versions for word in ("--version", str(each))]
    words = ["delete", model, *chosen, f"--why={reason}", f"--by={who}", "--json", *(["--dry-run"] if dry_run else [])]
    environment = {**os.environ, **as_environment(settings), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-P", "-m", "pipelines.cli.main", *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise AimassError(
            "to delete took too long",
            where=model,
            expected=f"an end within {SECONDS} s",
            cure=f"look what is left: aimass versions {model}",
        ) from None
    told = done.stderr.decode(errors="replace").strip()
    if done.returncode == 2:
        raise InUseError("this cannot be deleted", where=model, seen=told.removeprefix("error: ")[:1500])
    if done.returncode:
        raise AimassError("to delete failed", where=model, seen=told[-1500:])
    return list(json.loads(done.stdout))
