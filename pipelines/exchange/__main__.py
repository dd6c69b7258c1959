"""``python -m pipelines.exchange REQUEST.json``: an import, export or evaluation that somebody asked for over HTTP.

Leaves ``result.json`` or ``error.json`` beside the request.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.artifacts import write_json
from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.ledger.actions import DONE
from pipelines.settings import Settings

Asked = dict[str, Any]


def import_model(settings: Settings, ledger: Ledger, asked: Asked) -> Asked:
    """Import a model file."""
    from pipelines.exchange.importing import import_model

    given = {name: asked[name] for name in ("task", "tolerance") if name in asked}
    done = import_model(
        settings,
        ledger,
        Path(asked["file"]),
        asked["name"],
        schema=Path(asked["schema"]),
        samples=Path(asked["samples"]),
        actor=_actor(asked),
        **given,
    )
    _keep(ledger, asked, "import", done.published.version, done.origin["file"])
    return {**asdict(done.published), "origin": done.origin, "served_difference": done.served_difference}


def import_archive(settings: Settings, ledger: Ledger, asked: Asked) -> Asked:
    """Import an archive."""
    from pipelines.exchange.archive_import import import_archive

    how = {"name": asked["name"], "trust_key": asked.get("trust_key"), "actor": _actor(asked)}
    done = import_archive(settings, ledger, Path(asked["file"]), **how)
    _keep(ledger, asked, "import", done.published.version, done.origin["file"])
    return {**asdict(done.published), "origin": done.origin}


def archive(settings: Settings, ledger: Ledger, asked: Asked) -> Asked:
    """Export a version as an archive."""
    from pipelines.exchange.exporting import export_version

    done = export_version(settings, ledger, asked["name"], Path(asked["out"]), version=asked["version"])
    _keep(ledger, asked, "export", done.version, done.path.name)
    return asdict(done)


def onnx(settings: Settings, ledger: Ledger, asked: Asked) -> Asked:
    """Export a version as ONNX."""
    from pipelines.exchange.onnx_export import export_onnx

    done = export_onnx(settings, ledger, asked["name"], Path(asked["out"]), asked["version"])
    _keep(ledger, asked, "export", done.version, done.path.name)
    return asdict(done)


def evaluate(settings: Settings, ledger: Ledger, asked: Asked) -> Asked:
    """Judge a version on a table."""
    from pipelines.exchange.evaluating import evaluate_version

    how = {"version": asked["version"], "slices": asked["slices"]}
    return asdict(evaluate_version(settings, ledger, asked["name"], asked["table"], **how))


def _actor(asked: Asked) -> str:
    return f"import:{asked['who']}"[:120]


def _keep(ledger: Ledger, asked: Asked, kind: str, version: int, file: str) -> None:
    """Record who brought a version in or took it out."""
    row = ledger.act(asked["name"], kind, actor=asked["who"], why=f"over HTTP: {file}", about={"version": version})
    assert row is not None  # nothing was compared
    ledger.acted(row.id, DONE)


VERBS: dict[str, Callable[[Settings, Ledger, Asked], Asked]] = {
    each.__name__: each for each in (import_model, import_archive, archive, onnx, evaluate)
}


def main(arguments: list[str]) -> int:
    """Do what a request asks for; return the exit code."""
    from pipelines import settings as settings_module
    from pipelines.full_disk import disk_errors

    path = Path(arguments[0])
    asked = json.loads(path.read_bytes())
    settings = settings_module.load().ensure()
    try:
        with disk_errors(settings.storage), Ledger.open(settings) as ledger:
            found = VERBS[asked["verb"]](settings, ledger, asked)
    except AimassError as error:
        write_json(path.with_name("error.json"), error.to_dict())
        return error.exit_code
    write_json(path.with_name("result.json"), json.loads(json.dumps(found, default=str)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
