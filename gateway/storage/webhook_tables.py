"""The tables of webhooks: an endpoint a deployment, what it is told, and each attempt at that.

A delivery is written in the transaction that changes its run, so there are no foreign keys: a
deployment's row would be locked by each run of it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Float, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Listed, Table, UtcTime, Word

_PENDING = text("status = 'pending'")
_HAS_RUN = text("run_id IS NOT NULL")


class WebhookEndpoint(Listed):
    """Where a deployment's events go: its secrets and its health. URL and events are on its row.

    It stays when the webhook is turned off, so that turning it on again keeps the secret.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_page", "profile_id", "created_at", "id"),)

    profile_id: Mapped[str] = mapped_column(Id)
    deployment_id: Mapped[str] = mapped_column(Id, unique=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    """Sealed by `gateway.webhooks.secret_box`."""
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Sealed as well; it signs, too, until `overlap_until`."""
    overlap_until: Mapped[datetime | None] = mapped_column(UtcTime)
    rotated_at: Mapped[datetime | None] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(Word, default="enabled")
    disabled_reason: Mapped[str | None] = mapped_column(Word)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcTime)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """Attempts in a row that have failed."""
    failing_since: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the first of those was."""
    paused_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """The breaker: nothing is sent before."""


class WebhookDelivery(Listed):
    """One event on its way to one endpoint. The ids begin with the time."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_page", "profile_id", "created_at", "id"),
        Index("ix_webhook_deliveries_deployment_page", "deployment_id", "created_at", "id"),
        Index(
            "ix_webhook_deliveries_due",
            *("endpoint_id", "due_at"),
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
        Index(
            "ix_webhook_deliveries_oldest",
            "created_at",
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
        Index(
            "ix_webhook_deliveries_run",
            "run_id",
            sqlite_where=_HAS_RUN,
            postgresql_where=_HAS_RUN,
        ),
    )

    message_id: Mapped[str] = mapped_column(String(36), unique=True)
    """What receivers see: the same for one event of one run, however often it is sent."""
    profile_id: Mapped[str] = mapped_column(Id)
    endpoint_id: Mapped[str] = mapped_column(Id)
    deployment_id: Mapped[str] = mapped_column(Id)
    run_id: Mapped[str | None] = mapped_column(Id)
    event: Mapped[str] = mapped_column(Word)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """The body, as it is signed and sent."""
    status: Mapped[str] = mapped_column(Word)
    due_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """While pending: when to send it, or where that has begun, when somebody else may."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    """How often sending was begun: who writes how it went must name the present one."""
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """How many attempts have failed since it was last sent off: its place in the schedule."""
    delivered_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_attempt_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_status_code: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Word)


class WebhookAttempt(Table):
    """One attempt: what was sent, beside the payload, and what came back."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (Index("ix_webhook_attempts_endpoint", "endpoint_id", "started_at"),)

    delivery_id: Mapped[str] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    endpoint_id: Mapped[str] = mapped_column(Id)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    seconds: Mapped[float] = mapped_column(Float)
    result: Mapped[str] = mapped_column(Word)
    url: Mapped[str] = mapped_column(Text)
    request_headers: Mapped[dict[str, str]] = mapped_column(JSON)
    status_code: Mapped[int | None] = mapped_column(Integer)
    response_body: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Its beginning; NULL for a private target and for a redirect."""
    error_code: Mapped[str | None] = mapped_column(Word)
    error_message: Mapped[str | None] = mapped_column(Text)
