"""A model in ONNX, asked through onnxruntime on the CPU; both are loaded where a version has such a member only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError, SpecError
from pipelines.inference.members.linear import sigmoid, softmax

Array = NDArray[np.float64]
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
"""Types of inputs that rows can be given in."""
LEAST_ROWS = 4
"""Rows that are asked at a time at least: for one row alone the runtime adds in another order."""


class OnnxMember:
    """An ONNX graph, stored as it came.

    Parameters
    ----------
    graph
        Bytes of the file.
    entry
        ``inputs`` [{name, type, columns, texts, flat}]: what each input takes of the row's numbers, ``texts``
        {position: levels} where a code is given as its text, ``flat`` for an input of rank 1; ``output``, the name of
        what is returned; ``scores``: probabilities, logits or values; ``classes``, 0 for numbers; ``keys``: labels of
        an output that is a list of maps; ``positive``: which class a single score is of; ``alone``: rows are asked one
        by one.
    """

    family: ClassVar[str] = "onnx"

    def __init__(self, graph: bytes, entry: Mapping[str, Any]) -> None:
        self.graph = graph
        self.entry = dict(entry)
        self.classes = int(entry["classes"])
        self._session = session(graph)

    def predict(self, X: Array) -> Array:
        """Predict; a row's prediction is the same alone and among others."""
        if not len(X):
            return np.empty((0,) if self.classes == 0 else (0, self.classes))
        if self.entry.get("alone"):
            return np.concatenate([self._asked(X[index : index + 1]) for index in range(len(X))])
        return self._asked(X)

    def _asked(self, X: Array) -> Array:
        rows = len(X)
        if rows < LEAST_ROWS:
            X = np.concatenate([X, np.repeat(X[-1:], LEAST_ROWS - rows, axis=0)])
        given = {each["name"]: _tensor(X, each) for each in self.entry["inputs"]}
        try:
            (found,) = self._session.run([self.entry["output"]], given)
        except Exception as error:  # noqa: BLE001 - the runtime's errors have no common base; the rows are at fault
            raise DataError(
                "the model cannot predict these rows",
                seen=f"{type(error).__name__}: {str(error)[:300]}",
                cure="send values as in the rows that the model learned from",
            ) from None
        y_pred = self._read(found, rows)
        if not np.isfinite(y_pred).all():
            bad = np.flatnonzero(~np.isfinite(y_pred.reshape(rows, -1)).all(axis=1))
            raise DataError(
                "the model has no finite prediction for some rows",
                seen=f"rows {', '.join(map(str, bad[:5]))}{' …' if len(bad) > 5 else ''}",
                expected="values within the range that the model learned from",
                cure="send others, or import the model with `low`, `high` and `fill` for its columns",
            )
        return y_pred

    def _read(self, found: Any, rows: int) -> Array:
        """Return the output as (n,) numbers or (n, classes) probabilities."""
        try:
            if isinstance(found, list):
                found = [[row[key] for key in self.entry["keys"]] for row in found]
            with np.errstate(invalid="ignore"):
                y_pred = np.asarray(found, dtype=np.float64)
            y_pred = y_pred.reshape(len(y_pred), -1)[:rows]
        except (KeyError, TypeError, ValueError) as error:
            raise self._misfit(f"{type(error).__name__}: {str(error)[:100]}") from None
        width = y_pred.shape[1]
        if len(y_pred) != rows or width not in ({1, 2} if self.classes == 2 else {self.classes or 1}):
            raise self._misfit(f"{len(y_pred)} rows of {width} for {rows} rows")
        if self.classes == 0:
            return y_pred[:, 0]
        if width == 1:  # one score for two classes
            one = sigmoid(y_pred[:, 0]) if self.entry["scores"] == "logits" else y_pred[:, 0]
            both = np.column_stack([1.0 - one, one])
            return both if int(self.entry["positive"]) == 1 else both[:, ::-1]
        return softmax(y_pred) if self.entry["scores"] == "logits" else y_pred

    def _misfit(self, seen: str) -> DataError:
        labels = f", by the labels {', '.join(map(str, self.entry['keys']))}" if "keys" in self.entry else ""
        return DataError(
            "the output of the model is not what the schema says",
            where=str(self.entry["output"]),
            seen=seen,
            expected=f"for each row {self.classes or 1} number{'s' if self.classes > 1 else ''}{labels}",
            cure="correct `classes` and `output` of the schema, or export the model with that output alone",
        )

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the graph as it came."""
        path = folder / f"{stem}.onnx"
        path.write_bytes(self.graph)
        return {**self.entry, "family": self.family, "file": path.name}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> OnnxMember:
        """Read what ``save`` wrote."""
        return cls((folder / spec["file"]).read_bytes(), spec)


def session(graph: bytes) -> Any:
    """Return onnxruntime's session of a graph: on the CPU, one thread, no telemetry, the same result every time.

    Raises
    ------
    SpecError
        onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise SpecError(
            "a model in ONNX needs onnxruntime", seen="it is not installed", cure="uv pip install 'aimass[exchange]'"
        ) from None
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _tensor(X: Array, wanted: Mapping[str, Any]) -> Any:
    """Return columns of ``X`` (n, p) in the type of an input: (n, its columns), or (n,) where that is flat."""
    dtype, columns = DTYPES[wanted["type"]], list(wanted["columns"])
    if dtype is np.object_:
        texts = wanted["texts"]
        cells = np.array(
            [_words(X[:, column], texts[str(column)]) for column in columns], dtype=object
        ).T  # fmt: skip
    else:
        cells = X[:, columns]
        if dtype not in (np.float64, np.bool_):
            limits = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
            most = float(np.nextafter(2.0**63, 0)) if dtype is np.int64 else float(limits.max)
            cells = np.clip(cells, float(limits.min), most)  # NaN stays
        cells = np.ascontiguousarray(cells.astype(dtype))
    return cells[:, 0] if wanted.get("flat") else cells


def _words(codes: Array, levels: Sequence[str]) -> list[str]:
    """Return the text of each code, (n,); that of none is empty."""
    known = len(levels)
    return [levels[code] if 0 <= code < known else "" for code in codes.astype(np.int64).tolist()]
