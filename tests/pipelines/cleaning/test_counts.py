"""The example rows are those of the smallest hashes, half of them with gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cleaning.counts import MAX_EXAMPLES, _smallest


@pytest.mark.parametrize("rows", [0, 150, 5_000])
@given(seed=st.integers(0, 2**32), gaps=st.sampled_from([0.0, 0.01, 0.5, 1.0]), hashes=st.sampled_from([3, 900, 2**63]))
def test_few_ranks_are_put_in_order_and_the_choice_is_that_of_all(
    rows: int, seed: int, gaps: float, hashes: int
) -> None:
    draw = np.random.default_rng(seed)
    ranks = np.empty(rows, dtype=[("full", bool), ("hash", np.uint64), ("row", np.int64)])
    ranks["full"], ranks["hash"] = draw.random(rows) >= gaps, draw.integers(0, hashes, rows, dtype=np.uint64)
    ranks["row"] = draw.permutation(rows)
    ordered = sorted(range(rows), key=lambda index: (int(ranks["hash"][index]), int(ranks["row"][index])))
    first = [index for index in ordered if not ranks["full"][index]][: MAX_EXAMPLES // 2]
    rest = [index for index in ordered if index not in set(first)][: MAX_EXAMPLES - len(first)]
    assert _smallest(ranks).tolist() == sorted([*first, *rest])
