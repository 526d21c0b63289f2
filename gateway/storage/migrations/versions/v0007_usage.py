"""Usage by minute and by day, and the index by which ended runs are counted once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of usage."""
    time = sa.DateTime(timezone=True)
    for table, source in (("usage_minutes", True), ("usage_days", False)):
        words = [sa.Column("source", sa.String(length=32), nullable=False)] if source else []
        key = ["began_at", "deployment_id", "version", "key_id"]
        op.create_table(
            table,
            sa.Column("began_at", time, nullable=False),
            sa.Column("deployment_id", sa.String(length=36), nullable=False),
            sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("key_id", sa.String(length=36), nullable=False),
            *words,
            sa.Column("profile_id", sa.String(length=36), nullable=False),
            sa.Column("calls", sa.BigInteger(), nullable=False),
            sa.Column("errors", sa.BigInteger(), nullable=False),
            sa.Column("runs", sa.BigInteger(), nullable=False),
            sa.Column("run_errors", sa.BigInteger(), nullable=False),
            sa.Column("detail", sa.LargeBinary(), nullable=False),
            sa.PrimaryKeyConstraint(
                *key, *(column.name for column in words), name=op.f(f"pk_{table}")
            ),
        )
        op.create_index(f"ix_{table}_profile", table, ["profile_id", "began_at"])
    op.create_table(
        "usage_marks",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("finished_at", time, nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_marks")),
    )
    op.add_column("runs", sa.Column("boot_seconds", sa.Float(), nullable=True))
    counted = sa.text("mode <> 'fast' AND finished_at IS NOT NULL")
    op.create_index(
        "ix_runs_counted",
        "runs",
        ["finished_at", "id"],
        sqlite_where=counted,
        postgresql_where=counted,
    )
