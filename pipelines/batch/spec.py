"""Settings of a batch prediction."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.spec import Spec


class BatchSpec(Spec):
    """Which rows are predicted, by which model, into which file."""

    model: Annotated[str, Field(min_length=1)]
    """Name of the model."""
    input: Annotated[str, Field(min_length=1)]
    """File, folder, glob or ``s3://`` address of CSV, JSON lines or Parquet; relative ones are below the project."""
    output: Annotated[str, Field(pattern=r"\.(csv|parquet)$")]
    """File to write, ``.csv`` or ``.parquet``, in a folder that exists; relative ones are below the project."""
    version: Annotated[int | None, Field(ge=1)] = None
    """A version; None: the live one."""
