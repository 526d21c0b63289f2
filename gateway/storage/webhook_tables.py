"""The tables of webhooks: one endpoint per deployment, its deliveries, and their attempts.

A delivery is written in the transaction that changes its run. There are no foreign keys, because
each run would lock the row of its deployment.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Float, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Listed, Table, UtcTime, Word

_PENDING = text("status = 'pending'")
_HAS_RUN = text("run_id IS NOT NULL")


class WebhookEndpoint(Listed):
    """Secrets and health of a deployment's webhook; URL and events are columns of the deployment.

    The row stays when the webhook is turned off, so that its secret is kept.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_page", "profile_id", "created_at", "id"),)

    profile_id: Mapped[str] = mapped_column(Id)
    deployment_id: Mapped[str] = mapped_column(Id, unique=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    """Sealed by `gateway.webhooks.secret_box`."""
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Sealed as well; it also signs until `overlap_until`."""
    overlap_until: Mapped[datetime | None] = mapped_column(UtcTime)
    rotated_at: Mapped[datetime | None] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(Word, default="enabled")
    disabled_reason: Mapped[str | None] = mapped_column(Word)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcTime)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """Consecutive failed attempts."""
    failing_since: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the first of them failed."""
    paused_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """The circuit breaker: nothing is sent before this time."""


class WebhookDelivery(Listed):
    """The delivery of one event to one endpoint. Ids begin with the time."""

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
    """The `webhook-id` header: the same for every attempt of one event of one run."""
    profile_id: Mapped[str] = mapped_column(Id)
    endpoint_id: Mapped[str] = mapped_column(Id)
    deployment_id: Mapped[str] = mapped_column(Id)
    run_id: Mapped[str | None] = mapped_column(Id)
    event: Mapped[str] = mapped_column(Word)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """The body that is signed and sent."""
    stored_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    """What the delivery counts in the storage quotas, see `quota_tables.py`."""
    status: Mapped[str] = mapped_column(Word)
    due_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """While pending: when to send it; once claimed, when another process may claim it."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    """How often it was claimed. The write of a result names it, so that a late one is dropped."""
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """Failed attempts since it was last enqueued: its position in the retry schedule."""
    delivered_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_attempt_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_status_code: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Word)


class WebhookAttempt(Table):
    """One attempt: the request without its payload, and the response."""

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
    """The beginning of the body; NULL for private targets and redirects."""
    error_code: Mapped[str | None] = mapped_column(Word)
    error_message: Mapped[str | None] = mapped_column(Text)
