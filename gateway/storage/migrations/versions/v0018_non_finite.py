"""What stands for NaN and infinities in the answers of deployments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: until now they were null, that is, lost."""
    column = sa.Column("non_finite", sa.String(length=32), nullable=False, server_default="string")
    op.add_column("deployments", column)
