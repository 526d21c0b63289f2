"""Replicas: what is observed of an inference server's processes, in a table of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the process of each server its only replica.

    Its id is the server's: by that, a supervisor of the last release passes the process on. The old
    columns stay for the gateways of that release, which a reload replaces after this.
    """
    time = sa.DateTime(timezone=True)
    observed = (
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=32), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("tcp_address", sa.Text(), nullable=True),
        sa.Column("metrics_address", sa.Text(), nullable=True),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_at", time, nullable=True),
        sa.Column("ready_at", time, nullable=True),
        sa.Column("boot_seconds", sa.Float(), nullable=True),
    )
    # First: SQLite makes the table again, and deletes what refers to its rows.
    with op.batch_alter_table("inference_servers") as servers_table:
        servers_table.alter_column("state", server_default="stopped")
        servers_table.alter_column("restarts", server_default="0")
    replicas = op.create_table(
        "replicas",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        *observed,
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["inference_servers.id"],
            name=op.f("fk_replicas_server_id"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("server_id", "slot", name=op.f("uq_replicas_server_id_slot")),
    )
    names = [column.name for column in observed]
    servers = sa.table("inference_servers", *map(sa.column, ("id", *names)))
    values = (servers.c.id, servers.c.id, sa.literal(0), *(servers.c[name] for name in names))
    op.execute(
        sa.insert(replicas).from_select(["id", "server_id", "slot", *names], sa.select(*values))
    )
