"""Several hosts: which of them runs a replica."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. A replica without a host is open: a host claims it."""
    op.add_column(
        "hosts", sa.Column("joined", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("hosts", sa.Column("version", sa.String(length=64), nullable=True))
    with op.batch_alter_table("replicas") as replicas:
        replicas.add_column(sa.Column("host_id", sa.String(length=36), nullable=True))
        replicas.create_foreign_key(
            op.f("fk_replicas_host_id"), "hosts", ["host_id"], ["id"], ondelete="SET NULL"
        )
        replicas.create_index(op.f("ix_replicas_host_id"), ["host_id"])
