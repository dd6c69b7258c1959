"""Windows that the monitor judged are kept; an open alert knows what it is about and how long it has been quiet."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the two columns."""
    op.create_table(
        "monitor_windows",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.UniqueConstraint("model", "kind", "ended_at", name="a_window_is_judged_once"),
    )
    op.add_column("alerts", sa.Column("about", sa.JSON()))
    op.add_column("alerts", sa.Column("calm", sa.Integer()))


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
