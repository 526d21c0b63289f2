"""Watches of deployments with the calls that they report, and whose a deleted entity was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and the column, which gateways of an older release leave empty."""
    op.add_column("changes", sa.Column("owner_id", sa.String(length=36), nullable=True))
    op.create_table(
        "call_watches",
        sa.Column("deployment_id", sa.String(length=36), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("until_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployments.id"],
            name=op.f("fk_call_watches_deployment_id_deployments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("deployment_id", name=op.f("pk_call_watches")),
    )
    op.create_index("ix_call_watches_expires_at", "call_watches", ["expires_at"])
    op.create_index(
        "ix_call_watches_profile_id_expires_at", "call_watches", ["profile_id", "expires_at"]
    )
    op.create_table(
        "watched_calls",
        sa.Column("deployment_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["call_watches.deployment_id"],
            name=op.f("fk_watched_calls_deployment_id_call_watches"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("deployment_id", "number", name=op.f("pk_watched_calls")),
    )
    op.create_index(
        "ix_watched_calls_profile_id_created_at", "watched_calls", ["profile_id", "created_at"]
    )
