"""A keyed hash by which the pepper of the database is recognised."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, with the hash of the host that was last alive, if one has written its own."""
    op.create_table(
        "pepper_check",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_pepper_check_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pepper_check")),
    )
    op.execute(
        "INSERT INTO pepper_check (id, digest) SELECT 1, pepper_digest FROM hosts "
        "WHERE pepper_digest IS NOT NULL ORDER BY lease_until DESC LIMIT 1"
    )
