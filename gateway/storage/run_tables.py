"""The tables of runs: a narrow row that everything asks for, and apart from it what is large.

Runs end, and then hardly anybody looks at them: the partial indexes hold only those that have not,
so that a hundred thousand finished ones cost nothing where runs are claimed, reaped or counted. A
query is served by one of them only where it shows the index's condition as it is written here.

No foreign keys: a row of a profile that hundreds of inserts a second point to would be locked by
each of them. What belongs together is deleted together, by the run's id.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Float, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Listed, Name, Table, UtcTime, Word

_QUEUED = text("status = 'queued'")
_EXPIRING = text("status = 'queued' AND queue_until IS NOT NULL")
_RUNNING = text("status = 'running'")
_NOT_COMPLETED = text("status <> 'completed'")
_REPLAYED = text("fingerprint IS NOT NULL")
COUNTED = text("mode <> 'fast' AND finished_at IS NOT NULL")
"""Runs that usage is to count: fast calls are counted where they are answered."""


class RunRow(Listed):
    """One execution of a flow, without what went in and what came out.

    The ids begin with the time (`gateway.ids.new_run_id`), so the oldest runs lie first.
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
            *("idempotency_key", "profile_id", "deployment_id"),
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
    """The failed run that this one repeats."""
    status: Mapped[str] = mapped_column(Word)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    timeout_seconds: Mapped[float] = mapped_column(Float)
    retry_safe: Mapped[bool] = mapped_column(Boolean)
    """Whether it may begin again after its worker was lost."""
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    """How often it has been claimed: who writes must name the present one."""
    max_attempts: Mapped[int] = mapped_column(Integer)
    due_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """While queued: when to hand it over again, if nobody has claimed it by then."""
    queue_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """While queued: until when it may begin."""
    lease_owner: Mapped[str | None] = mapped_column(Name)
    lease_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """While running: until when its process is believed to be alive."""
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """There in every terminal state, and in no other."""
    duration_seconds: Mapped[float | None] = mapped_column(Float)
    boot_seconds: Mapped[float | None] = mapped_column(Float)
    """Of those, what it waited for an inference server to boot; NULL where it did not."""
    error_code: Mapped[str | None] = mapped_column(Word)
    error_message: Mapped[str | None] = mapped_column(Text)
    error_node: Mapped[str | None] = mapped_column(Name)
    event_count: Mapped[int] = mapped_column(Integer, default=0)
    """Rows of RunEvent: the number of the last one."""
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    """Of the body, as long as the key stands for this run."""


class RunPayload(Table):
    """What went into a run and what came out, as JSON."""

    __tablename__ = "run_payloads"

    run_id: Mapped[str] = mapped_column(Id, primary_key=True)
    input: Mapped[bytes | None] = mapped_column(LargeBinary)
    output: Mapped[bytes | None] = mapped_column(LargeBinary)
    node_outputs: Mapped[bytes | None] = mapped_column(LargeBinary)


class RunEventRow(Table):
    """A node that a run has finished, while the run goes on."""

    __tablename__ = "run_events"

    run_id: Mapped[str] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """1, 2, 3 … within the run, over all its attempts."""
    node_id: Mapped[str] = mapped_column(Name)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    """JSON of the node's entry in `node_outputs`."""
