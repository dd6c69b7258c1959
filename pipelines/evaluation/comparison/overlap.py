"""A row that any model trained on never judges: the sets of training keys that model directories carry are asked."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipelines import storage
from pipelines.errors import DataError, GateError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.row_hash import TRAINING_KEYS, among, key_hash, load_keys
from pipelines.spec import ModelSpec

log = logging.getLogger(__name__)

MAX_NAMED = 10
MAX_OVERLAP = 0.05
"""Largest share of the sealed rows that the champion may have trained on."""
DECLARE = "declare the key that identifies a row, so that its copies lie on one side"
SEAL_AS_BEFORE = (
    "seal the days or the share of keys that were sealed when it was trained, or begin anew under another model name"
)


def trained_on(version: ModelDirectory, keys: pd.Series) -> NDArray[np.bool_]:
    """Say which rows' keys a version was trained on, shape (n,); none for versions that do not carry their keys."""
    path = version.path / TRAINING_KEYS
    if not path.is_file():
        return np.zeros(len(keys), np.bool_)
    texts = pa.array(keys, pa.string(), from_pandas=True)
    known = among(key_hash(texts, 0), load_keys(path))
    known[texts.is_null().to_numpy(zero_copy_only=False)] = False
    return known


def unseen(
    sealed: pd.DataFrame, candidate: ModelDirectory, champion: ModelDirectory | None, model: ModelSpec
) -> pd.DataFrame:
    """Return the sealed rows that judge.

    Rows that the champion trained on are left out for all, so that both are judged on the same rows. A champion that
    was sealed by another key or time is not compared at all, and its keys say nothing.

    Raises
    ------
    GateError
        If the model trained on a sealed row, or the champion on more than ``MAX_OVERLAP`` of them.
    """
    known = trained_on(candidate, sealed["_key"])
    if known.any():
        _refuse(sealed, known, "the model", "none", DECLARE)
    if champion is None or champion.identity != (model.key, model.time):
        return sealed
    known = trained_on(champion, sealed["_key"])
    if not known.any():
        return sealed
    if known.mean() > MAX_OVERLAP:
        _refuse(sealed, known, "the version that is live", f"at most {MAX_OVERLAP:.0%}", SEAL_AS_BEFORE)
    count = int(known.sum())
    log.info(f"notice: the version that is live trained on {count} sealed rows; left out")
    return sealed[~known].reset_index(drop=True)


def sides(
    split: Path, candidate: ModelDirectory, champion: ModelDirectory | None, model: ModelSpec
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the sealed rows that judge and the training rows; see ``check_rows`` and ``unseen`` for what is refused."""
    sealed, train = (storage.read_table(split / side).to_pandas() for side in ("sealed", "train"))
    check_rows(sealed, train)
    return unseen(sealed, candidate, champion, model), train


def check_rows(sealed: pd.DataFrame, train: pd.DataFrame) -> None:
    """Refuse sides that cannot judge.

    Raises
    ------
    DataError
        If no row is sealed.
    GateError
        If a key is on both sides.
    """
    if not len(sealed):
        raise DataError(
            "no sealed row is left to judge by",
            where="split, sealed/",
            seen="0 rows",
            expected="some rows that no model trains on",
            cure="read more rows, or give IngestSpec a larger sealed share",
        )
    both = sealed["_key"].isin(train["_key"].dropna()) & sealed["_key"].notna()
    if both.any():
        raise GateError(
            f"{int(both.sum())} sealed rows were trained on",
            where="split, column _key",
            expected="no key on both sides",
            cure=DECLARE,
            faults=[f"key {key!r}" for key in sealed.loc[both, "_key"].head(MAX_NAMED)],
        )


def _refuse(sealed: pd.DataFrame, known: NDArray[np.bool_], who: str, expected: str, cure: str) -> None:
    raise GateError(
        f"{who} trained on sealed rows",
        where=f"{TRAINING_KEYS} of the model directory",
        seen=f"{int(known.sum())} of {len(sealed)} sealed rows",
        expected=expected,
        cure=cure,
        faults=[f"key {key!r}" for key in sealed.loc[known, "_key"].head(MAX_NAMED)],
    )
