from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk

from pipelines.metrics import METRICS, unsupervised
from pipelines.metrics.unsupervised import MemberOutput

ONES = np.ones(600)


def rows(count: int = 600) -> MemberOutput:
    """Two blobs with a few rows of noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count).astype(float)
    points = rng.normal(size=(count, 3)) + 3.0 * labels[:, None]
    return MemberOutput(points, labels)


def reduced() -> MemberOutput:
    """Three columns explained by two of them."""
    points = rows().points
    restored = np.tile(points.mean(axis=0), (len(points), 1))
    restored[:, :2] = points[:, :2]
    return MemberOutput(points, points[:, :2], restored)


def test_scores_equal_scikit_learn() -> None:
    output, few = rows(), reduced()
    assert few.restored is not None
    expected = sk.silhouette_score(output.points, output.predicted)
    assert METRICS["silhouette"].score(None, output, ONES) == pytest.approx(expected, abs=1e-9)
    # by the spread of each column, as the squared distance to the mean adds it up
    expected = sk.r2_score(few.points, few.restored, multioutput="variance_weighted")
    assert METRICS["explained_variance"].score(None, few, ONES) == pytest.approx(expected)
    assert METRICS["variance_gain"].score(None, few, ONES) == pytest.approx(expected - 2.0 / 3.0)


@pytest.mark.parametrize("name", ["silhouette", "explained_variance", "variance_gain"])
def test_rows_that_count_twice_are_as_two_rows(name: str) -> None:
    output = rows() if name == "silhouette" else reduced()
    weights = np.random.default_rng(1).integers(0, 3, (4, 600)).astype(float)
    metric = METRICS[name]
    found = metric.resampled(None, output).score(weights)
    np.testing.assert_allclose(found, [metric.score(None, output, weight) for weight in weights])
    block = np.arange(600) % 5
    drawn = np.array([[2.0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    found = metric.resampled(None, output).by_block(block, 5)(drawn)
    np.testing.assert_allclose(found, [metric.score(None, output, weight[block]) for weight in drawn])


def test_blocks_of_more_rows_than_the_silhouette_looks_at() -> None:
    output, block = rows(5_000), np.arange(5_000) // 500
    used = unsupervised.silhouette_rows(5_000)
    assert len(used) < 5_000
    resampled = METRICS["silhouette"].resampled(None, output)
    drawn = np.random.default_rng(2).multinomial(10, np.full(10, 0.1), size=3).astype(float)
    by_row = resampled.score(drawn[:, block[used]])
    np.testing.assert_allclose(resampled.by_block(block, 10)(drawn), by_row)
