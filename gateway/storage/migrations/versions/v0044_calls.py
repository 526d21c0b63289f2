"""Calls that failed or took long, and an index of runs by the request ids that clients gave."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

_GIVEN = sa.text("request_id <> ''")


def upgrade() -> None:
    """Add the table and the index, which has only runs whose client gave its request an id."""
    op.create_table(
        "calls",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("deployment_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("mode", sa.String(length=32), nullable=True),
        sa.Column("key_id", sa.String(length=36), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("phases", sa.JSON(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=True),
        sa.Column("gateway", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_index("ix_calls_request_id", "calls", ["request_id", "id"])
    op.create_index("ix_calls_profile_id", "calls", ["profile_id", "id"])
    op.create_index(
        "ix_runs_request_page",
        "runs",
        ["profile_id", "request_id", "created_at", "id"],
        sqlite_where=_GIVEN,
        postgresql_where=_GIVEN,
    )
