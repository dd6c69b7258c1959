"""Units that a store will sell of a product on a day."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipelines.evaluation.spec import EvaluateSpec
from pipelines.features.spec import FeatureSpec, Rolling
from pipelines.industry.template import IndustryTemplate, Rng

STORES, PRODUCTS = 12, 15
FORMATS = ("city", "suburb", "retail park")


def day(rng: Rng, number: int) -> pd.DataFrame:
    """Return the sales of every store and product on a day."""
    fixed = np.random.default_rng(7)
    size, popularity = fixed.lognormal(0, 0.4, STORES), fixed.lognormal(2.3, 0.7, PRODUCTS)
    price = fixed.uniform(1.5, 30, PRODUCTS).round(2)
    store, product = (grid.ravel() for grid in np.meshgrid(np.arange(STORES), np.arange(PRODUCTS), indexing="ij"))
    promotion = rng.random(len(store)) < 0.08
    off = np.where(promotion, rng.choice([0.1, 0.2, 0.3], len(store)), 0.0)
    warmth = 12 + 10 * np.sin((number - 105) / 58) + rng.normal(0, 2.5)
    weekday = (0.95, 0.9, 0.95, 1.0, 1.2, 1.45, 0.55)[(number + 2) % 7]  # 2025-01-01 was a Wednesday
    mean = size[store] * popularity[product] * weekday * (1 + 3.2 * off) * (1 + 0.012 * warmth * (product % 3 == 0))
    return pd.DataFrame(
        {
            "store": [f"store {1 + number:02d}" for number in store],
            "product": [f"P{100 + number}" for number in product],
            "format": np.array(FORMATS)[store % 3],
            "price": (price[product] * (1 - off)).round(2),
            "promotion": np.where(promotion, "yes", "no"),
            "temperature": round(float(warmth), 1),
            "units": rng.poisson(rng.gamma(8, mean / 8)),
        }
    )


DEMAND = IndustryTemplate(
    name="demand",
    title="units that a store will sell of a product on a day",
    why="the mean error in units is what is ordered wrongly; what sold lately says most; every store format is judged",
    model={"task": "regression", "target": "units", "metric": "mae", "key": ("sale_id",), "time": "sold_at"},
    day=day,
    specs={
        "FEATURES": FeatureSpec(
            steps=(
                Rolling(entity=("store", "product"), value="units", window_days=28.0, how=("mean",)),
                Rolling(entity=("product",), value="units", window_days=7.0, how=("mean",)),
            )
        ),
        "EVALUATE": EvaluateSpec(slices=("format",), slice_margin=0.5),
    },
    rules=(
        ("expect_column_values_to_be_between", {"column": "price", "min_value": 0, "strict_min": True}),
        ("expect_column_values_to_be_between", {"column": "_y", "min_value": 0}),
    ),
    label_days=1,
    missing={"temperature": 0.02},
)
