"""Which keys see all runs of their deployments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: existing keys keep what they see, new ones see the runs that they start."""
    op.add_column(
        "api_keys", sa.Column("all_runs", sa.Boolean(), nullable=False, server_default=sa.true())
    )
