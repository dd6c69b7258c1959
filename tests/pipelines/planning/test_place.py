"""Where a stage runs, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.features.spec import FeatureSpec
from pipelines.local.dag_file import Declared
from pipelines.planning.place import place_of
from pipelines.pods import Pod
from pipelines.settings import load


@pytest.mark.parametrize(
    ("stage", "rows", "words"),
    [
        ("ingest", 1e3, "LocalExecutor, pool heavy"),
        ("validate", 1e3, "LocalExecutor"),
        ("clean", 1e9, "LocalExecutor, pool heavy; Dask: 3 threads"),
        ("features", 1e3, "LocalExecutor, pool heavy; Dask: 3 threads"),
        ("features", 1e8, "LocalExecutor, pool heavy; Dask: 3 processes of that machine"),
        ("tune", 1e3, "LocalExecutor, pool heavy; Ray: 3 cores of that machine"),
    ],
)
def test_one_machine(stage: str, rows: float, words: str, tmp_path: Path) -> None:
    settings = load(home=tmp_path, cores=3)
    assert place_of(stage, Declared(FeatureSpec(), {}, "heavy", "default"), settings, rows) == words
    on_queue = place_of(stage, Declared(FeatureSpec(), {}, "heavy", "gpu"), settings, rows)
    assert "queue gpu" in on_queue


def test_a_pod_of_its_own(tmp_path: Path) -> None:
    settings = load(home=tmp_path, cores=3, executor="KubernetesExecutor")
    declared = Declared(FeatureSpec(), {}, "heavy", "default", Pod(cpu=8, gpus=1))
    assert place_of("ingest", declared, settings, 1e3) == "KubernetesExecutor, pool heavy, pod of 8 CPU, 6 GB, 1 GPU"
