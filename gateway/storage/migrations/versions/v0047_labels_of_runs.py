"""The labels that callers give their runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, which is NULL for a run without labels, and the table to find runs by."""
    op.add_column("runs", sa.Column("labels", sa.Text(), nullable=True))
    op.create_table(
        "run_labels",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=500), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", "key", name=op.f("pk_run_labels")),
    )
    op.create_index(
        "ix_run_labels_page", "run_labels", ["profile_id", "key", "value", "created_at", "id"]
    )
