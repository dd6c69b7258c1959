"""A version that one machine made is used by another one, which has the ledger and the bucket alone."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from chain import write_small_source
from here import aimass
from small_night import predictor_of, trained

from pipelines import settings as configuration
from pipelines import storage
from pipelines.inference.manifest import verify_manifest
from pipelines.ingestion.spec import IngestSpec
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

pytestmark = pytest.mark.slow


def test_another_machine_predicts_with_the_version(
    home: Settings, bucket: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMASS_STORAGE", f"s3://{bucket}/p")
    here = configuration.load().ensure()
    write_small_source(tmp_path / "source.csv", 400)
    model = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
    version = trained(tmp_path / "made", here, model, IngestSpec(source=str(tmp_path / "source.csv")))
    expected = predictor_of(here, "demo", version)
    shutil.copytree(here.secrets, tmp_path / "other" / "secrets")
    for path in here.home.glob("ledger.db*"):
        shutil.copy2(path, tmp_path / "other")
    other = here.model_copy(update={"home": tmp_path / "other"}).ensure()
    again = predictor_of(other, "demo", version)
    with Ledger.open(other) as ledger:
        row = ledger.version("demo", version)
    assert verify_manifest(storage.resolve(other, row.model_uri), public_key(other)) == row.model_digest
    import pandas as pd

    raw = pd.read_csv(tmp_path / "source.csv", dtype=str).drop(columns="label")
    one, two = (predictor.predict_frame(raw) for predictor in (expected, again))
    assert np.array_equal(one["probability"], two["probability"])
    done = aimass(
        *("predict", "demo", "--input", str(tmp_path / "source.csv"), "--output", str(tmp_path / "out.csv")),
        *("--version", str(version)),
        AIMASS_HOME=str(other.home),
    )
    assert done.returncode == 0, done.stderr
    told = pd.read_csv(tmp_path / "out.csv")["probability"]
    assert np.allclose(told, one["probability"], rtol=0, atol=1e-12)
