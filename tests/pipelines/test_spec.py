from __future__ import annotations

import pytest

from pipelines.errors import SpecError
from pipelines.spec import UNSUPERVISED, ModelSpec, overlay

GOOD = {"name": "demo", "task": "binary", "target": "label", "positive": "yes"}


def test_all_faults_come_at_once():
    with pytest.raises(SpecError) as caught:
        ModelSpec(name="Demo", task="binry", targt="x")
    text = str(caught.value)
    assert all(word in text for word in ("name", "task", "target", "targt"))
    assert caught.value.exit_code == 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positive": None}, "positive"),
        ({"task": "regression"}, "positive"),
        ({"metric": "rmse"}, "roc_auc"),
        ({"key": ("label",)}, "target"),
        ({"owner": "{{ ds }}"}, "template"),
        ({"target": ""}, "needs 'target'"),
        ({"task": "clustering", "positive": None}, "a clustering model has no target"),
        ({"task": "clustering", "target": ""}, "'positive' is for binary models"),
        ({"task": "reduction", "target": "", "positive": None, "metric": "silhouette"}, "variance_gain"),
        ({"task": "clustering", "target": "", "positive": None, "metric": "roc_auc"}, "silhouette"),
    ],
)
def test_settings_that_disagree_are_refused(change, words):
    with pytest.raises(SpecError) as caught:
        ModelSpec(**{**GOOD, **change})
    assert words in str(caught.value)


def test_overlay_validates_and_leaves_the_original():
    spec = ModelSpec(**GOOD)
    assert overlay(spec, {"seed": 7}).seed == 7
    assert spec.seed == 0
    with pytest.raises(SpecError, match="1 wrong setting"):
        overlay(spec, {"seeds": 7})


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("binary", "roc_auc"),
        ("multiclass", "log_loss"),
        ("regression", "rmse"),
        ("clustering", "silhouette"),
        ("reduction", "variance_gain"),
    ],
)
def test_default_metric(task, metric):
    positive = "yes" if task == "binary" else None
    target = "" if task in UNSUPERVISED else "y"
    assert ModelSpec(name="demo", task=task, target=target, positive=positive).judged_by == metric
