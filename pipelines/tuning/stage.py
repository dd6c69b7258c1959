"""Stage tune: feature columns → trials with their out-of-fold predictions."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pipelines.algorithms.base import Family
from pipelines.algorithms.class_imbalance import Augmented
from pipelines.algorithms.families import family
from pipelines.algorithms.fixed_params import Pinned, check_fixed
from pipelines.algorithms.registry import ALGORITHMS, algorithms_for
from pipelines.algorithms.training_data import Columns, load_columns
from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.clusters import ray_session, visible_gpus
from pipelines.code_digest import code_digest, environment_digest
from pipelines.errors import SpecError
from pipelines.metrics import METRICS
from pipelines.ray_cluster import ray_cluster
from pipelines.settings import Settings
from pipelines.spec import CLASSIFICATION, UNSUPERVISED
from pipelines.storage import write_table
from pipelines.storage.file_io import link_or_copy
from pipelines.tuning.budget import SHORT_SECONDS, START_SECONDS, Budget, affordable_rows
from pipelines.tuning.results import check, summary, trials_table, warm_starts
from pipelines.tuning.search_journal import FILE, Journal, open_journal, search_key
from pipelines.tuning.spec import DEFAULT, TuneSpec
from pipelines.tuning.study import Study
from pipelines.tuning.trial_manager import Conductor
from pipelines.tuning.trial_runner import oof_path
from pipelines.tuning.trials import TrialOutcome

log = logging.getLogger(__name__)

SPARE_MB, COPIES = 256, 1.5
"""Ray's object store: for what it holds of its own, and for the columns."""


def run(
    spec: TuneSpec,
    *,
    night: Night,
    settings: Settings,
    out: Path,
    features: Artifact,
    warm: Sequence[Mapping[str, Any]] | None = None,
) -> Outcome:
    """Search, keep the best trials' out-of-fold predictions and write the journal.

    A search that was killed is taken up where it was, when everything that it depends on is the same.

    Parameters
    ----------
    features
        ``train/`` and ``columns.json``.
    warm
        Configurations of the model's last night, ``{"family": …, "params": …}``, in the order in which they are tried.

    Raises
    ------
    SpecError
        If fewer than half of the trials end well; names each failure. If the budget is too small for any trial. If a
        family cannot learn the task or have a setting as it is fixed, or a regression is to be augmented.
    """
    started = time.time() - START_SECONDS
    from pipelines.tuning.search import preload, search  # a re-used result does without

    families = _families(spec, night.model.task)
    columns = load_columns(features.path, night.model)
    families = _affordable(families, spec, len(columns.y))
    check_fixed(families.values(), columns.shape)
    seed = night.model.seed
    warm = list(warm or ()) if spec.warm_start else []
    key = search_key(
        model=night.model.model_dump(mode="json"),
        spec=spec.model_dump(mode="json"),
        features=features.ref.digest,
        rows=len(columns.y),
        warm=warm,
        code=code_digest(__name__),
        environment=environment_digest(),
    )
    journal = open_journal(settings, night.model.name, key, out)
    try:
        budget = Budget(
            spec.budget_seconds,
            spec.trials,
            min(settings.cores, spec.generation),
            spec.members,
            len(columns.folds),
            trial_seconds=spec.trial_seconds,
            started=started - journal.spent,
            columns=columns.X.shape[1],
        )
        cluster = settings.ray_address is not None
        budget.pooled = not cluster and _few(spec, budget)
        study = Study(
            families,
            columns.shape,
            seed=seed,
            generation=spec.generation,
            folds=len(columns.folds),
            strategy=spec.strategy,
            pruning=spec.pruning,
            grid_points=spec.grid_points,
            warm=warm,
            timed=budget.timed,
        )
        memory = spec.trial_memory_mb or int(settings.memory_gb * 1000)
        conductor = Conductor(
            study,
            budget,
            journal,
            columns.shape.metric,
            keep=spec.keep,
            memory_mb=memory,
            sized=spec.strategy == "nsga2",
            rows=spec.fit_rows or affordable_rows(budget, columns.X.shape[1]),
        )
        if journal.found:
            log.info(f"taking up a search that was broken off: {len(journal.found)} trials are finished")
        runner = search(
            conductor,
            columns,
            families,
            seed=seed,
            session=None if budget.pooled else lambda: _session(settings, columns, preload(families, budget.cores)),
            gpu_share=spec.gpu_share if spec.gpu == "auto" else None,
            cluster=cluster,
        )
        outcomes = study.outcomes()
        done = check(outcomes, budget)
        _hand_over(journal, out, done[: spec.keep])
    finally:
        journal.close()
    write_table(trials_table(outcomes, columns.shape.metric), out / "trials")
    found = summary(outcomes, done, spec, study, conductor, runner, columns.shape.metric)
    remaining = budget.remaining()
    facts = {**found, "started": started, "remaining_seconds": remaining, "warm_start": warm}
    write_json(out / "search.json", facts, sort_keys=True, ensure_ascii=True)
    for entry in found["left_out"]:
        log.info(f"left out: trial {entry['number'] + 1} {entry['family']}: {entry['why']}")
    for name, why in found["dropped"].items():
        log.info(f"dropped early: {name}: {why}")
    meta = {
        "trials": len(outcomes),
        "best": found["best"],
        "remaining_seconds": remaining,
        "runner": runner,
        "devices": found["devices"],
    }
    stats = {
        **meta,
        **found["speed"],
        "left_out": found["left_out"],
        "dropped": found["dropped"],
        "resumed": conductor.resumed,
        "warm": warm_starts(done, spec.keep, -METRICS[columns.shape.metric].sign, timed=budget.timed),
    }
    return Outcome(rows=len(outcomes), meta=meta, stats=stats)


