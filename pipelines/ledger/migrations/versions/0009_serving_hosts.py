"""A version may be served on several hosts, each with a lease."""

import sqlalchemy as sa
from alembic import op

from pipelines.ledger.schema import UtcDateTime as Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column and two tables; what is served is asked for on one host."""
    op.add_column("serving", sa.Column("hosts", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "serving_hosts",
        sa.Column("address", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("since", Moment(), nullable=False),
        sa.Column("beat_at", Moment(), nullable=False),
        sa.Column("until", Moment(), nullable=False),
    )
    op.create_table(
        "serving_instances",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("desired", sa.String(8), nullable=False),
        sa.Column("actual", sa.String(16), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("pid", sa.Integer()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
    )


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
