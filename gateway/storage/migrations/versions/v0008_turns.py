"""Deployments whose runs end with their callers, and the order of redeploys."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; runs of the deployments that there are go on without their callers."""
    columns: tuple[tuple[str, Any, Any], ...] = (
        ("cancel_on_disconnect", sa.Boolean(), sa.false()),
        ("turns", sa.Integer(), "0"),
        ("live_turn", sa.Integer(), "0"),
    )
    for name, kind, default in columns:
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("deployments", column)
