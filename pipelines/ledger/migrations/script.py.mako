"""${message}"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "raise SystemExit('an empty migration')"}


def downgrade() -> None:
    ${downgrades if downgrades else "raise SystemExit('the ledger is never downgraded: restore a backup')"}
