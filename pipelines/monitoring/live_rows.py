"""The newest logged rows of the live version, read and cleaned once for all checks."""

from __future__ import annotations

from functools import cached_property

import pandas as pd

from pipelines import storage
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger.rows import VersionRow
from pipelines.monitoring.traffic import Traffic, instances
from pipelines.settings import Settings, public_key


class LiveRows:
    """Rows that the live version predicted, as they were logged and as it reads them; made when they are asked for.

    Parameters
    ----------
    most
        Newest rows that are looked at.
    """

    def __init__(self, settings: Settings, champion: VersionRow, traffic: Traffic, most: int) -> None:
        self.settings, self.champion = settings, champion
        own = (traffic.rows["version"] == champion.version) & traffic.rows["instance"].notna()
        self.rows = traffic.rows[own].tail(most)

    @cached_property
    def raw(self) -> pd.DataFrame:
        """The cells as callers sent them; what the log hashed or dropped is missing."""
        return instances(self.rows)

    @property
    def clean(self) -> pd.DataFrame:
        """The cells as the live version reads them; a column that was not sent is missing."""
        return self._cleaned[0]

    @property
    def unreadable(self) -> pd.DataFrame:
        """Which cells it cannot read."""
        return self._cleaned[1]

    @cached_property
    def private(self) -> frozenset[str]:
        """Names of the clean columns that are private, or made of what is."""
        declared = self._opened.schema.private.keys()
        if not declared:
            return frozenset()
        enrichment, names = self._opened.enrichment, self._opened.recipe.names
        return frozenset(name for name in names if declared & {*enrichment.subset([name]).requested([name])})

    @cached_property
    def _opened(self) -> ModelDirectory:
        return ModelDirectory.open(storage.resolve(self.settings, self.champion.model_uri), public_key(self.settings))

    @cached_property
    def _cleaned(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        recipe = self._opened.recipe
        enrichment = self._opened.enrichment.subset(recipe.names)
        sent = self.raw.reindex(columns=enrichment.requested(recipe.names))
        return recipe.apply(enrichment.apply(sent).reindex(columns=recipe.names))
