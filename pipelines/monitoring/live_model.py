"""The live version as the monitor needs it: how it reads rows, what it was trained on, what is private."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines import storage
from pipelines.inference.enrichment.request import Enrichment
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.recipe.row_recipe import RowRecipe
from pipelines.ledger import Ledger
from pipelines.ledger.rows import VersionRow
from pipelines.secret_files import public_key
from pipelines.settings import Settings

REFERENCE, EXPECTED = "reference.json", "expected.json"


@dataclass(frozen=True)
class LiveModel:
    """A model's live version; its files are read when they are asked for."""

    settings: Settings
    ledger: Ledger
    champion: VersionRow

    @property
    def name(self) -> str:
        """The model."""
        return self.champion.model

    @cached_property
    def opened(self) -> ModelDirectory:
        """Its model directory."""
        return ModelDirectory.open(storage.resolve(self.settings, self.champion.model_uri), public_key(self.settings))

    @cached_property
    def recipe(self) -> RowRecipe:
        """How it reads raw columns."""
        return self.opened.recipe

    @cached_property
    def enrichment(self) -> Enrichment:
        """What serving adds to a raw row."""
        return self.opened.enrichment.subset(self.recipe.names)

    @cached_property
    def requested(self) -> list[str]:
        """Names of the raw columns that it reads."""
        return self.enrichment.requested(self.recipe.names)

    @cached_property
    def private(self) -> frozenset[str]:
        """Names of the clean columns that are private, or made of what is."""
        declared = self.opened.schema.private.keys()
        if not declared:
            return frozenset()
        names = self.recipe.names
        return frozenset(name for name in names if declared & {*self.enrichment.subset([name]).requested([name])})

    @cached_property
    def reference(self) -> Mapping[str, Any]:
        """How its training rows and predictions were distributed; empty where its night left nothing."""
        return self._left(REFERENCE)

    @cached_property
    def expected(self) -> Mapping[str, Any]:
        """The score of its sealed rows, and what to expect without labels; empty where its night left nothing."""
        return self._left(EXPECTED)

    @cached_property
    def labels(self) -> list[str]:
        """The classes as callers read them, the positive one second; empty for a regression."""
        facts = self.opened.facts
        written = facts.get("written") or {}
        return [written.get(label, label) for label in facts["classes"] or ()]

    def clean(self, raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return raw rows as it reads them, and which cells it cannot read."""
        return self.recipe.apply(self.enrichment.apply(raw).reindex(columns=self.recipe.names))

    @cached_property
    def _judged(self) -> Path | None:
        for row in self.ledger.stages(self.name, self.champion.night):
            if row.stage == "evaluate" and row.ref:
                return storage.open_folder(self.settings, row.ref["uri"])[0]
        return None

    def _left(self, name: str) -> Mapping[str, Any]:
        path = None if self._judged is None else self._judged / name
        found: Mapping[str, Any] = json.loads(path.read_text()) if path is not None and path.is_file() else {}
        return found
