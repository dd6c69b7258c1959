"""Alerts are silenced and sent through channels, each delivery is kept; so is what was done about a condition."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and the column."""
    op.add_column("alerts", sa.Column("changed_at", sa.DateTime()))
    op.create_table(
        "silences",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("model", sa.String(63)),
        sa.Column("kind", sa.String(63)),
        sa.Column("fingerprint", sa.String(16)),
        sa.Column("begun_at", sa.DateTime(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
    )
    op.create_table(
        "alert_channels",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("claimed_until", sa.DateTime()),
        sa.Column("delivered_at", sa.DateTime()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.DateTime()),
        sa.Column("tried_at", sa.DateTime()),
        sa.Column("error", sa.Text(), nullable=False),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("alert", sa.Integer(), primary_key=True),
        sa.Column("channel", sa.String(32), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed_at", sa.DateTime()),
        sa.Column("at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "reactions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Index("reactions_of_model", "model", "kind", "at"),
    )


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
