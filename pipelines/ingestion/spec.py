"""What to read, how it is written, and which share of it is sealed."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec


class IngestSpec(Spec):
    """Where the rows come from and how they are read."""

    source: Annotated[str, Field(min_length=1)]
    """File, folder or glob of CSV (also .gz) and Parquet; `home:` in front means below AIMASS_HOME."""
    header: bool | None = None
    """CSV: does the first line name the columns? None: found out per file."""
    columns: tuple[str, ...] = ()
    """CSV: column names of files without a header, in file order."""
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """CSV: the character between values; None: found out per file."""
    encoding: Literal["utf-8", "latin-1", "utf-16"] | None = None
    """CSV: text encoding; None: UTF-8, and latin-1 with a notice for a file that is not."""
    time_formats: tuple[str, ...] = ()
    """strptime formats of the model's time column, tried in order; empty: learned from all rows."""
    file_date: str | None = None
    """strptime pattern of a whole file name; only files dated before the night's date are read."""
    seal_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of rows that judge promotion and train no model."""
    seal_max_rows: Annotated[int, Field(ge=1)] = 20_000
    """Upper limit of sealed rows."""
    seal_days: Annotated[int, Field(ge=1)] | None = None
    """Dated models: seal this many last labelled days; None: as many as hold `seal_share`."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        doubled = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if doubled:
            raise ValueError(f"'columns' names {doubled} more than once")
        if self.header is False and not self.columns:
            raise ValueError("header=False needs 'columns', the names in file order")
        if self.file_date is not None and "%" not in self.file_date:
            raise ValueError("'file_date' holds no strptime directive such as %Y-%m-%d")
        return self
