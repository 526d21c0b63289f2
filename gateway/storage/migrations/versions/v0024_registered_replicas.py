"""Inference servers that register themselves: the lease of a replica."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no replica has a lease of its own yet."""
    op.add_column("replicas", sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_replicas_lease_until"), "replicas", ["lease_until"])
