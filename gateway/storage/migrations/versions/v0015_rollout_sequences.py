"""The columns that order redeploys and promotions get descriptive names."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename the columns in place; both databases keep the values."""
    # Not Alembic's batch mode: on SQLite it would copy the table and drop its triggers.
    op.execute("ALTER TABLE deployments RENAME COLUMN turns TO rollout_seq")
    op.execute("ALTER TABLE deployments RENAME COLUMN live_turn TO live_rollout_seq")
