"""Limits of keys and deployments, and the origins that browsers may call deployments from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns: nothing is limited, and no origin let in."""
    for table, name in (
        ("api_keys", "limits"),
        ("deployments", "limits"),
        ("deployments", "cors_origins"),
    ):
        op.add_column(table, sa.Column(name, sa.JSON(none_as_null=True), nullable=True))
