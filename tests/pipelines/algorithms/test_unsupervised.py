from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import davies_bouldin_score, silhouette_score

from pipelines.algorithms.base import Dataset, FitContext, Fitted, TaskInfo
from pipelines.algorithms.families import family
from pipelines.algorithms.registry import algorithms_for
from pipelines.inference.members.registry import load_member
from pipelines.metrics import unsupervised as quality


def blobs(seed: int = 0) -> tuple[Dataset, TaskInfo]:
    rng = np.random.default_rng(seed)
    X = rng.normal(scale=0.15, size=(600, 3))
    X[:, :2] += np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])[np.arange(600) % 3]
    X[::50, 0] = np.nan
    shape = TaskInfo("clustering", "silhouette", 0, 600, ("number",) * 3, (0,) * 3)
    return Dataset(X, np.zeros(600), np.ones(600)), shape


def learn(name: str, part: Dataset, shape: TaskInfo, **params: object) -> Fitted:
    learner = family(name)
    settings = {**learner.default(shape), **params}
    return learner.fit(settings, part, None, shape, FitContext())


@pytest.mark.parametrize(("name", "params"), [("kmeans", {"clusters": 3}), ("dbscan", {})])
def test_clusters_are_found_and_kept(name: str, params: dict[str, object], tmp_path: Path) -> None:
    part, shape = blobs()
    fitted = learn(name, part, shape, **params)
    labels = fitted.predict(part.X)
    assert fitted.learned["clusters"] == 3.0
    whole = ~np.isnan(part.X[:, 0]) & (labels >= 0)
    for number in range(3):
        own = labels[(np.arange(600) % 3 == number) & whole]
        assert len(np.unique(own)) == 1
    assert whole.mean() > 0.85
    points = fitted.member.design(part.X)[whole]  # type: ignore[attr-defined]
    assert quality.silhouettes(points, labels[whole])[0].mean() > 0.5
    again = load_member(tmp_path, fitted.save(tmp_path, "0")).predict(part.X)
    np.testing.assert_array_equal(again, labels)


def test_a_row_far_from_all_is_noise() -> None:
    part, shape = blobs()
    assert learn("dbscan", part, shape).predict(np.full((1, 3), 40.0)).tolist() == [-1.0]
    assert learn("kmeans", part, shape).predict(np.full((1, 3), 40.0))[0] >= 0.0


def test_components_are_scikit_learns(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 6)) + 0.05 * rng.normal(size=(500, 6))
    part = Dataset(X, np.zeros(500), np.ones(500))
    shape = TaskInfo("reduction", "explained_variance", 0, 500, ("number",) * 6, (0,) * 6)
    fitted = learn("pca", part, shape, variance=0.95)
    design = fitted.member.design(X)  # type: ignore[attr-defined]
    reference = PCA(int(fitted.learned["components"]), svd_solver="full").fit(design)
    coordinates = fitted.predict(X)
    np.testing.assert_allclose(np.abs(coordinates), np.abs(reference.transform(design)), atol=1e-8)
    assert fitted.learned["variance"] == pytest.approx(reference.explained_variance_ratio_.sum())
    output = quality.evaluate_member(fitted.member, X)
    explained = quality.ratio(quality.row_terms("explained_variance", output))
    assert explained == pytest.approx(fitted.learned["variance"])
    assert quality.all_scores(output)["variance_gain"] == pytest.approx(explained - fitted.learned["components"] / 6)
    again = load_member(tmp_path, fitted.save(tmp_path, "0")).predict(X)
    np.testing.assert_array_equal(again, coordinates)


def test_metrics_are_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    points, labels = rng.normal(size=(300, 4)), rng.integers(0, 4, 300).astype(float)
    points[:, 0] += labels
    values, chosen = quality.silhouettes(points, labels)
    assert values.mean() == pytest.approx(silhouette_score(points, labels))
    assert len(chosen) == 300
    assert quality.davies_bouldin(points, labels) == pytest.approx(davies_bouldin_score(points, labels))
    assert not quality.silhouettes(points, np.zeros(300))[0].any()
    assert np.isnan(quality.davies_bouldin(points, np.full(300, -1.0)))


def test_noise_counts_as_no_better_than_chance() -> None:
    part, shape = blobs()
    points = learn("kmeans", part, shape).member.design(part.X)  # type: ignore[attr-defined]
    groups = np.arange(600) % 3
    few = np.where(np.arange(600) < 90, groups, -1).astype(float)
    scores = [
        quality.ratio(quality.row_terms("silhouette", quality.MemberOutput(points, labels)))
        for labels in (groups.astype(float), few)
    ]
    assert scores[0] > 0.5 > 0.2 > scores[1] > 0


def test_long_tables_are_thinned_alike_for_every_labelling() -> None:
    points = np.random.default_rng(3).normal(size=(5000, 2))
    noisy = np.where(points[:, 0] > 0, 1.0, -1.0)
    for labels in (np.zeros(5000), noisy, (points[:, 1] > 0).astype(float)):
        assert quality.silhouettes(points, labels)[1].tolist() == list(range(0, 5000, 3))


def test_more_components_explain_more_and_gain_less_beyond_the_knee() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) + 0.05 * rng.normal(size=(400, 6))
    part = Dataset(X, np.zeros(400), np.ones(400))
    shape = TaskInfo("reduction", "variance_gain", 0, 400, ("number",) * 6, (0,) * 6)
    found = {}
    for share in (0.5, 0.95, 1.0):
        fitted = learn("pca", part, shape, variance=share)
        found[int(fitted.learned["components"])] = quality.all_scores(quality.evaluate_member(fitted.member, X))
    assert list(found) == [1, 2, 6]
    assert [one["explained_variance"] for one in found.values()] == sorted(
        one["explained_variance"] for one in found.values()
    )
    assert max(found, key=lambda count: found[count]["variance_gain"]) == 2
    assert found[6]["variance_gain"] == pytest.approx(0.0, abs=1e-9)
    assert learn("pca", part, shape, variance=1.0, components=3).learned["components"] == 3.0


def test_the_registry_knows_who_learns_what() -> None:
    assert algorithms_for("clustering") == ("kmeans", "dbscan")
    assert algorithms_for("reduction") == ("pca",)
    assert "lightgbm" in algorithms_for("binary")
    assert not set(algorithms_for("binary")) & {"kmeans", "dbscan", "pca"}


@pytest.mark.parametrize("name", ["kmeans", "dbscan", "pca"])
def test_few_and_equal_rows_still_predict(name: str) -> None:
    shape = TaskInfo("clustering", "silhouette", 0, 3, ("number", "code"), (0, 2))
    part = Dataset(np.array([[1.0, 0.0]] * 3), np.zeros(3), np.ones(3))
    assert np.isfinite(learn(name, part, shape).predict(part.X)).all()
