"""How long boots of inference servers took, their present phase, and the last lines of logs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, in which NULL is what is not known, and the table without rows."""
    op.add_column("inference_servers", sa.Column("boots", sa.JSON(), nullable=True))
    op.add_column(
        "replicas", sa.Column("phase_started_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_table(
        "replica_logs",
        sa.Column("replica_id", sa.String(length=36), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["replica_id"],
            ["replicas.id"],
            name=op.f("fk_replica_logs_replica_id_replicas"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("replica_id", name=op.f("pk_replica_logs")),
    )
