"""An earlier version's score on the sealed rows of a later night, by the metric that judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines import storage
from pipelines.secret_files import public_key
from pipelines.settings import Settings


def on_tonights_rows(settings: Settings, before: Any, after: Any, stages: Mapping[str, Any]) -> float | None:
    """Return the score of version ``before`` on the sealed rows that judged ``after``.

    Rows that it was trained on are left out. None where that is impossible: files are gone, columns are missing, the
    versions were sealed by another key, or no row is left.

    Parameters
    ----------
    before, after
        Rows of the ledger's publications.
    stages
        By name, the rows of the night of ``after``.
    """
    import numpy as np

    from pipelines.evaluation.comparison.overlap import trained_on
    from pipelines.evaluation.predictions import ModelPredictions, truth_of, united
    from pipelines.evaluation.unsupervised import on_rows
    from pipelines.inference.model_directory import ModelDirectory
    from pipelines.metrics import METRICS
    from pipelines.spec import UNSUPERVISED

    row = stages.get("split")
    if row is None or not row.ref or not (before.model_uri and after.model_uri):
        return None
    sealed_folder = storage.resolve(settings, row.ref["uri"]) / "sealed"
    folders = [storage.resolve(settings, each.model_uri) for each in (before, after)]
    if not all(folder.is_dir() for folder in (sealed_folder, *folders)):
        return None
    opened = [ModelDirectory.open(folder, public_key(settings)) for folder in folders]
    if opened[0].identity != opened[1].identity:
        return None
    old, new = (each.predictor for each in opened)
    sealed = storage.read_table(sealed_folder).to_pandas()
    sealed = sealed[~trained_on(opened[0], sealed["_key"])].reset_index(drop=True)
    if bool(old.classes) != bool(new.classes) or old.missing_sources(sealed) or not len(sealed):
        return None
    tasks = {str(version.facts["task"]) for version in (old, new)}
    if tasks & UNSUPERVISED:
        return on_rows(old, sealed, after.metric) if len(tasks) == 1 else None
    theirs = ModelPredictions.of(old, old.read_cleaned(sealed))
    classes = united(str(new.facts["task"]), (ModelPredictions(np.empty((0, 0)), classes=tuple(new.classes)), theirs))
    truth = truth_of(sealed["_y"], classes)
    judge = truth >= 0 if len(classes) > 2 else np.ones(len(truth), np.bool_)  # a class that neither knows says nothing
    y_pred = theirs.among(classes).judged_by(after.metric)[judge]
    score = METRICS[after.metric].score(truth[judge], y_pred, np.ones(int(judge.sum())))
    return float(score) if np.isfinite(score) else None
