from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.holdout import canonical_key, canonical_value, seal_score, seal_scores


@pytest.mark.parametrize(
    "same",
    [
        (1, 1.0, "1", " 1 ", "1.0", Decimal("1.00"), np.int64(1), "+1", "1e+0", "1E-00"),
        (0, -0.0, "0", "-0", "0.000"),
        (None, float("nan")),
        (True, "true"),
        ("007", " 007"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    ],
)
def test_equal_keys_have_one_text(same):
    assert len({canonical_value(value) for value in same}) == 1


def test_different_keys_differ():
    values = [0, 1, "01", "1a", "", None, "a", "A", 1.5, "1.05", 10**30, "-", "."]
    assert len({canonical_value(value) for value in values}) == len(values)
    assert canonical_key(["a", "b"]) != canonical_key(["ab", ""]) != canonical_key(["", "ab"])


def test_golden_vectors():
    assert canonical_key([1, " x ", None]) == "1\x1fx\x1f\x00"
    expected = int.from_bytes(hashlib.blake2b(b"demo" + b"42").digest()[:8], "big") / 2**64
    assert seal_score("demo", "42") == expected == pytest.approx(0.17099509357233267, abs=1e-15)


@given(st.lists(st.text(max_size=8), max_size=20), st.text(max_size=5))
def test_many_agree_with_one(keys, salt):
    expected = [seal_score(salt, key) for key in keys]
    assert seal_scores(salt, keys).tolist() == expected
    assert seal_scores(salt, pa.array(keys, pa.string())).tolist() == expected


def test_a_lone_surrogate_has_a_score_too():
    assert seal_scores("demo", ["\ud800"]).tolist() == [seal_score("demo", "\ud800")]


def test_scores_are_uniform():
    scores = seal_scores("demo", [str(n) for n in range(20_000)])
    assert abs((scores < 0.1).mean() - 0.1) < 0.01
    assert scores.min() >= 0
    assert scores.max() < 1
