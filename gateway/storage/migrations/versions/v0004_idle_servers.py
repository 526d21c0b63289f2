"""Inference servers that end when nobody has called them for some time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time after which a server sleeps; those that there are never do."""
    op.add_column(
        "inference_servers", sa.Column("idle_timeout_seconds", sa.Integer(), nullable=True)
    )
