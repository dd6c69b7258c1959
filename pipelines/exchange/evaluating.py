"""A version on a given table: every metric, curves and slices, kept as a page beside those of other versions."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from pipelines import storage
from pipelines.artifacts import write_atomic, write_json
from pipelines.errors import DataError, SpecError
from pipelines.evaluation.explanation.slices import FEW_ROWS, slice_scores, slices_of
from pipelines.evaluation.predictions import ModelPredictions, truth_of
from pipelines.evaluation.report.model_card import PLOTS
from pipelines.evaluation.report.plots import draw
from pipelines.evaluation.scores import all_scores, class_scores
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.exchange import EVALUATIONS
from pipelines.exchange.tables import read_table_file
from pipelines.exchange.versions import wanted_version
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.predictor import Predictor
from pipelines.inference.recipe.cells import BAD, cell_text
from pipelines.ledger import Ledger
from pipelines.mart.address import is_address
from pipelines.mart.tables import as_one_file, find
from pipelines.metrics import METRICS
from pipelines.secret_files import public_key
from pipelines.settings import Settings, make_private
from pipelines.spec import UNSUPERVISED

SHORT = 12


@dataclass(frozen=True)
class Evaluated:
    """What was found, and where the page is.

    Parameters
    ----------
    scores
        Every metric of the task; None where it is not defined on these rows.
    others
        Version → scores of earlier evaluations on the same table.
    left_out
        Rows without a label, or of a class that the version does not know.
    """

    model: str
    version: int
    metric: str
    rows: int
    left_out: int
    scores: dict[str, float | None]
    others: dict[int, dict[str, float | None]]
    page: Path


def evaluate_version(
    settings: Settings,
    ledger: Ledger,
    name: str,
    table: str | Path,
    *,
    version: int | None = None,
    slices: Sequence[str] = (),
) -> Evaluated:
    """Judge a version on the labelled rows of a table, and keep the page.

    Parameters
    ----------
    table
        A CSV, Parquet or JSON file, or a published table, such as ``mart:visits@3``.

    Raises
    ------
    SpecError
        The model has no target, there is no such version or table, or a column to cut by is not there.
    DataError
        The table lacks a column, or has it hashed, or has no labelled row.
    """
    row = wanted_version(ledger, name, version)
    predictor = ModelDirectory.open(storage.resolve(settings, row.model_uri), public_key(settings)).predictor
    task, target = str(predictor.facts["task"]), str(predictor.facts.get("target"))
    if task in UNSUPERVISED:
        raise SpecError("a model without a target cannot be judged by labels", where=name, seen=task)
    given = _table(settings, ledger, str(table))
    raw, digest = given.rows, given.digest
    if hashed := sorted(given.hashed & {*predictor.recipe.names, target}):
        raise DataError(
            "the published table has hashed what the version reads",
            where=given.name,
            seen=", ".join(hashed),
            expected="these columns as callers send them",
            cure="judge it on a file, or publish a table without these rules",
        )
    if target not in raw.columns:
        raise DataError(
            "the table has no labels",
            where=given.name,
            seen=", ".join(map(str, raw.columns))[:300],
            expected=f"the column {target!r}",
        )
    truth = _truth(raw[target], predictor)
    known = ~np.isnan(truth)
    raw, truth = raw[known].reset_index(drop=True), truth[known]
    if not len(truth):
        raise DataError("the table has no row with a label that the version knows", where=f"{given.name}: {target}")
    clean, output = predictor.predict_raw(raw)
    predicted = ModelPredictions(output, predictor.threshold, tuple(predictor.classes))
    metric = str(row.metric or predictor.facts["metric"])
    scores = all_scores(task, truth, predicted.values, np.ones(len(truth)), predicted.labelled, metric)
    cut = slices_of(clean, slices, "--slices", least=FEW_ROWS)
    judged = {"model": predicted.judged_by(metric)}
    found = {
        "model": name,
        "version": row.version,
        "metric": metric,
        "table": given.name,
        "sha256": digest,
        "rows": len(truth),
        "scores": scores,
        "classes": class_scores(truth, predicted.labelled, predictor.labels) if predictor.classes else [],
        "slices": slice_scores(metric, truth, judged, cut, EvaluateSpec(), declared=False, seed=0),
    }
    folder = make_private(settings.docs / EVALUATIONS / name)
    others = _others(folder, digest, row.version)
    title = f"{name} version {row.version}, {len(truth)} rows of {given.name}"
    pictures = _pictures(settings, task, truth, predicted, predictor, title, metric)
    stem = f"v{row.version}-{digest[:SHORT]}"
    write_json(folder / f"{stem}.json", found)
    write_atomic(folder / f"{stem}.html", _page(found, others, pictures))
    left_out = int((~known).sum())
    return Evaluated(name, row.version, metric, len(truth), left_out, scores, others, folder / f"{stem}.html")


@dataclass(frozen=True)
class _Table:
    """A table that was named: its rows, a digest of its content, and which columns are hashed in it."""

    name: str
    rows: pd.DataFrame
    digest: str
    hashed: frozenset[str] = frozenset()


def _table(settings: Settings, ledger: Ledger, named: str) -> _Table:
    """Read a file, or a published table."""
    if not is_address(named):
        return _Table(Path(named).name, read_table_file(Path(named), "the table"), storage.file_sha256(Path(named)))
    row = find(ledger, named)
    hashed = frozenset(str(each["name"]) for each in row.columns if "private" in each)
    with as_one_file(settings, row) as path:
        return _Table(row.address, read_table_file(path, row.address), row.digest, hashed)


def _truth(labels: pd.Series[Any], predictor: Predictor) -> Any:
    """Return values or class indices (n,), NaN for a missing label or an unknown class."""
    if not predictor.classes:
        return pd.to_numeric(labels, errors="coerce").to_numpy(dtype=np.float64)
    written = predictor.facts.get("written") or {}
    back = {text: label for label, text in written.items()}
    texts = [cell_text(None if value is pd.NA else value) for value in labels.tolist()]
    plain = pd.Series(["" if text is None or text is BAD else str(text) for text in texts], dtype=object)
    found = truth_of(plain.map(lambda text: back.get(text, text)), predictor.classes)
    return np.where(found < 0, np.nan, found)


def _others(folder: Path, digest: str, version: int) -> dict[int, dict[str, float | None]]:
    """Return the scores of other versions on the same table."""
    found: dict[int, dict[str, float | None]] = {}
    for path in sorted(folder.glob(f"v*-{digest[:SHORT]}.json")):
        stored = json.loads(path.read_bytes())
        if stored["sha256"] == digest and stored["version"] != version:
            found[int(stored["version"])] = stored["scores"]
    return found


def _pictures(
    settings: Settings,
    task: str,
    truth: Any,
    predicted: ModelPredictions,
    predictor: Predictor,
    title: str,
    metric: str,
) -> dict[str, str]:
    """Return caption → PNG as base64."""
    work = storage.stage_folder(settings, "evaluation")
    try:
        details: Mapping[str, Any] = {"metric": metric, "threshold": predictor.threshold}
        shown = {"model": predicted.values}
        names = draw(work / "plots", task, truth, shown, predictor.labels, title, predicted.labelled, details)
        return {
            PLOTS[name.removesuffix(".png")]: base64.b64encode((work / "plots" / name).read_bytes()).decode()
            for name in names
        }
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _page(found: Mapping[str, Any], others: Mapping[int, Mapping[str, Any]], pictures: Mapping[str, str]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["s"] = lambda value: "–" if value is None else f"{value:.6g}"
    better = {name: "more" if metric.sign > 0 else "less" for name, metric in METRICS.items()}
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template("evaluation.html.jinja").render(
        found=found, others=dict(sorted(others.items())), pictures=pictures, better=better, moment=moment
    )
