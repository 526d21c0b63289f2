"""Users with passwords and roles, and their console sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the administrator an owner; add passwords, states, sessions, failed log-ins."""
    time = sa.DateTime(timezone=True)
    active = sa.Column("state", sa.String(length=32), nullable=False, server_default="active")
    op.add_column("profiles", active)
    op.add_column("profiles", sa.Column("password_hash", sa.Text(), nullable=True))
    op.add_column("profiles", sa.Column("password_changed_at", time, nullable=True))
    op.add_column("profiles", sa.Column("last_login_at", time, nullable=True))
    op.execute("UPDATE profiles SET role = 'owner' WHERE role = 'admin'")
    op.create_table(
        "console_sessions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.Column("last_seen_at", time, nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("user_agent", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["profiles.id"],
            name=op.f("fk_console_sessions_profile_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_console_sessions_token_hash")),
    )
    op.create_index(
        "ix_console_sessions_page", "console_sessions", ["profile_id", "created_at", "id"]
    )
    op.create_table(
        "login_failures",
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("since", time, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_login_failures")),
    )
    op.create_index(op.f("ix_login_failures_since"), "login_failures", ["since"])
