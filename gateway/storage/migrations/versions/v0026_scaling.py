"""Where an inference server may run, between how many replicas it scales, and what they do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; NULL is what was there before: any host, and a number that stays."""
    op.add_column("hosts", sa.Column("labels", sa.JSON(), nullable=True))
    op.add_column("hosts", sa.Column("memory_bytes", sa.BigInteger(), nullable=True))
    op.add_column("inference_servers", sa.Column("host_labels", sa.JSON(), nullable=True))
    op.add_column("inference_servers", sa.Column("min_replicas", sa.Integer(), nullable=True))
    op.add_column("inference_servers", sa.Column("max_replicas", sa.Integer(), nullable=True))
    op.add_column("inference_servers", sa.Column("target_queue", sa.Float(), nullable=True))
    op.add_column("replicas", sa.Column("load", sa.Float(), nullable=True))
    op.add_column("replicas", sa.Column("idle_since", sa.DateTime(timezone=True), nullable=True))
