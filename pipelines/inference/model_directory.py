"""A model directory: its files are checked against the signed manifest once, and read when they are asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from pipelines.errors import DeployError
from pipelines.inference.enrichment.request import Enrichment
from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.manifest import verify_manifest
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.predictor import Predictor
from pipelines.inference.recipe.row_recipe import RowRecipe
from pipelines.inference.schema import ServeSchema

FORMAT = 1


@dataclass(frozen=True)
class ModelDirectory:
    """The way into a model directory for whoever judges, serves, registers or watches a version.

    Parameters
    ----------
    path
        The folder.
    digest
        Digest of the signed manifest that every file was checked against, by :meth:`open` or by whoever hands the
        folder over; empty for a directory that is not signed yet.
    """

    path: Path
    digest: str

    @classmethod
    def open(cls, path: Path, public_key: bytes) -> ModelDirectory:
        """Check the signature and every file; nothing is parsed before.

        Parameters
        ----------
        public_key
            The 32 raw bytes of the Ed25519 public key.

        Raises
        ------
        DeployError
            The directory is not exactly what was signed.
        """
        return cls(path, verify_manifest(path, public_key))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """``model.json``.

        Raises
        ------
        DeployError
            The directory is of an unknown format.
        """
        facts = cast(dict[str, Any], json.loads((self.path / "model.json").read_bytes()))
        if facts.get("format") != FORMAT:
            raise DeployError(
                "the model directory has an unknown format",
                where=str(self.path),
                seen=facts.get("format"),
                expected=FORMAT,
                cure="use the release of this program that wrote it",
            )
        return facts

    @cached_property
    def schema(self) -> ServeSchema:
        """What a caller sends."""
        return ServeSchema.load(self.path)

    @property
    def identity(self) -> tuple[tuple[str, ...], str | None]:
        """Key and time columns: what decided which rows were sealed from it."""
        return self.schema.key, self.schema.time

    @cached_property
    def recipe(self) -> RowRecipe:
        """How raw columns are read: that part of the plan alone."""
        return RowRecipe.from_json((self.path / "plan" / "recipe.json").read_bytes())

    @cached_property
    def enrichment(self) -> Enrichment:
        """What serving adds to a raw row: that part of the plan alone."""
        return Enrichment.load(self.path / "plan" / "enrichment")

    @cached_property
    def plan(self) -> FeaturePlan:
        """The whole feature plan."""
        return FeaturePlan.load(self.path / "plan")

    @cached_property
    def golden(self) -> dict[str, Any]:
        """Raw ``rows`` and ``answers``, the model's predictions when it was made; none before they are written."""
        file = self.path / "golden.json"
        return cast(dict[str, Any], json.loads(file.read_bytes())) if file.exists() else {"rows": [], "answers": []}

    @cached_property
    def certificate(self) -> dict[str, Any] | None:
        """What compression changed; None where a version does not say."""
        file = self.path / "certificate.json"
        return cast(dict[str, Any], json.loads(file.read_text())) if file.is_file() else None

    @cached_property
    def predictor(self) -> Predictor:
        """The version, ready to predict.

        Raises
        ------
        DeployError
            Its parts do not fit together, or this release cannot read one.
        """
        facts, plan = self.facts, self.plan
        if list(facts["features"]) != plan.features:
            raise DeployError("model.json and the feature plan disagree on the features", where=str(self.path))
        return Predictor(self.schema, plan, Ensemble.load(self.path), facts, self.golden, self.digest)