def _families(spec: TuneSpec, task: str) -> dict[str, Family]:
    if spec.augment != "none" and task not in CLASSIFICATION:
        raise SpecError(
            f"a {task} model has no classes to augment",
            where="TuneSpec.augment",
            seen=spec.augment,
            expected="none",
            cure="set augment to none, or make the task binary or multiclass",
        )
    named = algorithms_for(task) if task in UNSUPERVISED and spec.families == DEFAULT else spec.families
    found = {name: family(name) for name in named}
    unable = [name for name in found if task not in ALGORITHMS[name].tasks]
    if unable:
        able = algorithms_for(task)
        raise SpecError(
            f"a family cannot learn the task {task}",
            where="TuneSpec.families",
            seen=", ".join(unable),
            expected=f"of {', '.join(able)}",
            cure=f"leave {', '.join(unable)} out of TuneSpec.families",
        )
    if spec.augment != "none":
        found = {name: Augmented(learner, spec.augment) for name, learner in found.items()}
    absent = [name for name in spec.fixed if name not in found]
    if absent:
        raise SpecError(
            "settings are fixed of a family that takes no part",
            where="TuneSpec.fixed",
            seen=", ".join(absent),
            expected=f"of {', '.join(found)}",
            cure="name the family in TuneSpec.families, or leave it out of TuneSpec.fixed",
        )
    return {name: Pinned(found[name], spec.fixed[name]) if name in spec.fixed else found[name] for name in found}


def _affordable(families: dict[str, Family], spec: TuneSpec, rows: int) -> dict[str, Family]:
    """Leave out what nobody asked for and what is too slow for so many rows."""
    if spec.families != DEFAULT:
        return families
    kept = {}
    for name, learner in families.items():
        if learner.most_rows is None or rows <= learner.most_rows or name in spec.fixed:
            kept[name] = learner
        else:
            log.info(f"{name} takes no part on more than {learner.most_rows:,} rows unless TuneSpec.families names it")
    return kept


def _few(spec: TuneSpec, budget: Budget) -> bool:
    """Whether no process would run a second trial, or time is short: then Ray's start costs more than it could save.

    The same trials give the same results in a local pool.
    """
    if spec.gpu != "off" and visible_gpus():
        return False
    if budget.trials is not None and budget.trials <= budget.cores:
        log.info(f"{budget.trials} trials on {budget.cores} cores: a local pool of processes does without Ray's start")
        return True
    short = budget.timed and budget.seconds is not None and budget.seconds < SHORT_SECONDS
    if short:
        log.info(f"{budget.seconds:g} seconds: a local pool of processes does without Ray's start")
    return short


def _session(settings: Settings, columns: Columns, modules: list[str]) -> AbstractContextManager[Any]:
    """Return the Ray that trials run on: the cluster, or one on this machine, whose workers import ``modules``."""
    if settings.ray_address is not None:
        return ray_cluster(settings, _store_mb(columns))
    return ray_session(settings, _store_mb(columns), preload=modules)


def _store_mb(columns: Columns) -> int:
    """Return the size of Ray's object store, in MB, that holds the columns once."""
    arrays = (columns.X, columns.y, columns.w, columns.fold, columns.extra)
    held = sum(array.nbytes for array in arrays if array is not None)
    return int(SPARE_MB + COPIES * held / 2**20)


def _hand_over(journal: Journal, out: Path, kept: list[TrialOutcome]) -> None:
    """Put the journal and the best trials' predictions into the output; the search's own folder keeps its copy.

    So a process that is killed before the output is published finds a finished search when it is tried again. The
    next search of the model, or housekeeping, removes the folder.
    """
    folder = out / "oof"
    folder.mkdir()
    for outcome in kept:
        number = outcome.proposal.number
        link_or_copy(oof_path(journal.folder, number), oof_path(folder, number))
    shutil.copyfile(journal.folder / FILE, out / FILE)
    if journal.folder.is_relative_to(out):
        shutil.rmtree(journal.folder)
