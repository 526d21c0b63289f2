"""Hosts from which replicas move away, the successors of these, and what needs a server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; processes of the version before write none of them."""
    op.add_column("hosts", sa.Column("cordoned_at", sa.DateTime(timezone=True)))
    op.add_column("replicas", sa.Column("replaces", sa.String(36)))
    op.add_column(
        "inference_servers",
        sa.Column("needed_by", sa.String(32), nullable=False, server_default="person"),
    )
