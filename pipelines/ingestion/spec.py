"""Settings of ingestion: sources, joins, and the share of sealed rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.mart.address import Address, is_address
from pipelines.spec import Spec

READING = ("header", "columns", "separator", "encoding", "file_date", "incremental")
"""Options that a published table cannot have."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Files(Spec):
    """A table in files."""

    kind: Literal["files"] = "files"
    path: Annotated[str, Field(min_length=1)]
    """File, folder or glob of CSV, Parquet or JSON lines, packed or not; `home:` in front means below AIMASS_HOME,
    `s3://` reads from an object store; `mart:NAME@VERSION` is a published table, `mart:NAME` its newest version by the
    night's date."""
    header: bool | None = None
    """CSV: whether the first line names the columns; None: detected per file."""
    columns: tuple[str, ...] = ()
    """CSV: column names of files without a header, in file order."""
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """CSV: the character between values; None: detected per file."""
    encoding: Literal["utf-8", "latin-1", "utf-16"] | None = None
    """CSV: text encoding; None: UTF-8, and latin-1 (or Windows-1252) with a notice for a file that is not."""
    file_date: str | None = None
    """strptime pattern of a file's name, or of the end of its path (`day=%Y-%m-%d/part.csv`); only files dated
    before the night's date are read."""
    incremental: bool | None = None
    """Keep what was read as history, so that a night reads only files that are new or changed; None: yes for a
    folder, a glob or dated files, no for one file."""
    max_rejected: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Largest share of lines that do not fit the table that a night stands; they are kept aside with the reason."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        doubled = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if doubled:
            raise ValueError(f"'columns' names {doubled} more than once")
        if self.header is False and not self.columns:
            raise ValueError("header=False needs 'columns', the names in file order")
        if self.file_date is not None and "%" not in self.file_date:
            raise ValueError("'file_date' holds no strptime directive such as %Y-%m-%d")
        if is_address(self.path):
            Address.read(self.path)
            of_files = [name for name in READING if getattr(self, name) not in (None, ())]
            if of_files:
                raise ValueError(f"{of_files} say how files are read; a published table needs none of them")
        return self


class Sql(Spec):
    """A table from a database."""

    kind: Literal["sql"] = "sql"
    query: Annotated[str, Field(min_length=1)]
    """One SELECT; its columns are those of the table."""
    connection: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    """Name of an Airflow connection (AIRFLOW_CONN_<NAME>), or of an environment variable that holds a SQLAlchemy URL;
    never the URL itself."""
    since: str | None = None
    """Column that grows with every new or changed row, such as `updated_at`: a night reads only rows from the largest
    value read before on, without those that it has. A row that is committed later with a smaller value is never seen.
    None: the whole table every night."""

    @field_validator("connection")
    @classmethod
    def _no_address(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("holds an address; put it into a connection or a variable and name that")
        return value


Source = Annotated[Files | Sql, Field(discriminator="kind")]


class Join(Spec):
    """A further table whose columns are added to every row of the main one."""

    name: Name
    """Name of the table in reports and in the model directory."""
    source: Source
    """Source of the table; a plain text is the path of files."""
    on: dict[str, str]
    """Key: column of the main table → column of this one; a list of names if both are equal."""
    time: str | None = None
    """As-of join: expression over this table's columns that gives the moment a row became known. The latest row that
    is not later than the main row's moment is taken. None: at most one row per key."""
    at: str | None = None
    """As-of join: expression over the main table's columns that gives the row's moment; None: the model's time."""
    max_age_hours: Annotated[float, Field(gt=0)] | None = None
    """As-of join: largest age of the joined row, in hours; older rows do not count. None: any age."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Column of this table → its name in the joined one; a list of names; empty: all but key and time, by their
    own names."""
    serve: Literal["caller", "embed"] = "embed"
    """Serving: does the caller send these columns, or does the model carry the table (as-of: the last known row)?"""
    many: bool = False
    """Allow several rows per key, which multiply the main table's rows; otherwise a repeated key stops the night."""

    @field_validator("source", mode="before")
    @classmethod
    def _path(cls, value: Any) -> Any:
        return {"kind": "files", "path": value} if isinstance(value, str) else value

    @field_validator("on", "columns", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        return {name: name for name in value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not self.on:
            raise ValueError("'on' names no key column")
        if self.time is None and (self.at is not None or self.max_age_hours is not None):
            raise ValueError("'at' and 'max_age_hours' are for as-of joins; add 'time'")
        if self.many and (self.serve == "embed" or self.time is not None):
            raise ValueError("many=True needs serve='caller' and no 'time': one request row has one prediction")
        return self


class Derived(Spec):
    """A column computed from others of the same row."""

    name: Annotated[str, Field(min_length=1)]
    """The new column; may be the model's target."""
    expression: Annotated[str, Field(min_length=1)]
    """Such as `arr_delay >= 15` or `moment(year, month, day)`; columns with unusual names are put in backticks."""
    serve: Literal["compute", "caller", "never"] = "compute"
    """Serving: computed from the request row, sent by the caller, or not known (targets and similar columns)."""


class IngestSpec(Spec):
    """Where the rows come from and how they are read."""

    source: Source
    """The main table, one row per row of the model; a plain text is the path of files."""
    joins: tuple[Join, ...] = ()
    """Further tables, joined in this order."""
    derived: tuple[Derived, ...] = ()
    """Computed columns, in this order; each may use the ones before. Those that need no joined column can be used in
    joins."""
    time_formats: tuple[str, ...] = ()
    """strptime formats of the model's time column, tried in order; empty: learned from all rows."""
    seal_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of rows that judge promotion and train no model."""
    seal_max_rows: Annotated[int, Field(ge=1)] = 20_000
    """Upper limit of sealed rows."""
    seal_days: Annotated[int, Field(ge=1)] | None = None
    """Dated models: seal this many last labelled days; None: as many as hold `seal_share`."""
    seal_group: tuple[str, ...] = ()
    """Columns of the entity whose rows are all on one side of the seal: `SplitSpec.group`, set here by the night."""

    @property
    def connections(self) -> tuple[str, ...]:
        """Names of the database connections it needs."""
        sources = (self.source, *(join.source for join in self.joins))
        return tuple(dict.fromkeys(source.connection for source in sources if isinstance(source, Sql)))

    @property
    def tables(self) -> dict[str, Files | Sql]:
        """The declared tables by name: ``main`` and the joins."""
        return {"main": self.source, **{join.name: join.source for join in self.joins}}

    def at(self, addresses: Mapping[str, str]) -> Self:
        """Return the spec with other addresses of published tables: table → address."""

        def moved(name: str, source: Files | Sql) -> Files | Sql:
            return source.model_copy(update={"path": addresses[name]}) if name in addresses else source

        joins = tuple(join.model_copy(update={"source": moved(join.name, join.source)}) for join in self.joins)
        return self.model_copy(update={"source": moved("main", self.source), "joins": joins})

    @field_validator("source", mode="before")
    @classmethod
    def _path(cls, value: Any) -> Any:
        return {"kind": "files", "path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [join.name for join in self.joins]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"'joins' has several tables named {doubled}")
        names = [column.name for column in self.derived]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"'derived' computes {doubled} more than once")
        return self
