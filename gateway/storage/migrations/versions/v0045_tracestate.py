"""What the caller's vendors have said of the trace of a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; NULL, as a gateway of the version before leaves it, is a run without one."""
    op.add_column("runs", sa.Column("tracestate", sa.String(512), nullable=True))
