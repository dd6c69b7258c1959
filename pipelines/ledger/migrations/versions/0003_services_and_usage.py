"""Services have an address in place of a port; tokens have limits; what was asked for is counted by day."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table; services that listened on a port are started anew."""
    op.add_column("serving", sa.Column("address", sa.Text()))
    op.drop_column("serving", "port")
    op.execute("UPDATE serving SET actual = 'absent', pid = NULL WHERE actual IN ('ready', 'starting')")
    op.add_column("tokens", sa.Column("rate", sa.String(63)))
    op.add_column("tokens", sa.Column("quota", sa.String(63)))
    op.create_table(
        "usage",
        sa.Column("token", sa.String(120), primary_key=True),
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
