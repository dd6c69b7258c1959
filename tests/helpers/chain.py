"""The night's chain without Airflow, wired as in the DAG files: each stage as its own process, or in this one."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.artifacts import Night, Ref, Request, StageResult, night_slug, write_atomic
from pipelines.ledger import Ledger
from pipelines.ledger.reference_models import reference_models
from pipelines.runner import run_stage
from pipelines.settings import Settings, make_private
from pipelines.spec import ModelSpec
from pipelines.storage import is_published

WIRES: dict[str, tuple[str, ...]] = {
    "ingest": (),
    "sample": ("raw:ingest",),
    "clean": ("sampled:sample",),
    "validate": ("cleaned:clean",),
    "split": ("cleaned:clean",),
    "features": ("split:split", "cleaned:clean"),
    "tune": ("features:features",),
    "ensemble": ("tune:tune", "features:features", "cleaned:clean"),
    "evaluate": ("ensemble:ensemble", "split:split"),
    "register": ("ensemble:ensemble", "evaluate:evaluate"),
    "configure": ("register:register",),
    "package": ("configure:configure", "register:register"),
    "upload": ("package:package", "register:register"),
    "install": ("upload:upload", "register:register"),
    "start": ("install:install", "register:register"),
    "health": ("start:start", "register:register"),
    "verify": ("health:health", "register:register"),
    "deploy": ("verify:verify", "register:register"),
}


class Chain:
    """One night, stage by stage; ``specs`` are the stages' settings as JSON."""

    def __init__(self, settings: Settings, model: ModelSpec, night: str, specs: dict[str, dict[str, Any]]) -> None:
        self.settings = settings
        self.specs = specs
        self.ledger = Ledger.open(settings)
        self.night = Night(model=model, night=night, as_of=datetime(2026, 3, 1, 2, tzinfo=UTC))
        self.results: dict[str, StageResult] = {}
        self.ledger.open_night(self.night, "local")

    def request(self, stage: str) -> Path:
        """Begin a stage in the ledger and write its request."""
        model, night = self.night.model.name, self.night.night
        fence = self.ledger.begin_stage(model, night, stage, self.specs.get(stage, {}))
        inputs: dict[str, Ref] = {}
        for wire in WIRES[stage]:
            name, source = wire.split(":")
            inputs[name] = self.results[source].ref
        if stage == "evaluate":
            inputs |= reference_models(self.ledger, model, night, partial(is_published, self.settings))
        lineage = {
            name: {"uri": result.ref.uri, "digest": result.ref.digest, "rows": result.ref.rows}
            for name, result in self.results.items()
        }
        folder = make_private(self.settings.calls / model / night_slug(night) / f"{stage}-{fence}")
        request = Request(
            stage=stage,
            night=self.night.model_copy(update={"fence": fence}),
            spec=self.specs.get(stage, {}),
            inputs=inputs,
            settings={"lineage": lineage},
        )
        path = folder / "request.json"
        write_atomic(path, request.model_dump_json())
        return path

    def start(self, stage: str, **options: Any) -> tuple[subprocess.Popen[bytes], Path]:
        """Start one attempt as a process group of its own."""
        path = self.request(stage)
        log = (path.parent / "log").open("wb")
        child = subprocess.Popen(
            [sys.executable, "-m", "pipelines", stage, str(path)],
            env={**os.environ, "AIMASS_HOME": str(self.settings.home)},
            stdout=log,
            stderr=log,
            start_new_session=True,
            **options,
        )
        return child, path

    def run(self, stage: str, kill_after: float | None = None) -> int:
        """Run one attempt, killed with its whole group after ``kill_after`` seconds; return the exit code."""
        child, path = self.start(stage)
        if kill_after is not None:
            threading.Timer(kill_after, _kill_group, [child]).start()
        code = child.wait(timeout=240)
        _kill_group(child)
        if code == 0:
            self.results[stage] = StageResult.model_validate_json((path.parent / "result.json").read_bytes())
        return code

    def run_here(self, *stages: str) -> None:
        """Run stages in this process, where nothing has to be imported again."""
        for stage in stages:
            request = Request.model_validate_json(self.request(stage).read_bytes())
            self.results[stage] = run_stage(request, self.settings)

    def log(self, stage: str) -> str:
        """Return the log of the newest attempt."""
        folder = self.settings.calls / self.night.model.name / night_slug(self.night.night)
        newest = max(folder.glob(f"{stage}-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))
        return (newest / "log").read_text(errors="replace")


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def write_small_source(path: Path, rows: int = 600, seed: int = 1) -> None:
    """Write a small dirty CSV with a learnable yes/no label."""
    draw = random.Random(seed)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "amount", "colour (main)", "opened", "label"])
        for row in range(rows):
            amount = draw.gauss(100, 30)
            colour = draw.choice(["red", "green", " blue", "?"])
            score = (amount - 100) / 30 + (colour == "red") + draw.gauss(0, 0.7)
            cell = draw.choice(["", "NA"]) if draw.random() < 0.05 else f"{amount:.2f}"
            day = f"2026-0{1 + row % 2}-{1 + row % 28:02}"
            writer.writerow([row, cell, colour, day, "yes" if score > 0.5 else " no"])
