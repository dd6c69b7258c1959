"""The stages of a recorded night, run again in a home of their own from what the ledger keeps of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines import stages, storage
from pipelines.artifacts import Night, Ref, Request, StageResult, write_atomic
from pipelines.errors import AimassError, from_dict
from pipelines.ledger import Ledger
from pipelines.mart.lend import lend
from pipelines.settings import Settings, make_private
from pipelines.spec import ModelSpec, spec_error
from pipelines.storage.file_io import link_or_copy, tail
from pipelines.trial_home import load_private

REPEATED = tuple(stage.name for stage in stages.NIGHT if stage.identity)
"""Stages whose results depend on their inputs alone; those after them publish, which is not to be done twice."""


@contextmanager
def scratch_home(settings: Settings) -> Iterator[Settings]:
    """Yield a home that reads sources, histories and keys of the real one and writes to none; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="reproduce-", dir=make_private(settings.run_dir)))
    try:
        scratch = load_private(folder / "home", settings.dags).ensure()
        history = settings.storage / "history"
        if settings.storage_bucket is not None:
            make_private(history)  # for the copies of what is there
        (scratch.storage / "history").symlink_to(history)
        for made in (scratch.feed, scratch.secrets):
            made.rmdir()
        for entry in settings.home.iterdir():  # a source may lie below the home
            link = scratch.home / entry.name
            if not link.exists() and not entry.name.startswith((".", "ledger")):
                link.symlink_to(entry)
        yield scratch
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Rerun:
    """One recorded night, done again stage by stage.

    Parameters
    ----------
    settings, ledger
        The real ones, which are only read.
    scratch
        Home of the re-run.
    night
        The recorded night's row in the ledger.
    """

    settings: Settings
    ledger: Ledger
    scratch: Settings
    night: Any
    results: dict[str, StageResult] = field(default_factory=dict)
    recorded: dict[str, Any] = field(init=False)
    """By stage, the row that the ledger holds of it."""

    def __post_init__(self) -> None:
        model, night = self.night.model, self.night.night
        self.recorded = {row.stage: row for row in self.ledger.stages(model, night) if row.state == "done" and row.ref}
        self._own = Ledger.open(self.scratch)
        self.ledger.copy_night(self.night, self._own)

    def close(self) -> None:
        """Return the connections back."""
        self._own.close()

    def made_of(self, stage: str) -> dict[str, Any]:
        """Return what the re-run's result was made of."""
        rows = self._own.stages(self.night.model, self.night.night)
        return next(dict(row.made_of or {}) for row in rows if row.stage == stage)

    def run(self, stage: str) -> StageResult:
        """Run one stage on the results of those before it; what came from outside the night is taken as it was.

        Raises
        ------
        AimassError
            The stage's own error.
        """
        row = self.recorded[stage]
        try:
            model = ModelSpec(**row.made_of["model"])
        except ValidationError as error:
            raise spec_error("ModelSpec", error) from None
        fence = self._own.begin_stage(model.name, self.night.night, stage, row.spec)
        night = Night(model=model, night=self.night.night, as_of=self.night.as_of, fence=fence)
        inputs = {name: self._input(Ref.model_validate(ref)) for name, ref in row.made_of["inputs"].items()}
        lineage = {
            name: {"uri": done.ref.uri, "digest": done.ref.digest, "rows": done.ref.rows}
            for name, done in self.results.items()
        }
        facts = {**row.made_of["facts"], "lineage": lineage}
        request = Request(stage=stage, night=night, spec=row.spec, inputs=inputs, settings=facts)
        self.results[stage] = self._as_recorded(request) if stage == "ingest" else self._in_child(request)
        return self.results[stage]

    def _input(self, ref: Ref) -> Ref:
        """Return the re-run's own result instead of the night's; anything else is linked into the scratch home."""
        own = {row.ref["uri"]: stage for stage, row in self.recorded.items()}
        if ref.uri in own and own[ref.uri] in self.results:
            return self.results[own[ref.uri]].ref
        source, target = storage.resolve(self.settings, ref.uri), storage.resolve(self.scratch, ref.uri)
        if not source.is_dir():
            raise AimassError(
                "what the night was given is gone",
                where=ref.uri,
                seen="no such folder",
                expected=f"the input of digest {ref.digest}",
                cure="restore it from a backup; housekeeping keeps what the last nights refer to",
            )
        if not target.exists():
            shutil.copytree(source, target, copy_function=link_or_copy)
        return ref

    def _as_recorded(self, request: Request) -> StageResult:
        """Read the sources as they were known, without asking databases again or writing their histories."""
        storage.bring_all(self.settings, f"history/{request.night.model.name}")
        from pipelines.ingestion.history.replay import as_recorded
        from pipelines.runner import run_stage

        read: dict[str, Any] = (self.recorded["ingest"].stats or {}).get("mart") or {}
        if read:
            from pipelines.ingestion.spec import IngestSpec

            addresses = {name: f"mart:{each['name']}@{each['version']}" for name, each in read.items()}
            lend(self.settings, self.scratch, addresses.values())
            pinned = IngestSpec(**request.spec).at(addresses).model_dump(mode="json")
            request = request.model_copy(update={"spec": pinned})
        with as_recorded():
            return run_stage(request, self.scratch)

    def _in_child(self, request: Request) -> StageResult:
        folder = make_private(self.scratch.calls / request.stage)
        write_atomic(folder / "request.json", request.model_dump_json())
        private = ("AIMASS_LEDGER", "AIMASS_STORAGE")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(private)}
        environment |= {"AIMASS_HOME": str(self.scratch.home), "AIMASS_DAGS_FOLDER": str(self.scratch.dags)}
        log = folder / "log"
        with log.open("wb") as stream:
            code = subprocess.call(
                [sys.executable, "-P", "-m", "pipelines", request.stage, str(folder / "request.json")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        if code == 0:
            return StageResult.model_validate_json((folder / "result.json").read_bytes())
        if (folder / "error.json").is_file():
            raise from_dict(json.loads((folder / "error.json").read_bytes()))
        last = tail(log, 5).splitlines()
        raise AimassError("a stage ended without a result", where=request.stage, seen=f"code {code}", faults=last)
