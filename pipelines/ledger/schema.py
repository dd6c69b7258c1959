"""The ledger's tables: one flat list, longer than other modules, so that every column and key is in one file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC: aware in Python, naive in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Store as naive UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return as aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


metadata = MetaData()

models = Table(
    "models",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("identity", JSON),  # columns that identify a row without a declared key, fixed on the first night
    Column("created_at", UtcDateTime, nullable=False),
)

nights = Table(
    "nights",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("night", String(250), primary_key=True),
    Column("as_of", UtcDateTime, nullable=False),
    Column("source", String(16), nullable=False),  # platform or local
    Column("state", String(16), nullable=False),  # running, success, failed
    Column("fence", Integer, nullable=False),
    Column("dag_digest", String(64)),
    Column("params", JSON),
    Column("verdict", JSON),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index("nights_by_start", "model", "started_at"),
)

stages = Table(
    "stages",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("night", String(250), primary_key=True),
    Column("stage", String(32), primary_key=True),
    Column("state", String(16), nullable=False),  # running, done, failed
    Column("fence", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("key", String(64)),
    Column("spec", JSON),
    Column("ref", JSON),
    Column("stats", JSON),
    Column("error", JSON),
    Column("rows", Integer),
    Column("seconds", Float),
    Column("reused", Boolean),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("made_of", JSON),  # model, inputs, outside, facts, and the digests of code and environment
    Index("stages_by_key", "model", "stage", "key"),
)

publications = Table(
    "publications",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("night", String(250), primary_key=True),
    Column("version", Integer),
    Column("state", String(16), nullable=False),  # reserved, staged, registered, live, retired
    Column("fence", Integer, nullable=False),
    Column("as_of", UtcDateTime),
    Column("model_uri", Text),
    Column("model_digest", String(64)),
    Column("bento_uri", Text),
    Column("mlflow_run", String(64)),
    Column("verdict", JSON),
    Column("metric", String(32)),
    Column("score", Float),
    Column("baseline", Float),
    Column("created_at", UtcDateTime, nullable=False),
    Column("live_at", UtcDateTime),
    UniqueConstraint("model", "version", name="one_number_per_version"),
)

serving = Table(
    "serving",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("desired", String(8), nullable=False),  # serve or stop
    Column("actual", String(16), nullable=False),  # absent, starting, ready, failed
    Column("address", Text),  # unix:PATH of each instance, separated by blanks
    Column("pid", Integer),
    Column("detail", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("until", UtcDateTime),  # the end of its lease; None: for as long as it is wanted
    Column("hosts", Integer, nullable=False, server_default="1"),  # that it is asked for on, where several serve
)

serving_hosts = Table(
    "serving_hosts",
    metadata,
    Column("address", String(255), primary_key=True),  # where gateways reach its services
    Column("name", String(255), nullable=False),
    Column("since", UtcDateTime, nullable=False),  # it has renewed its lease without a gap from then on
    Column("beat_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),  # the end of its lease, by the clock of the database
)

serving_instances = Table(
    "serving_instances",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("host", String(255), primary_key=True),  # address of the serving host
    Column("desired", String(8), nullable=False),  # serve or stop
    Column("actual", String(16), nullable=False),  # absent, starting, ready, failed
    Column("address", Text),  # tls:HOST:PORT of each instance, separated by blanks
    Column("pid", Integer),
    Column("detail", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

routes = Table(
    "routes",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("model", String(63), nullable=False),
    Column("from_version", Integer),
    Column("to_version", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Index("history_of_model", "model", "id"),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63), nullable=False),
    Column("version", Integer, nullable=False),  # the candidate
    Column("control", Integer),  # the version that was live when it began
    Column("night", String(250), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # running, paused, promoted, aborted
    Column("share", Integer, nullable=False),  # percent of callers that reach the candidate
    Column("shadow", Boolean, nullable=False),  # whether it is sent copies of their requests
    Column("why", Text, nullable=False),
    Column("evidence", JSON),
    Column("started_at", UtcDateTime, nullable=False),
    Column("beat_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index("rollouts_of_model", "model", "state"),
)

rollout_arms = Table(
    "rollout_arms",
    metadata,
    Column("rollout", Integer, primary_key=True),
    Column("share", Integer, primary_key=True),
    Column("arm", String(16), primary_key=True),  # control or candidate
    Column("gateway", String(32), primary_key=True),
    Column("counts", JSON, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("rate", String(63)),  # such as 100/minute
    Column("quota", String(63)),  # such as 1000000/month
)

usage = Table(
    "usage",
    metadata,
    Column("token", String(120), primary_key=True),
    Column("model", String(63), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Index("usage_of_model", "model", "day"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63)),
    Column("key", String(200), nullable=False),
    Column("kind", String(63), nullable=False),
    Column("message", Text, nullable=False),
    Column("fired_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("about", JSON),  # names of what it is about, such as columns; a change of them is said again
    Column("calm", Integer),  # looks in a row that found nothing, while it is open
    Column("changed_at", UtcDateTime),  # when it last said something else than before
    Index("alerts_open", "model", "key", "resolved_at"),
    Index("alerts_not_resolved", "resolved_at", "model"),
)

monitor_windows = Table(
    "monitor_windows",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63), nullable=False),
    Column("kind", String(32), nullable=False),  # inputs, labels, service
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("figures", JSON, nullable=False),
    UniqueConstraint("model", "kind", "ended_at", name="a_window_is_judged_once"),
)

silences = Table(
    "silences",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63)),  # whose alerts; None: of any model, and of none
    Column("kind", String(63)),
    Column("fingerprint", String(16)),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("why", Text, nullable=False),
    Column("actor", String(120), nullable=False),
)

alert_channels = Table(
    "alert_channels",
    metadata,
    Column("name", String(32), primary_key=True),  # such as mail; its address is in the settings alone
    Column("since", UtcDateTime, nullable=False),  # what was over before is not sent
    Column("claimed_until", UtcDateTime),  # one process at a time sends
    Column("delivered_at", UtcDateTime),
    Column("failures", Integer, nullable=False),  # in a row
    Column("failing_since", UtcDateTime),
    Column("tried_at", UtcDateTime),
    Column("error", Text, nullable=False),
)

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("alert", Integer, primary_key=True),
    Column("channel", String(32), primary_key=True),
    Column("state", String(16), nullable=False),  # what was sent last: firing, resolved; silenced: over and never sent
    Column("changed_at", UtcDateTime),  # of the alert as it was sent
    Column("at", UtcDateTime, nullable=False),
)

reactions = Table(
    "reactions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("model", String(63), nullable=False),
    Column("kind", String(32), nullable=False),  # probe, retrain, floor
    Column("version", Integer),  # that was live
    Column("outcome", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Index("reactions_of_model", "model", "kind", "at"),
)

task_usage = Table(
    "task_usage",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63)),  # None: an operation of all models
    Column("night", String(250)),  # None: an operation
    Column("stage", String(32), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # done, failed
    Column("ended_at", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("gpu_seconds", Float, nullable=False),
    Column("peak_memory", BigInteger, nullable=False),
    Column("bytes_read", BigInteger),
    Column("bytes_written", BigInteger),
    UniqueConstraint("model", "night", "stage", "fence", name="an_attempt_is_measured_once"),
)

serving_usage = Table(
    "serving_usage",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),  # 0: the gateway's share of the model
    Column("process", String(32), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("cpu_seconds", Float, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("memory", BigInteger, nullable=False),  # bytes, when last looked at
    Column("updated_at", UtcDateTime, nullable=False),
)

actions = Table(
    "actions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("model", String(63), nullable=False),  # "": an alert of no model
    Column("kind", String(32), nullable=False),  # such as rollback, start-night, acknowledge
    Column("actor", String(120), nullable=False),
    Column("why", Text, nullable=False),
    Column("about", JSON, nullable=False),  # such as the version, the run or the alert
    Column("outcome", Text, nullable=False),  # asked, done, or failed and why
    Index("actions_of_model", "model", "id"),
)

catalog = Table(
    "catalog",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("revision", Integer, nullable=False),  # goes up with each change; who saw an older one is told
    Column("description", Text),  # Markdown; None here and below: nobody said anything
    Column("domain", String(63)),
    Column("owner", String(120)),
    Column("licence", String(120)),
    Column("tags", JSON),
    Column("use_cases", JSON),
    Column("related", JSON),  # names of models
    Column("columns", JSON),  # that a request of the newest version has
    Column("archived_at", UtcDateTime),
    Column("archived_by", String(120)),
    Column("archived_why", Text),
    Column("updated_at", UtcDateTime),
    Column("updated_by", String(120)),
)

catalog_notes = Table(
    "catalog_notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63), nullable=False),
    Column("version", Integer),  # None: about the model
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("text", Text, nullable=False),
    Index("notes_of_model", "model", "id"),
)

catalog_ratings = Table(
    "catalog_ratings",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("actor", String(120), primary_key=True),
    Column("stars", Integer, nullable=False),  # 1 to 5
    Column("text", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

role_changes = Table(
    "role_changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("domain", String(63), nullable=False),  # "*": the whole installation
    Column("person", String(120), nullable=False),  # name of an account of Airflow; "*": everybody
    Column("role", String(16)),  # viewer, caller, operator, owner; None: none any more
    Column("actor", String(120), nullable=False),
    Column("why", Text, nullable=False),
    Index("role_changes_of", "domain", "person", "id"),
    Index("role_changes_of_person", "person", "id"),
)

access_requests = Table(
    "access_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("model", String(63), nullable=False),
    Column("person", String(120), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("rate", String(63), nullable=False),  # such as 60/minute
    Column("quota", String(63), nullable=False),  # such as 100000/month
    Column("days", Integer, nullable=False),  # that the token lives
    Column("state", String(16), nullable=False),  # asked, approved, refused, issued
    Column("decided_at", UtcDateTime),
    Column("decided_by", String(120)),
    Column("why", Text),  # of the decision
    Column("token", String(120)),  # its name, once it is issued; its text is nowhere
    Column("issued_at", UtcDateTime),
    Index("access_requests_of_model", "model", "id"),
    Index("access_requests_of_person", "person", "id"),
    Index("access_requests_by_token", "token"),
    Index("access_requests_by_state", "state", "id"),
)

preferences = Table(
    "preferences",
    metadata,
    Column("person", String(120), primary_key=True),
    Column("model", String(63), primary_key=True),
    Column("favourite_at", UtcDateTime),  # None: it is no favourite
    Column("seen_at", UtcDateTime),  # to the hour or so
)

mart_tables = Table(
    "mart_tables",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("uri", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("origin", JSON, nullable=False),  # model, night and stage, or the path; what was left out, and why
    Column("description", Text, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expired_at", UtcDateTime),
    Column("expired_by", String(120)),
    Column("expired_why", Text),
)
