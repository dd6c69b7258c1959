"""What tasks and services take of the machine is kept: each attempt of a stage, each process of a service by day."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two tables."""
    op.create_table(
        "task_usage",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("model", sa.String(63)),
        sa.Column("night", sa.String(250)),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("cpu_seconds", sa.Float(), nullable=False),
        sa.Column("gpu_seconds", sa.Float(), nullable=False),
        sa.Column("peak_memory", sa.BigInteger(), nullable=False),
        sa.Column("bytes_read", sa.BigInteger()),
        sa.Column("bytes_written", sa.BigInteger()),
        sa.UniqueConstraint("model", "night", "stage", "fence", name="an_attempt_is_measured_once"),
    )
    op.create_table(
        "serving_usage",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("process", sa.String(32), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("cpu_seconds", sa.Float(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
    )


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
