"""A service may have several instances, and a lease."""

import sqlalchemy as sa
from alembic import op

from pipelines.ledger.schema import UtcDateTime as Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is served has one instance and no lease."""
    op.add_column("serving", sa.Column("instances", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("serving", sa.Column("until", Moment()))


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
