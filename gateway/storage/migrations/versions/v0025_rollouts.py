"""Rollouts: a version of a deployment that is tried beside the live one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table; no deployment has a rollout yet."""
    op.create_table(
        "rollouts",
        sa.Column(
            "deployment_id",
            sa.String(36),
            sa.ForeignKey(
                "deployments.id",
                name=op.f("fk_rollouts_deployment_id"),
                ondelete="CASCADE",
            ),
            nullable=False,
        ),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("strategy", sa.String(32), nullable=False),
        sa.Column("baseline", sa.Integer(), nullable=False),
        sa.Column("candidate", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("promote_after_seconds", sa.Integer(), nullable=True),
        sa.Column("promote_at", _TIME, nullable=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("cause", sa.String(32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("observed", sa.JSON(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("deployment_id", name=op.f("pk_rollouts")),
    )
