"""What people say of models: descriptions, notes, ratings, and which are archived."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "catalog",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("domain", sa.String(63)),
        sa.Column("owner", sa.String(120)),
        sa.Column("licence", sa.String(120)),
        *(sa.Column(name, sa.JSON()) for name in ("tags", "use_cases", "related", "columns")),
        sa.Column("archived_at", sa.DateTime()),
        sa.Column("archived_by", sa.String(120)),
        sa.Column("archived_why", sa.Text()),
        sa.Column("updated_at", sa.DateTime()),
        sa.Column("updated_by", sa.String(120)),
    )
    op.create_table(
        "catalog_notes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
    )
    op.create_index("notes_of_model", "catalog_notes", ["model", "id"])
    op.create_table(
        "catalog_ratings",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("actor", sa.String(120), primary_key=True),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
    )


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
