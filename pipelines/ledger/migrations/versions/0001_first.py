"""The first tables."""

import sqlalchemy as sa
from alembic import op

from pipelines.ledger.schema import UtcDateTime as Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "models",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("identity", sa.JSON()),
        sa.Column("created_at", Moment(), nullable=False),
    )
    op.create_table(
        "nights",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("night", sa.String(250), primary_key=True),
        sa.Column("as_of", Moment(), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("dag_digest", sa.String(64)),
        sa.Column("params", sa.JSON()),
        sa.Column("verdict", sa.JSON()),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment()),
    )
    op.create_table(
        "stages",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("night", sa.String(250), primary_key=True),
        sa.Column("stage", sa.String(32), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64)),
        sa.Column("spec", sa.JSON()),
        sa.Column("ref", sa.JSON()),
        sa.Column("stats", sa.JSON()),
        sa.Column("error", sa.JSON()),
        sa.Column("rows", sa.Integer()),
        sa.Column("seconds", sa.Float()),
        sa.Column("reused", sa.Boolean()),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment()),
    )
    op.create_index("stages_by_key", "stages", ["model", "stage", "key"])
    op.create_table(
        "publications",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("night", sa.String(250), primary_key=True),
        sa.Column("version", sa.Integer()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("as_of", Moment()),
        sa.Column("model_uri", sa.Text()),
        sa.Column("model_digest", sa.String(64)),
        sa.Column("bento_uri", sa.Text()),
        sa.Column("mlflow_run", sa.String(64)),
        sa.Column("verdict", sa.JSON()),
        sa.Column("metric", sa.String(32)),
        sa.Column("score", sa.Float()),
        sa.Column("baseline", sa.Float()),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("live_at", Moment()),
        sa.UniqueConstraint("model", "version", name="one_number_per_version"),
    )
    op.create_table(
        "serving",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("desired", sa.String(8), nullable=False),
        sa.Column("actual", sa.String(16), nullable=False),
        sa.Column("port", sa.Integer()),
        sa.Column("pid", sa.Integer()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
    )
    op.create_table(
        "routes",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
    )
    op.create_table(
        "history",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("from_version", sa.Integer()),
        sa.Column("to_version", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
    )
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(120), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("revoked_at", Moment()),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("model", sa.String(63)),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("fired_at", Moment(), nullable=False),
        sa.Column("resolved_at", Moment()),
    )
    op.create_index("alerts_open", "alerts", ["model", "key", "resolved_at"])


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
