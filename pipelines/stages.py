"""What the product runs: the stages of a night in their order, and the operations that belong to no model.

One entry each. What a stage does lies in ``pipelines/<package>/stage.py``, its settings in
``pipelines/<package>/spec.py``; the runner, the tasks of a DAG file, the trigger form, the page of a night and
``aimass reproduce`` read this list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipelines.errors import SpecError

if TYPE_CHECKING:
    from pipelines.spec import Spec

STOP = "deploy__stop_before"
"""The Param that ends a night before its version is built and served."""
HEAVY = "heavy"
"""The pool of the stages that take the machine for themselves."""


@dataclass(frozen=True)
class Stage:
    """One stage of a night, or one operation.

    Parameters
    ----------
    name
        Task id, and the prefix of its Params.
    package
        Folder in ``pipelines/`` that holds ``stage.py`` and ``spec.py``.
    spec
        Name of the class of its settings.
    does
        One line for people.
    part_of
        The stage that it is a step of: one function of a DAG file makes both, with one spec.
    inputs
        Name of each input → name of the argument of the task function, in its order.
    optional
        Inputs that a night may lack.
    context
        What it needs to know of the night besides its inputs: names of :mod:`pipelines.stage_context`.
    reusable
        Whether an equal request may be given an earlier result. False for what publishes: its result is the
        ledger's, which it adopts.
    pool
        Airflow pool; None: the default one.
    timeout
        Of one attempt.
    identity
        Parts of its result that later stages and people read; the rest holds measured times, paths and pages. Empty
        for a stage that publishes, which is not to be done twice.
    shapes_model
        Whether a model's score can come from a change of it.
    on_page
        Whether the page of a night tells of its report.
    shows_page
        Whether the page is written once it is done; it is when a stage stops the night, too.
    ends_night
        Whether the night is closed once it is done.
    of_night
        False for an operation.
    unit
        What its result counts.
    ahead
        What it imports only where it needs it, and mostly does: a process that waits for its request imports that, too.
    """

    name: str
    package: str
    spec: str
    does: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    reusable: bool = True
    pool: str | None = None
    timeout: timedelta = timedelta(hours=1)
    identity: tuple[str, ...] = ()
    shapes_model: bool = False
    on_page: bool = False
    shows_page: bool = False
    ends_night: bool = False
    of_night: bool = True
    unit: str = "rows"
    ahead: tuple[str, ...] = ()
    part_of: str = ""

    @property
    def whole(self) -> str:
        """Name of the stage that it is, or is a step of: the prefix of its Params."""
        return self.part_of or self.name

    @property
    def module(self) -> str:
        """Name of the module that holds ``run``."""
        return f"pipelines.{self.package}.stage"

    def load(self) -> Any:
        """Import the module that holds ``run``, and ``fingerprint`` where a result depends on more than its inputs."""
        return import_module(self.module)

    def spec_class(self) -> type[Spec]:
        """Import the class of its settings."""
        package = self.package if not self.part_of else get(self.part_of).package
        found: type[Spec] = getattr(import_module(f"pipelines.{package}.spec"), self.spec)
        return found


NIGHT = (
    Stage(
        "ingest", "ingestion", "IngestSpec", "Read the sources into one raw snapshot.",
        pool=HEAVY, identity=("raw",), shapes_model=True, on_page=True,
    ),
    Stage(
        "sample", "sampling", "SampleSpec", "Draw the rows to learn from.", {"raw": "raw"},
        pool=HEAVY, identity=("sampled",), shapes_model=True, on_page=True,
    ),
    Stage(
        "clean", "cleaning", "CleanSpec", "Learn and apply the row recipe; hold bad rows back.", {"sampled": "sampled"},
        pool=HEAVY, identity=("cleaned", "examples", "recipe.json"), shapes_model=True, on_page=True,
    ),
    Stage(
        "validate", "validation", "ValidateSpec", "Check the cleaned rows against the suite.", {"cleaned": "cleaned"},
        identity=("report.json",), on_page=True, ahead=("pipelines.validation.validate",),
    ),
    Stage(
        "split", "splitting", "SplitSpec", "Set the sealed rows apart and fix the folds.", {"cleaned": "cleaned"},
        identity=("train", "sealed"), shapes_model=True, on_page=True,
    ),
    Stage(
        "features", "features", "FeatureSpec", "Learn the feature plan from the training rows and apply it.",
        {"split": "parts", "cleaned": "cleaned"},
        pool=HEAVY, identity=("train", "plan", "columns.json"), shapes_model=True, on_page=True, shows_page=True,
    ),
    Stage(
        "tune", "tuning", "TuneSpec", "Search families and settings; keep out-of-fold predictions.",
        {"features": "table"}, context=("best_trials",),
        pool=HEAVY, timeout=timedelta(hours=6), identity=("trials", "oof"), shapes_model=True, unit="trials",
    ),
    Stage(
        "ensemble", "ensembling", "EnsembleSpec", "Combine the best trials into a model directory.",
        {"tune": "trials", "features": "table", "cleaned": "cleaned"},
        pool=HEAVY, timeout=timedelta(hours=2), identity=("model", "oof.npy"), shapes_model=True,
        ahead=("pipelines.algorithms.linear", "lightgbm", "matplotlib.figure"),
    ),
    Stage(
        "evaluate", "evaluation", "EvaluateSpec",
        "Judge the model on sealed rows, against the baseline and the live version.",
        {"ensemble": "model", "split": "parts"}, optional=("champion", "anchor"), context=("reference_models",),
        identity=("verdict.json", "metrics.json", "reference.json"), shows_page=True,
        ahead=("pipelines.algorithms.linear", "lightgbm", "pipelines.evaluation.report.plots"),
    ),
    Stage(
        "register", "registry", "RegisterSpec", "Give the model its version number.",
        {"ensemble": "model", "evaluate": "verdict"}, context=("lineage",), reusable=False, ahead=("mlflow",),
    ),
    Stage(
        "configure", "packaging.configure", "PackageSpec",
        "Write down what is released and what changes for callers; skipped when the live version is kept.",
        {"register": "version"}, context=("release",), reusable=False, part_of="package",
    ),
    Stage(
        "package", "packaging", "PackageSpec", "Build the bento.",
        {"configure": "release", "register": "version"}, reusable=False, ahead=("bentoml",),
    ),
    Stage(
        "upload", "packaging.upload", "PackageSpec", "Put the bento into the store and tag it.",
        {"package": "bento", "register": "version"}, reusable=False, part_of="package",
    ),
    Stage(
        "install", "deployment.install", "DeploySpec", "Verify the bento and what it needs.",
        {"upload": "bento", "register": "version"}, reusable=False, part_of="deploy",
    ),
    Stage(
        "start", "deployment.start", "DeploySpec", "Bring the service up beside the live one.",
        {"install": "installed", "register": "version"}, reusable=False, part_of="deploy",
    ),
    Stage(
        "health", "deployment.health", "DeploySpec", "Ask the service, and time it.",
        {"start": "started", "register": "version"}, reusable=False, part_of="deploy",
    ),
    Stage(
        "verify", "deployment.verify", "DeploySpec", "Prove that it predicts alike; replay what callers sent.",
        {"health": "healthy", "register": "version"}, reusable=False, part_of="deploy",
    ),
    Stage(
        "deploy", "deployment", "DeploySpec", "Let callers come to the version, step by step or at once.",
        {"verify": "verified", "register": "version"}, reusable=False, timeout=timedelta(hours=4), ends_night=True,
    ),
)  # fmt: skip

OPERATIONS = (
    Stage(
        "rollback",
        "deployment.rollback",
        "RollbackSpec",
        "Make an earlier version live again.",
        of_night=False,
        timeout=timedelta(minutes=5),
    ),
    Stage(
        "pause",
        "deployment.pause",
        "PauseSpec",
        "Let a model answer no caller, or answer again.",
        of_night=False,
        timeout=timedelta(minutes=5),
    ),
    Stage("monitor", "monitoring", "MonitorSpec", "Look at the services and at what callers send.", of_night=False),
    Stage("backup", "backup", "BackupSpec", "Take one verified backup.", of_night=False),
    Stage("restore_drill", "drill", "DrillSpec", "Restore the newest backup and prove it.", of_night=False),
    Stage("housekeeping", "housekeeping", "HousekeepingSpec", "Remove what is old.", of_night=False),
    Stage("batch", "batch", "BatchSpec", "Predict a file, folder or glob of rows.", of_night=False),
)

BY_NAME = {stage.name: stage for stage in (*NIGHT, *OPERATIONS)}


def get(name: str) -> Stage:
    """Return a stage or operation by its name.

    Raises
    ------
    SpecError
        If there is none.
    """
    if name not in BY_NAME:
        raise SpecError("no such stage", seen=name, expected=", ".join(BY_NAME), cure="name one of these stages")
    return BY_NAME[name]


def of_spec(spec: Spec) -> Stage:
    """Return the stage that a spec belongs to.

    Raises
    ------
    SpecError
        If it is the spec of no stage.
    """
    name = type(spec).__name__
    found = next((stage for stage in BY_NAME.values() if stage.spec == name and not stage.part_of), None)
    if found is None:
        raise SpecError(
            "a spec belongs to no stage", seen=name, expected=", ".join(stage.spec for stage in BY_NAME.values())
        )
    return found
