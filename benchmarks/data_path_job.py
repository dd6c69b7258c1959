"""The job of the data-path benchmark as the product's own specs."""

from __future__ import annotations

from job_table import FLOATS

from pipelines.cleaning.spec import CleanSpec
from pipelines.features.spec import Clip, FeatureSpec, Frequency, Impute, OneHot, Standardise
from pipelines.sampling.spec import SampleSpec
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="bench", task="binary", target="label", positive="yes", key=("id",))
SAMPLE = SampleSpec(fraction=0.1, by=("label",))
CLEAN = CleanSpec(filters=("i0 >= 0", "f0 > -50 or missing(f0)", "i1 != 13"))
FEATURES = FeatureSpec(
    steps=(
        Impute(columns=FLOATS),
        Clip(columns=FLOATS, low=0.01, high=0.99),
        Standardise(columns=FLOATS),
        Frequency(columns=("c1000", "c20000")),
        OneHot(columns=("c5",)),
    )
)
