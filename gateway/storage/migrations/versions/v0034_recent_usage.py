"""An index that has what lists of deployments show of their usage."""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_usage_minutes_deployment",
        "usage_minutes",
        ["deployment_id", "began_at", "calls", "errors"],
    )
