"""The trace that a run belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; NULL, as a gateway of the version before leaves it, is a run without one."""
    op.add_column("runs", sa.Column("traceparent", sa.String(55), nullable=True))
