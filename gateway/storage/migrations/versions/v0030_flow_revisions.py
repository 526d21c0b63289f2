"""Revisions of flows, and test runs of drafts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables, without rows: the next save of a flow writes its present state, too."""
    op.create_table(
        "flow_revisions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column(
            "flow_id",
            sa.String(36),
            sa.ForeignKey("flows.id", name=op.f("fk_flow_revisions_flow_id"), ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=True),
        sa.Column("flow_name", sa.String(200), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("definition_bytes", sa.Integer(), nullable=False),
        sa.Column("saved_at", _TIME, nullable=False),
        sa.Column("created_by", sa.String(36), nullable=True),
        sa.Column("created_by_key", sa.String(36), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flow_revisions")),
        sa.UniqueConstraint("flow_id", "number", name=op.f("uq_flow_revisions_flow_id_number")),
    )
    op.create_table(
        "run_drafts",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("draft", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_drafts")),
    )
    for name, column in (("ix_flows_updated_page", "updated_at"), ("ix_flows_name_page", "name")):
        op.create_index(name, "flows", ["profile_id", column, "id"])
    op.add_column(
        "runs", sa.Column("test", sa.Boolean(), nullable=False, server_default=sa.false())
    )
