"""Runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of runs."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("deployment_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("flow_id", sa.String(length=36), nullable=False),
        sa.Column("mode", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("key_id", sa.String(length=36), nullable=True),
        sa.Column("retry_of", sa.String(length=36), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("timeout_seconds", sa.Float(), nullable=False),
        sa.Column("retry_safe", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", time, nullable=True),
        sa.Column("queue_until", time, nullable=True),
        sa.Column("lease_owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until", time, nullable=True),
        sa.Column("started_at", time, nullable=True),
        sa.Column("finished_at", time, nullable=True),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.Column("error_code", sa.String(length=32), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_node", sa.String(length=200), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    _index("ix_runs_page", ["profile_id", "created_at", "id"])
    _index("ix_runs_deployment_page", ["deployment_id", "created_at", "id"])
    unfinished_or_bad = "status <> 'completed'"
    columns = ["status", "created_at", "id"]
    _index("ix_runs_status_page", ["profile_id", *columns], unfinished_or_bad)
    _index("ix_runs_deployment_status_page", ["deployment_id", *columns], unfinished_or_bad)
    _index("ix_runs_due", ["type", "due_at"], "status = 'queued'")
    expiring = "status = 'queued' AND queue_until IS NOT NULL"
    _index("ix_runs_queue_until", ["queue_until"], expiring)
    _index("ix_runs_lease", ["lease_until"], "status = 'running'")
    keyed = ["idempotency_key", "profile_id", "deployment_id"]
    _index("uq_runs_idempotency", keyed, "fingerprint IS NOT NULL", unique=True)
    op.create_table(
        "run_payloads",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("input", sa.LargeBinary(), nullable=True),
        sa.Column("output", sa.LargeBinary(), nullable=True),
        sa.Column("node_outputs", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_payloads")),
    )
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.String(length=200), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_run_events")),
    )


def _index(
    name: str, columns: list[str], where: str | None = None, *, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name,
        "runs",
        columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )
