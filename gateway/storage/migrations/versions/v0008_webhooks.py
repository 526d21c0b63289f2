"""Webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0012"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_ID = sa.String(length=36)
_WORD = sa.String(length=32)
_DELIVERIES = "webhook_deliveries"


def upgrade() -> None:
    """Create the tables of webhooks; deployments that have a webhook get their secret later."""
    _create_endpoints()
    _create_deliveries()
    _create_attempts()


def _create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", _ID, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("profile_id", _ID, nullable=False),
        sa.Column("deployment_id", _ID, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("overlap_until", _TIME, nullable=True),
        sa.Column("rotated_at", _TIME, nullable=True),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("disabled_reason", _WORD, nullable=True),
        sa.Column("disabled_at", _TIME, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", _TIME, nullable=True),
        sa.Column("paused_until", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("deployment_id", name=op.f("uq_webhook_endpoints_deployment_id")),
    )
    page = ["profile_id", "created_at", "id"]
    op.create_index("ix_webhook_endpoints_page", "webhook_endpoints", page)


def _create_deliveries() -> None:
    op.create_table(
        _DELIVERIES,
        sa.Column("id", _ID, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("message_id", _ID, nullable=False),
        sa.Column("profile_id", _ID, nullable=False),
        sa.Column("endpoint_id", _ID, nullable=False),
        sa.Column("deployment_id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=True),
        sa.Column("event", _WORD, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("status", _WORD, nullable=False),
        sa.Column("due_at", _TIME, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("delivered_at", _TIME, nullable=True),
        sa.Column("last_attempt_at", _TIME, nullable=True),
        sa.Column("last_status_code", sa.Integer(), nullable=True),
        sa.Column("last_error", _WORD, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("message_id", name=op.f("uq_webhook_deliveries_message_id")),
    )
    op.create_index("ix_webhook_deliveries_page", _DELIVERIES, ["profile_id", "created_at", "id"])
    op.create_index(
        "ix_webhook_deliveries_deployment_page",
        _DELIVERIES,
        ["deployment_id", "created_at", "id"],
    )
    _partial("ix_webhook_deliveries_due", ["endpoint_id", "due_at"], "status = 'pending'")
    _partial("ix_webhook_deliveries_oldest", ["created_at"], "status = 'pending'")
    _partial("ix_webhook_deliveries_run", ["run_id"], "run_id IS NOT NULL")


def _create_attempts() -> None:
    op.create_table(
        "webhook_attempts",
        sa.Column("delivery_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("endpoint_id", _ID, nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("result", _WORD, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("request_headers", sa.JSON(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("response_body", sa.LargeBinary(), nullable=True),
        sa.Column("error_code", _WORD, nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_webhook_attempts")),
    )
    by_endpoint = ["endpoint_id", "started_at"]
    op.create_index("ix_webhook_attempts_endpoint", "webhook_attempts", by_endpoint)


def _partial(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, _DELIVERIES, columns, sqlite_where=where, postgresql_where=where)
