"""A feature plan applied to a Dask frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipelines.inference.plan.feature_plan import FeaturePlan


def transform_dask(ddf: Any, plan: FeaturePlan) -> Any:
    """Return a Dask frame of the plan's features (float64), partition by partition.

    Parameters
    ----------
    ddf
        Dask frame of clean rows; holds ``plan.sources``.
    plan
        Gives the same numbers as for a pandas frame.
    """
    meta = pd.DataFrame({name: np.empty(0) for name in plan.features}, columns=plan.features)

    def one(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(plan.transform(frame), index=frame.index, columns=plan.features)

    return ddf[plan.sources].map_partitions(one, meta=meta)
