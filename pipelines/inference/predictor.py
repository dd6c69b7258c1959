"""A version of a model that predicts raw rows, in batch and one by one, with the same numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.errors import DataError, DeployError
from pipelines.inference.doubts import Counts, Doubts, added
from pipelines.inference.enrichment.request import Enrichment
from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.members.unsupervised import cluster_names, prediction_frame
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.json_columns import JsonReader
from pipelines.inference.recipe.row_recipe import RowRecipe, check_columns
from pipelines.inference.records import by_row
from pipelines.inference.schema import ServeSchema
from pipelines.inference.trees.fast_predict import TABLE_ROWS
from pipelines.spec import UNSUPERVISED

CHUNK_ROWS = 200_000
FEW_ROWS = 256
"""Up to this many request rows are read one by one; more are faster as a frame."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictor:
    """One version of a model, ready to predict.

    Parameters
    ----------
    facts
        ``model.json``.
    version_digest
        Digest of the signed manifest; empty for a directory that is not signed yet.
    """

    schema: ServeSchema
    plan: FeaturePlan
    ensemble: Ensemble
    facts: dict[str, Any]
    golden: dict[str, Any]
    version_digest: str

    @cached_property
    def recipe(self) -> RowRecipe:
        """The row recipe of the columns that the plan needs."""
        return self.plan.recipe.subset(self.plan.sources)

    @cached_property
    def enrichment(self) -> Enrichment:
        """What is added to a request row for the columns that the plan needs."""
        return self.plan.enrichment.subset(self.plan.sources)

    @cached_property
    def requested(self) -> list[str]:
        """Names of the columns that every raw row must have."""
        return self.enrichment.requested(self.plan.sources)

    @cached_property
    def classes(self) -> list[str]:
        """The labels in the order of the ensemble's probabilities; empty for a regression."""
        return list(self.facts["classes"] or [])

    @cached_property
    def labels(self) -> list[str]:
        """The classes as the source writes them, in the same order."""
        return self.as_written(self.classes)

    @cached_property
    def positive(self) -> int:
        """Index of the positive label (binary)."""
        return self.classes.index(self.facts["positive"])

    @cached_property
    def threshold(self) -> float | None:
        """Probability from which the positive label is predicted (binary); None: the more probable label is."""
        chosen = self.facts.get("threshold")
        return None if chosen is None else float(chosen["value"])

    @cached_property
    def optional(self) -> frozenset[str]:
        """Names of the requested columns that a row may lack."""
        return frozenset(column.name for column in self.schema.columns if column.optional)

    @cached_property
    def required(self) -> list[str]:
        """Names of the requested columns that no row may lack."""
        return [name for name in self.requested if name not in self.optional]

    @cached_property
    def json_readers(self) -> dict[str, JsonReader]:
        """What reads the columns of the recipe where a request has them by column, in the recipe's order."""
        recipe = self.recipe
        return {
            column.name: JsonReader(column.kind, recipe.readers[column.name], recipe.tokens_of(column), column.change)
            for column in recipe.kept
        }

    @cached_property
    def doubts(self) -> Doubts:
        """What training knew of the columns that come in as they are."""
        names = set(self.recipe.names)
        return Doubts.of(column for column in self.schema.columns if column.name in names)

    def as_written(self, labels: Iterable[str]) -> list[str]:
        """Return labels as the source writes them."""
        written = self.facts.get("written") or {}
        return [written.get(label, label) for label in labels]

    def missing_sources(self, rows: pd.DataFrame) -> list[str]:
        """Return the clean columns that are needed and that cleaned rows do not have."""
        return [name for name in self.plan.sources if name not in rows.columns]

    def read_cleaned(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Read rows that the stage clean wrote by this version's recipe, without what is done to values once only."""
        recipe = self.recipe.settled()
        clean, _ = recipe.apply(rows[recipe.names])
        return clean

    def predict_read(self, clean: pd.DataFrame) -> Matrix:
        """Predict rows of :meth:`read_cleaned`: (n,) values or clusters, (n, k) probabilities or coordinates."""
        return self.ensemble.predict(self.plan.transform(clean))

    def predict_raw(self, raw: pd.DataFrame) -> tuple[pd.DataFrame, Matrix]:
        """Predict a raw frame in one piece: its rows as they were read, and what :meth:`predict_read` returns."""
        clean, _ = self.recipe.apply(self._enriched(self._completed(raw)))
        return clean, self._predict(self.plan.transform(clean))

    def missing_columns(self, columns: Iterable[str]) -> list[str]:
        """Return the needed columns that are not among ``columns``."""
        present = set(columns)
        return [name for name in self.required if name not in present]

    def predict_frame(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Predict a raw frame: one row per row, index kept.

        Returns
        -------
        DataFrame
            ``prediction``, and ``probability`` of the positive label (binary) or ``probability_<class>``; a reduction
            has ``component_1`` … alone.
        """
        return self.predict_frame_counted(raw)[0]

    def predict_frame_counted(self, raw: pd.DataFrame) -> tuple[pd.DataFrame, Counts]:
        """Predict a raw frame, and count the cells that could not be read, or that training did not know."""
        raw = self._completed(raw)
        frames = []
        counts: Counts = {}
        for start in range(0, max(len(raw), 1), CHUNK_ROWS):
            part = raw.iloc[start : start + CHUNK_ROWS]
            clean, bad = self.recipe.apply(self._enriched(part))
            added(counts, self.doubts.of_frame(clean, bad))
            frames.append(self._frame(self._predict(self.plan.transform(clean)), part.index))
        return pd.concat(frames) if len(frames) > 1 else frames[0], counts

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Predict request rows; see :meth:`predict_rows_counted`."""
        return self.predict_rows_counted(rows)[0]

    def predict_rows_counted(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], Counts]:
        """Predict request rows, and count the cells that could not be read, or that training did not know.

        Returns
        -------
        list of dict
            binary ``{prediction, probability}`` (of the positive label), multiclass ``{prediction, probability,
            probabilities: {class: p}}`` (of the predicted label first), regression ``{prediction}``, clustering
            ``{prediction}``: the cluster as text, such as "3", or "noise" for a row in none, reduction ``{components:
            [number, …]}``. The numbers of clusters mean nothing in another version.

        Raises
        ------
        DataError
            A row is no object, or lacks a needed column; all such rows are named, up to a limit.
        """
        self._check_rows(rows)
        counts: Counts = {}
        if not rows:
            return [], counts
        if len(rows) <= FEW_ROWS:
            vectors = np.array([self.features_of(row, counts) for row in rows])
            return by_row(self.output_columns(vectors)), counts
        names = self.requested
        return self._frame_records(
            pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})
        )

    def warm(self) -> None:
        """Make now what is else made when the first rows, or the first many rows, are asked for."""
        rows = self.golden["rows"]
        if rows:
            self.predict_rows(rows[:1])
            self.predict_rows([rows[index % len(rows)] for index in range(TABLE_ROWS)])

    def _check_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Sequence):
            raise DataError("the rows are not a list", seen=type(rows).__name__, expected="a list of objects")
        names = self.required
        faults = []
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping):
                faults.append(f"row {index} is {type(row).__name__}, not an object")
            elif not all(name in row for name in names):
                faults.append(f"row {index} lacks {', '.join(repr(name) for name in self.missing_columns(row))}")
        if faults:
            raise DataError(
                f"{len(faults)} of {len(rows)} rows cannot be read",
                expected="objects with the columns " + ", ".join(repr(name) for name in names),
                cure="send every column; where a value is not known, send null",
                faults=faults,
            )

    def _frame_records(self, raw: pd.DataFrame) -> tuple[list[dict[str, Any]], Counts]:
        clean, bad = self.recipe.apply(self._enriched(self._completed(raw)))
        return by_row(self.output_columns(self.plan.transform(clean))), self.doubts.of_frame(clean, bad)

    def _completed(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Add the optional columns that a frame lacks; an error names the others."""
        lacking = [name for name in self.requested if name in self.optional and name not in raw.columns]
        raw = raw.assign(**dict.fromkeys(lacking)) if lacking else raw
        check_columns(list(raw.columns), self.requested)
        return raw

    def _enriched(self, raw: pd.DataFrame) -> pd.DataFrame:
        return self.enrichment.apply(raw[self.requested]) if self.enrichment else raw

    def features_of(self, row: Mapping[str, Any], counts: Counts) -> Matrix:
        """Return the features of one request row, (f,); cells that could not be read are added to ``counts``."""
        full = self.enrichment.apply_row(row) if self.enrichment else row
        clean, bad = self.recipe.read_row(full)
        self.doubts.of_row(clean, bad, counts)
        return self.plan.transform_row(clean)

    def _predict(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            width = len(self.classes) or self.facts["members"][0].get("components", 0)
            return np.empty((0, width) if width else 0)
        output = np.asarray(self.ensemble.predict(matrix), dtype=np.float64)
        if not np.isfinite(output).all():
            raise DeployError("the model predicts NaN or infinity", where=self.facts["model"], cure="roll back")
        return output

    def output_columns(self, matrix: Matrix) -> dict[str, Any]:
        """Predict encoded rows, shape (n, features); return what a caller reads, by column.

        Returns
        -------
        dict
            By name a list of n values. ``prediction`` (label, number or cluster); binary: ``probability`` of the
            positive label; several classes: ``probability`` of the predicted label and ``probabilities``, {label:
            list}; reduction: ``components`` alone, a list of coordinates per row.

        Raises
        ------
        DeployError
            If the model predicts NaN or infinity.
        """
        output = self._predict(matrix)
        if self.facts["task"] in UNSUPERVISED:
            return {"components": output.tolist()} if output.ndim == 2 else {"prediction": cluster_names(output)}
        if not self.classes:
            return {"prediction": output.tolist()}
        best, labels = self._best(output), self.labels
        predicted = [labels[index] for index in best.tolist()]
        if self.facts["task"] == "binary":
            return {"prediction": predicted, "probability": output[:, self.positive].tolist()}
        return {
            "prediction": predicted,
            "probability": output[np.arange(len(output)), best].tolist(),
            "probabilities": dict(zip(labels, output.T.tolist(), strict=True)),
        }

    def _frame(self, output: Matrix, index: pd.Index[Any]) -> pd.DataFrame:
        if self.facts["task"] in UNSUPERVISED:
            return prediction_frame(output, index)
        if not self.classes:
            return pd.DataFrame({"prediction": output}, index=index)
        labels = np.array(self.labels, dtype=object)[self._best(output)]
        columns: dict[str, Any] = {"prediction": pd.array(labels, dtype="str")}
        if self.facts["task"] == "binary":
            columns["probability"] = output[:, self.positive]
        else:
            columns.update({f"probability_{label}": output[:, position] for position, label in enumerate(self.labels)})
        return pd.DataFrame(columns, index=index)

    def _best(self, output: Matrix) -> npt.NDArray[np.intp]:
        """Return the index of the predicted label of each row, (n,)."""
        if self.threshold is None:
            return np.asarray(output.argmax(axis=1))
        return np.asarray(np.where(output[:, self.positive] >= self.threshold, self.positive, 1 - self.positive))
