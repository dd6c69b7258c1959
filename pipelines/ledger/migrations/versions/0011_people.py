"""Roles of people by domain, requests to use a model, and what each person likes and has seen."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "role_changes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("domain", sa.String(63), nullable=False),
        sa.Column("person", sa.String(120), nullable=False),
        sa.Column("role", sa.String(16)),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
    )
    op.create_table(
        "access_requests",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("person", sa.String(120), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("rate", sa.String(63), nullable=False),
        sa.Column("quota", sa.String(63), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decided_at", sa.DateTime()),
        sa.Column("decided_by", sa.String(120)),
        sa.Column("why", sa.Text()),
        sa.Column("token", sa.String(120)),
        sa.Column("issued_at", sa.DateTime()),
    )
    op.create_table(
        "preferences",
        sa.Column("person", sa.String(120), primary_key=True),
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("favourite_at", sa.DateTime()),
        sa.Column("seen_at", sa.DateTime()),
    )
    for name, table, columns in (
        ("role_changes_of", "role_changes", ["domain", "person", "id"]),
        ("role_changes_of_person", "role_changes", ["person", "id"]),
        ("access_requests_of_model", "access_requests", ["model", "id"]),
        ("access_requests_of_person", "access_requests", ["person", "id"]),
        ("access_requests_by_token", "access_requests", ["token"]),
        ("access_requests_by_state", "access_requests", ["state", "id"]),
    ):
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Refuse: going back would lose history."""
    raise SystemExit("the ledger is never downgraded: restore a backup")
