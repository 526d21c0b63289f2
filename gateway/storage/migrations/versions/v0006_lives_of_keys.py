"""API keys that expire, are rotated, and are counted when they are used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns; keys that there are never expire, and count from nought."""
    for column in (
        sa.Column("environment", sa.String(length=32), nullable=True),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("total_uses", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("rotated_at", _TIME, nullable=True),
        sa.Column("grace_ends_at", _TIME, nullable=True),
        sa.Column("uses_since_rotation", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("replaces", sa.String(length=36), nullable=True),
        sa.Column("replaced_by", sa.String(length=36), nullable=True),
    ):
        op.add_column("api_keys", column)
