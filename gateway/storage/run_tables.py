"""The tables of runs: a narrow row that every query reads, and large values in tables of their own.

The partial indexes contain only unfinished runs, so that finished runs cost nothing when runs are
claimed, reaped or counted. PostgreSQL and SQLite use such an index only for a query that contains
its condition literally (`sql_literal`).

There are no foreign keys: each insert would lock the row of its profile. Rows that belong together
are deleted together, by the run's id.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Listed, Name, Table, UtcTime, Word

_QUEUED = text("status = 'queued'")
_EXPIRING = text("status = 'queued' AND queue_until IS NOT NULL")
_RUNNING = text("status = 'running'")
_NOT_COMPLETED = text("status <> 'completed'")
_WITH_ERROR = text("error_code IS NOT NULL")
_REPLAYED = text("fingerprint IS NOT NULL")
_GIVEN = text("request_id <> ''")
COUNTED = text("mode <> 'fast' AND finished_at IS NOT NULL")
"""Runs for usage to count; fast calls are counted when they are answered."""


class RunRow(Listed):
    """One execution of a flow, without its input and output.

    Ids begin with the time (`gateway.ids.new_run_id`), so the oldest runs sort first.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_page", "profile_id", "created_at", "id"),
        Index("ix_runs_deployment_page", "deployment_id", "created_at", "id"),
        Index(
            "ix_runs_status_page",
            *("profile_id", "status", "created_at", "id"),
            sqlite_where=_NOT_COMPLETED,
            postgresql_where=_NOT_COMPLETED,
        ),
        Index(
            "ix_runs_deployment_status_page",
            *("deployment_id", "status", "created_at", "id"),
            sqlite_where=_NOT_COMPLETED,
            postgresql_where=_NOT_COMPLETED,
        ),
        Index(
            "ix_runs_code_page",
            *("profile_id", "error_code", "created_at", "id"),
            sqlite_where=_WITH_ERROR,
            postgresql_where=_WITH_ERROR,
        ),
        Index(
            "ix_runs_deployment_code_page",
            *("deployment_id", "error_code", "created_at", "id"),
            sqlite_where=_WITH_ERROR,
            postgresql_where=_WITH_ERROR,
        ),
        Index(
            "ix_runs_request_page",
            *("profile_id", "request_id", "created_at", "id"),
            sqlite_where=_GIVEN,
            postgresql_where=_GIVEN,
        ),
        Index("ix_runs_due", "type", "due_at", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        Index(
            "ix_runs_queue_until",
            "queue_until",
            sqlite_where=_EXPIRING,
            postgresql_where=_EXPIRING,
        ),
        Index("ix_runs_lease", "lease_until", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
        Index(
            "uq_runs_idempotency",
            *("idempotency_key", "profile_id", "deployment_id", "key_id"),
            unique=True,
            sqlite_where=_REPLAYED,
            postgresql_where=_REPLAYED,
        ),
        Index(
            "ix_runs_counted",
            *("finished_at", "id"),
            sqlite_where=COUNTED,
            postgresql_where=COUNTED,
        ),
    )

    profile_id: Mapped[str] = mapped_column(Id)
    deployment_id: Mapped[str] = mapped_column(Id)
    version: Mapped[int] = mapped_column(Integer)
    flow_id: Mapped[str] = mapped_column(Id)
    mode: Mapped[str] = mapped_column(Word)
    type: Mapped[str] = mapped_column(Word)
    key_id: Mapped[str | None] = mapped_column(Id)
    retry_of: Mapped[str | None] = mapped_column(Id)
    """The failed run that this one retries."""
    status: Mapped[str] = mapped_column(Word)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    timeout_seconds: Mapped[float] = mapped_column(Float)
    request_id: Mapped[str | None] = mapped_column(String(128))
    """The id that the client gave the request that made it; "": it gave none; NULL: not kept."""
    traceparent: Mapped[str | None] = mapped_column(String(55))
    """The span that its spans are below, by W3C Trace Context; NULL: it is not traced."""
    tracestate: Mapped[str | None] = mapped_column(String(512))
    """What the caller's vendors have said of the trace; NULL: nothing."""
    labels: Mapped[str | None] = mapped_column(Text)
    """The caller's labels, as a JSON object of texts; NULL: none. RunLabel finds runs by them."""
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcTime)
    retry_safe: Mapped[bool] = mapped_column(Boolean)
    """Whether it may be restarted after its worker was lost."""
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    """How often it was claimed. Writes name it, so a process that lost its lease cannot write."""
    max_attempts: Mapped[int] = mapped_column(Integer)
    due_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """While queued: when to enqueue it again if no worker has claimed it."""
    queue_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """While queued: the latest time for it to start."""
    lease_owner: Mapped[str | None] = mapped_column(Name)
    lease_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """While running: when its process counts as dead unless it renews the lease."""
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Set in every final state, and in no other."""
    duration_seconds: Mapped[float | None] = mapped_column(Float)
    boot_seconds: Mapped[float | None] = mapped_column(Float)
    """The part of it spent waiting for an inference server to boot; NULL: none."""
    error_code: Mapped[str | None] = mapped_column(Word)
    error_message: Mapped[str | None] = mapped_column(Text)
    error_node: Mapped[str | None] = mapped_column(Name)
    event_count: Mapped[int] = mapped_column(Integer, default=0)
    """The number of the last RunEventRow."""
    stored_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    """What the run counts in the storage quotas, see `quota_tables.py`; 0: nothing."""
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    """Hash of the body, while the idempotency key is valid."""
    test: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Whether it tests a draft; then there is a RunDraft, and no deployment."""


class RunPayload(Table):
    """Input and output of a run, as JSON."""

    __tablename__ = "run_payloads"

    run_id: Mapped[str] = mapped_column(Id, primary_key=True)
    input: Mapped[bytes | None] = mapped_column(LargeBinary)
    output: Mapped[bytes | None] = mapped_column(LargeBinary)
    node_outputs: Mapped[bytes | None] = mapped_column(LargeBinary)


class RunDraft(Table):
    """The flow of a test run."""

    __tablename__ = "run_drafts"

    run_id: Mapped[str] = mapped_column(Id, primary_key=True)
    draft: Mapped[bytes] = mapped_column(LargeBinary)
    """JSON, as `gateway.drafts.draft_flow` writes it."""


class RunLabel(Listed):
    """One of the labels of a run that has any, to find runs by; `id` is that of the run."""

    __tablename__ = "run_labels"
    __table_args__ = (
        Index("ix_run_labels_page", "profile_id", "key", "value", "created_at", "id"),
    )

    key: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(500))
    profile_id: Mapped[str] = mapped_column(Id)


class RunEventRow(Table):
    """A finished node of a run that is still running."""

    __tablename__ = "run_events"

    run_id: Mapped[str] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """1, 2, 3 … within the run, across all attempts."""
    node_id: Mapped[str] = mapped_column(Name)
    attempt: Mapped[int | None] = mapped_column(Integer)
    """The attempt that reported it; NULL: an older version wrote it."""
    data: Mapped[bytes] = mapped_column(LargeBinary)
    """JSON of the node's entry in `node_outputs`."""
