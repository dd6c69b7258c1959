"""What people do about a model is kept with who and why; indexes for the pages that look at all models at once."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the indexes."""
    op.create_table(
        "actions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
    )
    for name, table, columns in (
        ("actions_of_model", "actions", ["model", "id"]),
        ("nights_by_start", "nights", ["model", "started_at"]),
        ("usage_of_model", "usage", ["model", "day"]),
        ("history_of_model", "history", ["model", "id"]),
        ("alerts_not_resolved", "alerts", ["resolved_at", "model"]),
    ):
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
