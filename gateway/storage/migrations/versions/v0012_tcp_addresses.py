"""Inference servers that gateways and workers on other machines reach."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the address; servers that run get theirs when they are started again."""
    op.add_column("inference_servers", sa.Column("tcp_address", sa.Text(), nullable=True))
